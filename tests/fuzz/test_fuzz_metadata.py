"""Damaged notes of exported files and hub folders: read, or one line."""

import json
from pathlib import Path

import pytest

from segtrain.inference.description import read_config
from segtrain.inference.runtimes.exported import read_note
from tests.fuzz.mutate import attack, mutate_bytes, mutate_tree
from tests.inference.test_description import CONFIG

TASK = {"mode": "multiclass", "names": ["a", "b"], "colors": [[0, 0, 0], [9, 9, 9]], "transforms": ["CLAHE"]}
NOTE = {"task": TASK, "output": "labels", "precision": "fp32", "input_size": [64, 64], "batch_size": 1}


@pytest.mark.parametrize("kind", ["note", "config"])
def test_metadata(kind, tmp_path):
    given = {}

    def damage(rng):
        changed = mutate_tree(NOTE if kind == "note" else CONFIG, rng)
        text = json.dumps(changed).encode()
        given["now"] = changed if kind == "config" else mutate_bytes(text, rng) if rng.random() < 0.3 else text
        return given["now"]

    def use():
        if kind == "note":
            read_note(given["now"], Path("model.onnx"), None)
        else:
            read_config({"config": given["now"]}, Path("best.pt"))

    attack(200, damage, use, root=tmp_path, seed=kind)
