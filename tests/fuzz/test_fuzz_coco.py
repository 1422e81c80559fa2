"""Damaged annotations in COCO's format: read, or one line."""

import json

import numpy as np

from segtrain.data.labels import build_decoder
from segtrain.formats import coco
from tests.formats.coco_export import CAT_DOG, draw_set, write
from tests.formats.format_reading import data_config
from tests.fuzz.mutate import attack, mutate_bytes, mutate_tree


def test_annotations(tmp_path):
    root = draw_set(tmp_path / "set")
    write(root)
    path = root / "set.json"
    whole = path.read_bytes()
    content = json.loads(whole)
    keys = {"annotations": "set.json", "images": "images", "val_fraction": 0.4}
    decoder = build_decoder(data_config(format="coco", root=root, classes=CAT_DOG, **keys))

    def damage(rng):
        if rng.random() < 0.25:
            path.write_bytes(mutate_bytes(whole, rng))
        else:
            path.write_text(json.dumps(mutate_tree(content, rng)))

    def use():
        notes = []
        splits = coco.read(root, classes=decoder.classes, notes=notes, thorough=True, **keys)
        assert all(len(note.splitlines()) == 1 for note in notes), notes
        for samples in splits.values():
            for sample in samples:
                assert decoder.read(sample).dtype == np.uint8

    use()
    attack(400, damage, use, root=tmp_path)
