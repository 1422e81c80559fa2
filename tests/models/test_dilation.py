import copy

import pytest
import segmentation_models_pytorch as smp
import torch
import torchvision
from torch import nn

from segtrain.checkpoint import load_checkpoint, save_checkpoint
from segtrain.commands.export.graph import ExportError
from segtrain.config.schema import ModelConfig
from segtrain.models.encoder import correct_dilation
from segtrain.models.model import SegmentationModel, build_model
from tests.commands.export.hub_export import CAMVID, export, train


def build(name: str = "DeepLabV3Plus", encoder: str = "resnet18", **arguments) -> SegmentationModel:
    torch.manual_seed(0)
    config = ModelConfig(name=name, encoder_name=encoder, **arguments)
    return build_model(config, channels=3, outputs=2).eval()


def dilated(encoder: str, stride: int) -> nn.Module:
    net = nn.Module()
    net.encoder = smp.encoders.get_encoder(encoder, weights=None, output_stride=stride)
    correct_dilation(net, encoder)
    return net.eval()


def test_logits_are_those_of_torchvision():
    torch.manual_seed(0)
    theirs = torchvision.models.segmentation.fcn_resnet50(weights=None, weights_backbone=None, num_classes=5).eval()
    images = torch.randn(1, 3, 65, 97)
    ours = dilated("resnet50", 8)
    ours.encoder.load_state_dict(theirs.backbone.state_dict())
    with torch.no_grad():
        expected = theirs.classifier(theirs.backbone(images)["out"])
        logits = theirs.classifier(ours.encoder(images)[-1])
        ours.encoder.make_dilated(8)
        uncorrected = theirs.classifier(ours.encoder(images)[-1])
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert (uncorrected - expected).abs().max() > 0.05 * expected.abs().max()  # smp #183


@pytest.mark.filterwarnings("ignore:`timm-` encoders")
@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize(
    ("encoder", "shift"),
    [
        ("resnet18", 0),
        ("resnext50_32x4d", 0),
        ("dpn68", 0),
        ("mobilenet_v2", 0),
        ("mobileone_s0", 0),
        ("timm-tf_efficientnet_lite0", 0),
        ("efficientnet-b0", 1),  # TensorFlow's padding: a strided kernel is centered on the next pixel
    ],
)
def test_features_are_those_of_the_undilated_encoder_at_every_nth_pixel(encoder, shift, stride, monkeypatch):
    # The means of squeeze-and-excitation are over all pixels, of which the dilated encoder has more.
    monkeypatch.setattr(nn.functional, "adaptive_avg_pool2d", lambda features, size: features[..., :1, :1] * 0)
    torch.manual_seed(0)
    strided = smp.encoders.get_encoder(encoder, weights=None).eval()
    net = dilated(encoder, stride)
    net.encoder.load_state_dict(strided.state_dict())
    images = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        expected, features = strided(images)[-1], net.encoder(images)[-1]
    every, start = 32 // stride, shift * (32 // stride - 1)
    scale = float(expected.abs().max())
    torch.testing.assert_close(features[..., start::every, start::every], expected, rtol=0, atol=1e-5 * scale)


def test_attention_of_mix_transformers_keeps_its_reduction():
    blocks = dilated("mit_b0", 8).encoder
    assert blocks.block3[0].attn.sr.stride == (2, 2) and blocks.block3[0].attn.sr.dilation == (1, 1)
    assert (blocks.patch_embed3.proj.stride, blocks.patch_embed3.proj.dilation) == ((1, 1), (1, 1))
    assert blocks.block3[0].mlp.dwconv.dwconv.dilation == (2, 2) and blocks.patch_embed4.proj.dilation == (2, 2)
    assert blocks.block4[0].mlp.dwconv.dwconv.dilation == (4, 4)


@pytest.mark.parametrize(("name", "encoder"), [("Unet", "resnet18"), ("DeepLabV3Plus", "tu-resnet18")])
def test_other_networks_are_left_alone(name, encoder):
    assert build(name, encoder).net._version == 1


@pytest.mark.parametrize("encoder", ["resnet18", "mit_b0"])
def test_random_numbers_are_those_of_smp_alone(encoder):
    build(encoder=encoder)
    after = torch.get_rng_state()
    torch.manual_seed(0)
    smp.DeepLabV3Plus(encoder, encoder_weights=None, classes=2)
    assert torch.equal(torch.get_rng_state(), after)


def test_a_checkpoint_says_how_it_was_dilated(tmp_path):
    images = torch.arange(3 * 64 * 64, dtype=torch.float32).view(1, 3, 64, 64) % 251
    model, old = build(), build()
    old.net.encoder.make_dilated(16)  # as it was trained before the correction
    old.net._version = 1
    for name, trained in (("new", model), ("old", old)):
        save_checkpoint(tmp_path / name, {"model": trained.state_dict()})
    with torch.no_grad():
        expected, expected_old = model(images), old(images)
        assert not torch.allclose(expected, expected_old)
        loaded, average = build(), copy.deepcopy(build())
        for each in (loaded, average):
            each.load_state_dict(load_checkpoint(tmp_path / "old")["model"])
            assert torch.equal(each(images), expected_old)
        save_checkpoint(tmp_path / "resumed", {"model": loaded.state_dict()})
        for name, result in (("new", expected), ("resumed", expected_old)):
            again = build()
            again.load_state_dict(load_checkpoint(tmp_path / name)["model"])
            assert torch.equal(again(images), result)


def test_the_hub_folder_is_refused_that_smp_would_dilate_otherwise(tmp_path):
    run = train(tmp_path / "run", data=CAMVID, model={"name": "PAN", "encoder_name": "resnet18"})
    message = "--to hub: smp would build resnet18 with other dilations at output stride 16, which changes the "
    with pytest.raises(ExportError) as error:
        export(run, tmp_path / "hub")
    assert str(error.value) == message + "predictions; write --to onnx, or train with an encoder of timm (tu-...)"
