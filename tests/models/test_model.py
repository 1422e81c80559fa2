import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from segtrain.config.schema import ModelConfig, OptimizerConfig
from segtrain.errors import ConfigError
from segtrain.models.costs import count_multiply_adds
from segtrain.models.model import IMAGENET_MEAN, SegmentationModel, build_model
from segtrain.training.optim import parameter_groups
from tests.tiny_model import tiny_model

SMALL = "tu-mobilenetv3_small_050"
PYRAMIDS = ["Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet"]
PYRAMIDS += ["DeepLabV3", "DeepLabV3Plus", "PAN", "UPerNet", "Segformer"]
SWIN = "tu-swin_tiny_patch4_window7_224"
# What smp does not have: a dilated Swin, and two decoders that want a stage at 1/2 where mit_b0 has none.
REFUSED = {("DeepLabV3", SWIN), ("DeepLabV3Plus", SWIN), ("PAN", SWIN)}
REFUSED |= {("UnetPlusPlus", "mit_b0"), ("Linknet", "mit_b0")}


def build(name: str = "Unet", encoder: str = SMALL, *, channels: int = 3, outputs: int = 2, **arguments):
    torch.manual_seed(0)
    config = ModelConfig(name=name, encoder_name=encoder, **arguments)
    return build_model(config, channels=channels, outputs=outputs).eval()


def fails(**arguments) -> str:
    with pytest.raises(ConfigError) as error:
        build(**arguments)
    return str(error.value)


@pytest.fixture(scope="module")
def unet() -> SegmentationModel:
    return build(decoder_channels=[16, 16, 8, 8, 8])


@pytest.mark.parametrize("name", PYRAMIDS)
def test_every_architecture_takes_images_of_any_size(name):
    model = build(name)
    for size in ((33, 1), (65, 97)):
        with torch.no_grad():
            logits = model(torch.full((1, 3, *size), 100, dtype=torch.uint8))
        assert logits.shape == (1, 2, *size) and logits.isfinite().all()


@pytest.mark.parametrize("encoder", ["resnet18", "mobilenet_v2", "tu-convnext_atto", SWIN, "mit_b0"])
@pytest.mark.parametrize("name", PYRAMIDS)
def test_every_architecture_takes_encoders_of_every_family(name, encoder):
    # Shapes alone: the meta device computes nothing (mit_b0 is too small to need it, and asks for a number).
    with torch.device("cpu" if encoder == "mit_b0" else "meta"), torch.no_grad():
        if (name, encoder) in REFUSED:
            assert fails(name=name, encoder=encoder).startswith(f"model: {name} with encoder {encoder}: ")
            return
        model = build(name, encoder)
        for size in ((33, 1), (65, 97)):
            assert model(torch.zeros(1, 3, *size)).shape == (1, 2, *size)


@pytest.mark.parametrize("size", [(33, 1), (65, 97), (32, 48)])
def test_dpt_takes_a_plain_transformer_and_images_of_any_size(size):
    arguments = {"encoder_depth": 2, "decoder_intermediate_channels": [8, 8], "decoder_fusion_channels": 8}
    model = build("DPT", "tu-test_vit", **arguments)
    with torch.no_grad():
        assert model(torch.zeros(1, 3, *size)).shape == (1, 2, *size)


@pytest.mark.parametrize("size", [(33, 1), (65, 97), (28, 56)])
def test_dpt_takes_patches_of_14_pixels(size):
    """Features at 1/14 go through the decoder of those at 1/16, and the logits are resized by 14/16."""
    arguments = {"decoder_intermediate_channels": [8, 8, 8, 8], "decoder_fusion_channels": 8}
    model = build("DPT", "tu-eva02_tiny_patch14_224", **arguments)
    assert (model.stride, model.net.logits_stride) == (28, 0.875)
    like = build("DPT", "tu-vit_tiny_patch16_224", **arguments).net.decoder.state_dict()
    assert {key: tensor.shape for key, tensor in model.net.decoder.state_dict().items()} == {
        key: tensor.shape for key, tensor in like.items()
    }
    with torch.no_grad():
        assert model(torch.zeros(1, 3, *size)).shape == (1, 2, *size)


