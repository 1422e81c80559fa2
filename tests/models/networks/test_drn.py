import pytest
import torch
from torch import nn

from segtrain.config.schema import ModelConfig
from segtrain.errors import ConfigError
from segtrain.models.model import build_model
from segtrain.models.networks.drn import DRN


def count(net_class, **arguments) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in net_class(**arguments).parameters())


@pytest.mark.parametrize(
    ("variant", "expected"), [("C-26", 21_126_584), ("C-42", 31_234_744), ("D-22", 16_393_752), ("D-38", 26_501_912)]
)
def test_parameters_with_the_classes_of_imagenet(variant, expected):
    """The classifiers of the official code: 21.1, 31.2, 16.4 and 26.5 M in the table of its repository."""
    assert count(DRN, classes=1000, variant=variant) == expected


def test_parameters_with_few_classes():
    """20.624 M is a count with 20 classes; with 19 it is 513 less. The official network for segmentation has
    19 x 16 x 16 more, of a bilinear deconvolution that is not trained."""
    assert count(DRN, classes=20) == 20_623_844
    assert count(DRN, classes=19) == 20_623_331


def test_weights_are_called_as_in_the_official_files():
    with torch.device("meta"):
        c, d = (set(DRN(variant=variant).encoder.state_dict()) for variant in ("C-26", "D-22"))
    assert {"conv1.weight", "bn1.running_mean", "layer3.0.downsample.1.bias", "layer8.0.bn2.weight"} <= c
    assert {"layer0.0.weight", "layer0.1.running_mean", "layer1.0.weight", "layer8.1.bias"} <= d
    assert not any(key.startswith(("layer7.0.downsample", "relu")) for key in c)


def test_a_file_of_weights_is_loaded_by_name(tmp_path):
    official = {f"module.{key}": torch.full_like(each, 2) for key, each in DRN(width=2).encoder.state_dict().items()}
    torch.save(official | {"module.fc.weight": torch.zeros(1000, 64, 1, 1)}, tmp_path / "drn.pth")
    config = ModelConfig(name="DRN", encoder_name=None, width=2, encoder_weights=str(tmp_path / "drn.pth"))
    encoder = build_model(config, channels=3, outputs=2).encoder
    assert all((parameter == 2).all() for parameter in encoder.parameters())


def test_each_pixel_sees_without_gaps_behind_the_last_levels():
    """A single 1 at the input of level 5 leaves gaps of its dilation, which levels 7 and 8 fill."""
    encoder = DRN(width=1).encoder.eval()
    for conv in encoder.modules():
        if isinstance(conv, nn.Conv2d):
            nn.init.ones_(conv.weight)
    point = torch.zeros(1, 8, 65, 65)
    point[..., 32, 32] = 1
    seen = []
    for layer in (encoder.layer5, encoder.layer6, encoder.layer7, encoder.layer8):
        point = layer(point)
        seen.append(point[0, 0] > 0)
    # 32 - 2 x 4 = 24 to 40 in steps of 2; 4 x 4 further in level 6; 2 x 2 further in level 7, 2 x 1 in level 8
    for after, first, step in zip(seen, (24, 8, 4, 2), (2, 2, 2, 1), strict=True):
        expected = torch.zeros(65, 65, dtype=torch.bool)
        expected[first : 65 - first : step, first : 65 - first : step] = True
        assert torch.equal(after, expected)


def test_an_unknown_variant_is_refused():
    with pytest.raises(ConfigError) as error:
        build_model(ModelConfig(name="DRN", encoder_name=None, variant="D-21"), channels=3, outputs=2)
    assert str(error.value) == "model: DRN: variant is D-21, but must be one of C-26, C-42, D-22, D-38"
