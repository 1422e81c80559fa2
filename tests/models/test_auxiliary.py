import copy

import pytest
import segmentation_models_pytorch as smp
import torch
from torchvision.models.segmentation.fcn import FCNHead

from segtrain.config.networks import NETWORKS
from segtrain.config.schema import ModelConfig
from segtrain.errors import ConfigError
from segtrain.models.auxiliary import AuxiliaryHead
from segtrain.models.model import build_model

SMALL = "tu-mobilenetv3_small_050"
DPT = {"encoder_name": "tu-test_vit", "encoder_depth": 2, "decoder_intermediate_channels": [8, 8]}


def build(*, training: bool = True, **arguments):
    torch.manual_seed(0)
    config = ModelConfig(**({"encoder_name": SMALL, "aux": 0.4} | arguments))
    return build_model(config, channels=3, outputs=2, training=training)


@pytest.mark.parametrize("name", [name for name, row in NETWORKS.items() if not row.module])
def test_every_network_of_smp_has_an_auxiliary_output(name):
    model = build(name=name, **(DPT if name == "DPT" else {}))
    images = torch.randint(0, 256, (2, 3, 97, 131), dtype=torch.uint8)
    logits, further = model(images)
    assert logits.shape == further.shape == (2, 2, 97, 131)
    further.sum().backward()
    # The head trains the encoder up to its features, and nothing of the decoder.
    assert next(model.encoder.parameters()).grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.net.segmentation_head.parameters())
    with torch.no_grad():
        assert model.eval()(images).shape == (2, 2, 97, 131)


@pytest.mark.parametrize("encoder", ["tu-swin_tiny_patch4_window7_224", "mit_b0", "tu-convnext_atto", "resnet18"])
def test_every_family_of_encoders_has_an_auxiliary_output(encoder):
    logits, further = build(name="FPN", encoder_name=encoder)(torch.zeros(2, 3, 33, 65))
    assert logits.shape == further.shape == (2, 2, 33, 65)


def test_the_head_is_that_of_torchvision():
    encoder = smp.encoders.get_encoder("resnet18", weights=None)
    ours, theirs = AuxiliaryHead(encoder, 21), FCNHead(256, 21)
    ours.head.load_state_dict(theirs.state_dict())
    features = encoder(torch.rand(2, 3, 64, 64))
    torch.testing.assert_close(ours.eval().head(features[-2]), theirs.eval()(features[-2]))
    # Of a ResNet-50: 3 x 3 x 1024 x 256 weights, 2 x 256 of the norm, 256 x 21 + 21 of the last layer.
    resnet50 = smp.encoders.get_encoder("resnet50", weights=None)
    assert sum(p.numel() for p in AuxiliaryHead(resnet50, 21).parameters()) == 2_359_296 + 512 + 5_397


def test_a_copy_has_a_head_of_its_own():
    model = build()
    other = copy.deepcopy(model)
    images = torch.rand(2, 3, 32, 32) * 255
    model(images), other(images)
    assert other.aux is not model.aux and model.aux.features is other.aux.features is None
    other.eval()(images)
    assert other.aux.features is None  # nothing is kept outside training


@pytest.mark.parametrize(("training", "aux"), [(False, 0.4), (True, 0.0)])
def test_without_training_or_a_factor_there_is_none(training, aux):
    model = build(training=training, aux=aux)
    assert model.aux is None
    assert model.train()(torch.zeros(2, 3, 32, 32)).shape == (2, 2, 32, 32)


def test_a_network_without_an_encoder_is_refused(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "plain_net.py").write_text(
        "from torch import nn\nclass Net(nn.Conv2d):\n    stride = 1\n"
        "    def __init__(self, in_channels, classes):\n        super().__init__(in_channels, classes, 1)\n"
    )
    with pytest.raises(ConfigError) as error:
        build(name="plain_net.Net", encoder_name=None)
    assert str(error.value) == (
        "model.aux: plain_net.Net has no auxiliary outputs and no encoder with at least two feature maps; write "
        "model.aux: 0"
    )


def test_an_encoder_of_one_feature_is_refused():
    with pytest.raises(ConfigError, match=r"^model\.aux: DPT has no auxiliary outputs and no encoder with"):
        build(name="DPT", **DPT | {"encoder_depth": 1, "decoder_intermediate_channels": [8]})
