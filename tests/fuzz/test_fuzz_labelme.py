"""Damaged files of labelme: read, or one line."""

import json
import shutil

import numpy as np
from PIL import Image

from segtrain.data.labels import build_decoder
from segtrain.formats import labelme
from tests.formats.format_reading import data_config
from tests.fuzz.mutate import attack, mutate_bytes, mutate_tree

SHAPES = [
    {"label": "road", "points": [[0, 0], [4, 0], [4, 3]], "shape_type": "polygon", "group_id": None, "flags": {}},
    {"label": "car", "points": [[3, 2], [1, 1]], "shape_type": "rectangle", "group_id": None, "flags": {}},
    {"label": "car", "points": [[3, 2], [1, 1]], "shape_type": "circle", "group_id": 1, "flags": {}},
    {"label": "road", "points": [[0, 0], [4, 4]], "shape_type": "line", "group_id": 1, "flags": {}},
]
CONTENT = {"version": "5.2.0", "flags": {}, "shapes": SHAPES, "imagePath": "a.png", "imageData": None} | {
    "imageHeight": 5,
    "imageWidth": 6,
}


def test_files(tmp_path):
    folder = tmp_path / "set" / "train"
    folder.mkdir(parents=True)
    for name in "ab":
        Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save(folder / f"{name}.png")
    (folder / "b.json").write_text(json.dumps(CONTENT | {"imagePath": "b.png"}))
    path, whole = folder / "a.json", json.dumps(CONTENT).encode()
    classes = ["background", "road", "car"]
    decoder = build_decoder(data_config(format="labelme", root=tmp_path / "set", classes=classes, lines="skip"))

    def damage(rng):
        changed = mutate_bytes(whole, rng) if rng.random() < 0.25 else json.dumps(mutate_tree(CONTENT, rng)).encode()
        path.write_bytes(changed)
        return changed

    def use():
        for samples in labelme.read(tmp_path / "set", classes=decoder.classes, lines="skip").values():
            for sample in samples:
                assert decoder.read(sample).shape == (5, 6)

    path.write_bytes(whole)
    shutil.copytree(folder, folder.with_name("val"))
    use()
    attack(400, damage, use, root=tmp_path)