def test_bytes_and_floats_are_the_same_image(unet):
    images = torch.randint(0, 256, (1, 3, 40, 56), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(unet(images), unet(images.float()))


def test_normalization():
    net = nn.Identity()
    net.encoder = nn.Identity()
    net.encoder.output_stride = 1
    model = SegmentationModel(net, mean=[0.5, 0.0, 1.0], std=[0.25, 1.0, 0.5])
    model.minimum_side = 1
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 1, 3).expand(1, 3, 1, 3)
    # In 0..1 the pixels are 0, 0.2 and 1; for the first channel (0 - 0.5) / 0.25 = -2, (0.2 - 0.5) / 0.25 = -1.2, ..
    expected = torch.tensor([[-2.0, -1.2, 2.0], [0.0, 0.2, 1.0], [-2.0, -1.6, 0.0]])
    torch.testing.assert_close(model(images)[0, :, 0], expected)


def test_mean_and_std_travel_with_the_weights(unet):
    state = unet.state_dict()
    torch.testing.assert_close(state["mean"].flatten(), torch.tensor(IMAGENET_MEAN) * 255)
    assert state["std"].shape == (1, 3, 1, 1)
    other = build(decoder_channels=[16, 16, 8, 8, 8], mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0])
    assert other.mean.eq(0).all() and other.std.eq(255).all()
    other.load_state_dict(state)
    assert torch.equal(other.mean, unet.mean)


def test_a_timm_encoder_is_normalized_as_it_was_pretrained():
    assert build(encoder="tu-mobilenetv3_small_100.lamb_in1k").mean.flatten()[0] == pytest.approx(0.485 * 255)
    assert build(encoder="tu-tf_mobilenetv3_small_minimal_100.in1k").mean.flatten()[0] == pytest.approx(0.5 * 255)


def test_padding_repeats_the_border_at_the_bottom_and_right(unet):
    image = np.random.default_rng(0).integers(0, 256, (65, 97, 3), dtype=np.uint8)
    padded = np.pad(image, ((0, 31), (0, 31), (0, 0)), mode="edge")  # to 96 x 128, multiples of 32
    with torch.no_grad():
        whole, by_hand = (unet(torch.from_numpy(array).permute(2, 0, 1)[None]) for array in (image, padded))
    torch.testing.assert_close(whole, by_hand[..., :65, :97])


@pytest.mark.parametrize("channels", [1, 5, 12])
def test_other_than_three_channels(channels):
    model = build(channels=channels)
    # no standard to follow: every channel gets the average, (0.485 + 0.456 + 0.406) / 3 = 0.449
    torch.testing.assert_close(model.mean.flatten(), torch.full((channels,), 0.449 * 255))
    with torch.no_grad():
        assert model(torch.zeros(2, channels, 20, 30)).shape == (2, 2, 20, 30)


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (3, 32, 32)])
def test_images_of_another_shape_are_refused(unet, shape):
    with pytest.raises(ValueError) as error:
        unet(torch.zeros(shape))
    assert str(error.value) == f"expected images (N, 3, H, W), not {shape}"


def train_a_step(model: SegmentationModel) -> tuple[set[str], set[str]]:
    """Names of the encoder's parameters, and of its running statistics, that one step of SGD changes."""
    before = {name: tensor.clone() for name, tensor in model.net.encoder.state_dict().items()}
    model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=generator)
    model(images).square().mean().backward()
    optimizer.step()
    changed = {name for name, tensor in model.net.encoder.state_dict().items() if not torch.equal(tensor, before[name])}
    parameters = {name for name, _ in model.net.encoder.named_parameters()}
    return changed & parameters, changed - parameters


