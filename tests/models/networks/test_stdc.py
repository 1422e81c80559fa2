import pytest
import torch

from segtrain.config.schema import ModelConfig, OptimizerConfig
from segtrain.models.model import build_model
from segtrain.models.networks.stdc import STDC, _Block
from segtrain.training.optim import parameter_groups

# What the official network holds beside: the classifier of its encoder, and heads for details at 1/2, 1/4 and 1/16.
CLASSIFIER = (1024 * 1024 + 2 * 1024) + 1024 * 1024 + 2 * 1024 + 1024 * 1000
UNUSED_HEADS = sum(channels * 64 * 9 + 2 * 64 + 64 for channels in (32, 64, 512))


@pytest.mark.parametrize(("variant", "official"), [(1, 12_048_928), (2, 16_079_392)])
def test_sizes_are_those_of_the_official_code(variant, official):
    """12.049 and 16.079 M with all heads, used or not, and with the classifier."""
    with torch.device("meta"):
        net = STDC(classes=19, variant=variant)
    assert sum(parameter.numel() for parameter in net.parameters()) == official - CLASSIFIER - UNUSED_HEADS


@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_joins_a_chain_of_ever_fewer_channels(stride):
    block = _Block(4, 16, stride=stride).eval()
    features = torch.randn(1, 4, 6, 6)
    made = block(features)
    first = block.conv_list[0](features)
    parts = [first if stride == 1 else torch.nn.functional.avg_pool2d(first, 3, 2, 1)]
    last = first if stride == 1 else block.avd_layer(first)
    for conv in block.conv_list[1:]:
        last = conv(last)
        parts.append(last)
    assert [part.shape[1] for part in parts] == [8, 4, 2, 2]
    torch.testing.assert_close(made, torch.cat(parts, 1))


def test_in_training_it_gives_two_auxiliary_logits_and_details():
    logits, fine, coarse, further = STDC(classes=2, width=16, decoder_channels=8)(torch.rand(2, 3, 64, 32))
    assert [each.shape for each in (logits, fine, coarse)] == [(2, 2, 8, 4), (2, 2, 8, 4), (2, 2, 4, 2)]
    assert further["edges"].shape == (2, 1, 64, 32)


def config_of(**settings) -> ModelConfig:
    return ModelConfig(name="STDC", encoder_name=None, width=16, decoder_channels=8, **settings)


def test_pretrained_weights_under_the_official_names_are_loaded(tmp_path):
    source = STDC(width=16).encoder.state_dict()
    assert {
        "features.0.conv.weight",
        "features.2.conv_list.3.bn.bias",
        "features.2.avd_layer.0.weight",
    } <= source.keys()
    # The official file holds each tensor a second time, below its stage, and the classifier.
    more = {f"x8.{key.removeprefix('features.')}": tensor for key, tensor in source.items()} | {
        "fc.weight": torch.ones(2)
    }
    torch.save({"state_dict": more | source}, tmp_path / "stdc.pth")
    model = build_model(config_of(encoder_weights=str(tmp_path / "stdc.pth")), channels=3, outputs=2)
    for key, tensor in model.encoder.state_dict().items():
        torch.testing.assert_close(tensor, source[key])


def test_the_encoder_is_frozen_and_slowed():
    model = build_model(config_of(freeze="encoder", aux=1.0), channels=3, outputs=2, training=True)
    assert {key.split(".")[1] for key, each in model.named_parameters() if each.requires_grad} == {"decoder", "aux"}
    model = build_model(config_of(), channels=3, outputs=2)
    groups = parameter_groups(model, OptimizerConfig(lr=1.0, encoder_lr_factor=0.5, layer_decay=0.5))
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    assert {rates[id(parameter)] for parameter in model.net.decoder.parameters()} == {1.0}
    slowed = [rates[id(parameter)] for parameter in model.encoder.parameters()]
    assert max(slowed) == 0.25 and slowed == sorted(slowed) and min(slowed) < 0.01
