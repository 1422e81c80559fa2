import json

import pytest

from segtrain.config.libraries import INDEX_FILE
from tools.encoder_probe import group_by_kind, probe_encoder

STORED = json.loads(INDEX_FILE.read_text(encoding="utf-8"))
ONE_OF_EACH = {
    "resnet18": "pyramid",
    "convnext_atto": "pyramid",
    "swin_tiny_patch4_window7_224": "pyramid",
    "vit_tiny_patch16_224": "plain",
    "samvit_base_patch16": "plain",
    "vit_base_patch14_dinov2": "plain",
    "beit_base_patch16_224": "none",
}


@pytest.mark.parametrize(("name", "kind"), ONE_OF_EACH.items())
def test_what_a_model_gives(name, kind):
    assert probe_encoder(name) == kind
    others = STORED["timm_features"]
    assert name in others.get(kind, set(STORED["timm_models"]) - {*others["plain"], *others["none"]})


def test_groups_of_the_index():
    assert group_by_kind(["a", "b", "c"], ["plain", "pyramid", "none"]) == {"plain": ["a"], "none": ["c"]}
    named = [name for names in STORED["timm_features"].values() for name in names]
    assert len(set(named)) == len(named) and set(named) < set(STORED["timm_models"])
    assert len(STORED["timm_models"]) - len(named) > 700
