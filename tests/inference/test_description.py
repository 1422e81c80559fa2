"""What a checkpoint or an export may say of its model."""

from pathlib import Path

import pytest

from segtrain.errors import CheckpointError
from segtrain.inference.description import check_transforms, read_config

PATH = Path("best.pt")
CONFIG = {
    "data": {"root": "data", "classes": ["sky", "road"]},
    "model": {"name": "Unet", "encoder_name": "resnet18", "decoder_channels": [64, 32, 16, 8, 8]},
    "transforms": {"val": [{"LongestMaxSize": {"max_size": 512}}, "CLAHE"]},
}


def refused(section: str, value) -> str:
    with pytest.raises(CheckpointError) as error:
        read_config({"config": CONFIG | {section: value}}, PATH)
    return str(error.value)


def test_what_is_known_and_plain_is_read():
    config = read_config({"config": CONFIG}, PATH)
    assert config.model.arguments == {"decoder_channels": [64, 32, 16, 8, 8]}
    norm = {"name": "Unet", "encoder_name": "tu-resnet18", "decoder_use_norm": {"type": "layernorm", "eps": 1e-5}}
    read_config({"config": CONFIG | {"model": norm}}, PATH)


MODELS = {
    "dotted": ({"name": "os.system"}, "uses the model 'os.system', which neither segtrain nor smp has"),
    "hub": ({"encoder_name": "tu-hf-hub:me/code"}, "model.encoder_name: timm has no model 'hf-hub:me/code'; "),
    "folder": ({"encoder_name": "tu-local-dir:/etc"}, "model.encoder_name: timm has no model 'local-dir:/etc'; "),
    "opens a file": ({"checkpoint_path": "x.pth"}, "model.checkpoint_path: Unet has no argument 'checkpoint_path'"),
    "filled in": ({"classes": 3}, "model.classes: the number of outputs follows from data.classes"),
    "path": ({"decoder_attention_type": "/etc/passwd"}, "model.decoder_attention_type: '/etc/passwd' is not a plain"),
    "huge": ({"decoder_channels": [10**9] * 5}, "model.decoder_channels.0: 1000000000 is not a plain number or string"),
    "nan": ({"decoder_channels": float("nan")}, "model.decoder_channels: nan is not a plain number or string"),
    "deep": ({"decoder_use_norm": {"a": {"b": {"c": {"d": 1}}}}}, "model.decoder_use_norm.a.b.c: {'d': 1} is not a"),
    "long": ({"decoder_channels": [1] * 257}, "model.decoder_channels: [1, 1,"),
}


@pytest.mark.parametrize("case", MODELS)
def test_models(case):
    change, start = MODELS[case]
    assert refused("model", CONFIG["model"] | change).startswith(f"{PATH}: {start}")


TRANSFORMS = {
    "dotted": ([{"os.mkdir": {"path": "x"}}], "transforms.val contains os.mkdir, which albumentations does not have"),
    "moves pixels": (["HorizontalFlip"], "transforms.val.0: HorizontalFlip is not a pixel-level transform"),
    "children": ([{"OneOf": [{"os.mkdir": {}}]}], "transforms.val.0: OneOf is not a pixel-level transform"),
    "font": ([{"TextImage": {"font_path": "x"}}], "transforms.val.0: TextImage is not a pixel-level transform"),
    "images": ([{"FDA": {"reference_images": []}}], "transforms.val.0: FDA is not a pixel-level transform"),
    "huge": ([{"Resize": {"height": 10**7, "width": 8}}], "transforms.val.0.Resize.height: 10000000 is not a plain"),
    "empty": ([{}], "transforms.val.0: is not a transform with its arguments"),
    "number": ([{"CLAHE": 3}], "transforms.val.0: is not a transform with its arguments"),
}


@pytest.mark.parametrize("case", TRANSFORMS)
def test_transforms(case):
    items, start = TRANSFORMS[case]
    assert refused("transforms", {"val": items}).startswith(f"{PATH}: {start}")
    with pytest.raises(CheckpointError):
        check_transforms(items, PATH)


def test_counts_are_bounded():
    classes = [f"c{index}" for index in range(4097)]
    assert "at most 4096 items" in refused("data", {"root": "data", "classes": classes, "ignore_index": 65535})
