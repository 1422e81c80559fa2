import pytest
import torch

from segtrain.config.schema import ModelConfig
from segtrain.models.model import build_model
from segtrain.models.networks.blocks import build_encoder


@pytest.mark.parametrize("name", ["densenet121", "tu-densenet121"])
@pytest.mark.parametrize("stride", [8, 16])
def test_features_are_those_of_the_undilated_encoder_at_every_nth_pixel(name, stride):
    torch.manual_seed(0)
    strided = build_encoder(name, None, 3).eval()
    dilated = build_encoder(name, None, 3, output_stride=stride).eval()
    dilated.load_state_dict(strided.state_dict())
    assert dilated.output_stride == stride
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        pyramid, features = strided(images), dilated(images)
    for level, (own, expected) in enumerate(zip(features, pyramid, strict=True)):
        every = max(2**level // stride, 1)
        assert own.shape[-2:] == (max(64 >> level, 64 // stride), max(96 >> level, 96 // stride))
        torch.testing.assert_close(own[..., ::every, ::every], expected, rtol=0, atol=1e-5 * float(expected.max()))


def test_the_border_is_repeated_where_a_mean_reaches_beyond_it():
    pool = build_encoder("densenet121", None, 3, output_stride=8).features.transition3.pool
    means = pool(torch.tensor([[[[0.0, 4.0, 8.0], [4.0, 8.0, 12.0], [8.0, 12.0, 16.0]]]]))
    assert means[0, 0].tolist() == [[8.0, 10.0, 12.0], [10.0, 12.0, 14.0], [12.0, 14.0, 16.0]]


def test_a_model_leaves_its_dilation_alone():
    with torch.device("meta"):
        config = ModelConfig(name="DilatedPSPNet", encoder_name="densenet121")
        encoder = build_model(config, channels=3, outputs=2).encoder
    convolutions = encoder.features.denseblock4.denselayer1
    assert convolutions.conv1.dilation == (1, 1) and convolutions.conv2.dilation == (4, 4)
