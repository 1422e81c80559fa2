"""What every network of segtrain keeps to (segtrain/models/__init__.py), and that one can work with it from the first
step to an exported file."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor

from segtrain.commands.export import exported_program, onnx
from segtrain.config.libraries import takes_encoder
from segtrain.config.networks import NETWORKS, TRANSFORMERS
from segtrain.config.schema import ModelConfig, OptimizerConfig
from segtrain.inference.load import load_trained
from segtrain.models.model import SegmentationModel, build_model, is_auxiliary
from segtrain.training.optim import parameter_groups
from tests.commands.export.exporting import images_of, loaded, options_of

PYRAMID, PLAIN = "tu-resnet10t", "tu-test_vit"  # the fewest layers: an export takes as long as there are layers

# Arguments that make a network small; aux: 0 for one that has no auxiliary outputs.
SMALL: dict[str, dict[str, Any]] = {
    "FCN": {"decoder_channels": 16},
    "FCN32s": {},
    "FCN16s": {},
    "FCN8s": {"fc_channels": 16},
    "GCN": {"kernel_size": 3},
    "FastFCN": {"decoder_channels": 16},
    "DUNet": {"decoder_channels": 16, "block_channels": 8},
    "DilatedPSPNet": {"decoder_channels": 16},
    "DANet": {"decoder_channels": 16},
    "OCNet": {"decoder_channels": 16},
    "DenseASPP": {"decoder_channels": 16, "growth": 8},
    "EncNet": {"decoder_channels": 16, "codewords": 4},
    "DUC": {"decoder_atrous_rates": [1, 2]},
    "PSANet": {"decoder_channels": 16, "mask_size": 4},
    "BiSeNet": {"decoder_channels": 16},
    "ICNet": {"decoder_channels": 16},
    "LRASPP": {"decoder_channels": 16},
    "STDC": {"width": 16, "decoder_channels": 16},
    "DDRNet": {"width": 8},
    "PIDNet": {"width": 8},
    "ENet": {"aux": 0},
    "CGNet": {"blocks": [2, 2], "width": 8, "aux": 0},
    "ESPNetv2": {"scale": 0.5, "blocks": [1, 1], "aux": 0},
    "LEDNet": {"width": 8, "dilations": [2], "aux": 0},
    "DFANet": {"variant": "B", "blocks": [1, 1, 1], "decoder_channels": 8, "aux": 0},
    "SegNet": {"width": 8, "aux": 0},
    "SegResNet": {"width": 8, "aux": 0},
    "VanillaUNet": {"width": 8, "depth": 4, "aux": 0},
    "FCDenseNet": {"width": 8, "growth": 4, "layers": [2, 1, 2], "aux": 0},
    "DRN": {"width": 8},
    "LinearHead": {},
    "EoMT": {"num_queries": 7, "num_blocks": 2},
}
# Networks with operators that others do not have are exported to ONNX, which takes far longer; ONNX of all was compared
# once (docs/how-to/networks.md), and so are the common operators in tests/commands/export.
TO_ONNX = ("ENet", "SegNet", "PSANet", "DUNet", "LinearHead", "EoMT")
NAMES = [name for name, row in NETWORKS.items() if row.module]


def settings_of(name: str) -> dict[str, Any]:
    """Of a small network on the smallest encoder of its kind."""
    settings = {"name": name, **SMALL[name]}
    if takes_encoder(name):
        settings.setdefault("encoder_name", PLAIN if NETWORKS[name].group == TRANSFORMERS else PYRAMID)
    return {"encoder_name": None, "aux": 0.4} | settings


def build(name: str, *, training: bool = True, **settings: Any) -> SegmentationModel:
    torch.manual_seed(0)
    config = ModelConfig(**settings_of(name) | settings)
    return build_model(config, channels=3, outputs=5, training=training)


def tensors_of(outputs: Any) -> list[Tensor]:
    """Every tensor in what a model gives in training."""
    if isinstance(outputs, Tensor):
        return [outputs]
    return [
        tensor for each in (outputs.values() if isinstance(outputs, dict) else outputs) for tensor in tensors_of(each)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str) -> None:
    images = torch.randint(0, 256, (2, 3, 97, 131), dtype=torch.uint8)
    model = build(name)
    outputs = model(images)
    logits = outputs if isinstance(outputs, Tensor) else outputs[0]
    assert logits.shape == (2, 5, 97, 131)
    sum(tensor.float().square().mean() for tensor in tensors_of(outputs)).backward()
    idle = [key for key, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None]
    assert not idle  # else DDP would wait for their gradients
    model.eval()
    with torch.no_grad():
        (expected,) = tensors_of(model(images[:1]))
        assert expected.shape == (1, 5, 97, 131) and expected.isfinite().all()
        assert model(images[:1, :, :1, :1]).shape == (1, 5, 1, 1)
        scale = float(expected.abs().max())
        torch.testing.assert_close(model(images)[:1], expected, rtol=0, atol=1e-4 * scale)
        for dtype in (torch.bfloat16, torch.float16):
            with torch.autocast("cpu", dtype=dtype):
                reduced = model(images[:1]).float()
            assert (reduced - expected).abs().mean() < 0.05 * scale
        model = model.to(memory_format=torch.channels_last)
        given = model(images[:1].contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(given, expected, rtol=0, atol=1e-4 * scale)
    bare = build(name, training=False)
    assert bare.state_dict().keys() == {key for key in model.state_dict() if not is_auxiliary(key)}


@pytest.mark.parametrize("name", [name for name in NAMES if takes_encoder(name)])
def test_the_encoder_is_frozen_and_slowed(name: str) -> None:
    model = build(name, freeze="encoder")
    trained = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained and not any(key.startswith("net.encoder.") for key in trained)
    model = build(name)
    groups = parameter_groups(
        model, OptimizerConfig(lr=1.0, encoder_lr_factor=0.5, layer_decay=0.5), settings_of(name)["encoder_name"]
    )
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    assert {rates[id(parameter)] for parameter in model.net.decoder.parameters()} == {1.0}
    assert max(rates[id(parameter)] for parameter in model.encoder.parameters()) <= 0.5
    assert min(rates[id(parameter)] for parameter in model.encoder.parameters()) < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_it_trains_resumes_predicts_and_is_exported(name: str, fitted, tmp_path) -> None:
    settings = {"decoder_channels": None} | settings_of(name)  # where config.yml has those of a Unet
    values = [f"model.{key}={json.dumps(value)}" for key, value in settings.items()]
    made = fitted(*values, "train.epochs=1", "train.precision=fp32")  # FCN8s in bf16 on a CPU: at times not finite
    again = fitted("train.epochs=2", resume=made.folder)
    assert again.state.epoch == 2 and again.table["train/loss"].notna().all()
    network = load_trained(made.folder, device="cpu", precision="fp32")
    target, path = (onnx, tmp_path / "model.onnx") if name in TO_ONNX else (exported_program, tmp_path / "model.pt2")
    target.export(network, path, options_of())
    exported = loaded(path)
    for shape in ((2, 64, 96), (1, 33, 40)):
        images = images_of(*shape)
        expected = network.probabilities(images)
        spread = float(expected.max() - expected.min())
        assert spread > 1e-3  # else the comparison says nothing
        torch.testing.assert_close(exported.probabilities(images), expected, rtol=0, atol=1e-3 * spread)