def test_freezing():
    weights, statistics = train_a_step(build("FPN"))
    assert any(".bn1." in name for name in weights) and any("conv" in name for name in weights) and statistics

    model = build("FPN", freeze="encoder")
    assert train_a_step(model) == (set(), set())
    assert all(p.requires_grad for p in model.net.decoder.parameters()) and model.net.decoder.training

    model = build("FPN", freeze="encoder_batchnorm")
    weights, statistics = train_a_step(model)
    assert statistics == set() and not any("bn" in name for name in weights)
    assert any("conv" in name for name in weights)


def test_what_the_libraries_refuse_is_told_in_one_line():
    assert fails(name="Unet", decoder_channels=[16, 16]) == (
        "model: Unet with encoder tu-mobilenetv3_small_050: Model depth is 5, but you provide "
        "`decoder_channels` for 2 blocks."
    )
    assert fails(encoder="tu-test_vit") == (
        "model: Unet with encoder tu-test_vit: Unsupported model downsampling pattern. (a plain transformer has a "
        "single resolution: use DPT, LinearHead or EoMT)"
    )
    assert fails(name="DPT") == (
        "model: DPT with encoder tu-mobilenetv3_small_050: "
        "DPT needs a plain transformer of timm that accepts any image size, unlike this one"
    )
    assert "\n" not in fails(name="DPT", encoder="resnet18")


def test_multiply_adds_of_a_convolution_by_hand():
    # 30 x 40 is padded to 32 x 40. At each pixel 3 * 3 * 3 * 4 for the convolution and 4 * 2 for the head.
    model = tiny_model().train()
    model.minimum_side = 32
    assert count_multiply_adds(model, (30, 40)) == 32 * 40 * (3 * 3 * 3 * 4 + 4 * 2)
    assert model.training


def test_multiply_adds_of_resnet18_are_the_published_ones():
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = smp.encoders.get_encoder("resnet18", weights=None)

        def forward(self, images):
            return self.encoder(images)[-1]

    # timm and torchvision publish 1.82 G for the classifier, of which its last layer is 0.0005.
    model = SegmentationModel(Encoder(), mean=[0.5] * 3, std=[0.5] * 3)
    assert count_multiply_adds(model, (224, 224)) / 1e9 == pytest.approx(1.82, rel=0.01)


class PatchNet(nn.Module):
    """A network without an encoder, in the form that segtrain.models asks for: logits at an eighth of the size."""

    stride, logits_stride = 16, 8

    def __init__(self, in_channels: int, classes: int):
        super().__init__()
        self.patches = nn.Conv2d(in_channels, classes, 8, stride=8)

    def forward(self, images):
        assert not images.shape[2] % self.stride and not images.shape[3] % self.stride
        logits = self.patches(images)
        return [logits, logits.mean(1, keepdim=True)] if self.training else logits


def test_a_network_without_an_encoder_follows_the_contract():
    name = f"{__name__}.PatchNet"
    model = build(name, outputs=3)
    assert (model.encoder, model.stride) == (None, 16)
    images = torch.rand(1, 3, 33, 70) * 255
    with torch.no_grad():
        logits = model(images)
        assert logits.shape == (1, 3, 33, 70)
        main, further = model.train()(images)
        torch.testing.assert_close(main, logits)
        torch.testing.assert_close(further, logits.mean(1, keepdim=True))
    groups = parameter_groups(model, OptimizerConfig(lr=1.0))
    assert {(group["part"], group["lr"]) for group in groups} == {("decoder", 1.0)}
    assert fails(name=name, freeze="encoder") == (
        "model.freeze: encoder: PatchNet has no encoder; write model.freeze: null"
    )
    assert fails(name=name, encoder_weights="x.pth") == (
        f"model.encoder_weights: {name} has no encoder; write model.encoder_weights: null"
    )
