"""LinearHead: what it adds to a transformer, and the features that it sees."""

import pytest
import timm
import torch

from segtrain.models.networks.linear_head import LinearHead


def test_parameters() -> None:
    """The transformer without its classifier, and 2 C + (C + 1) classes of BatchNorm and convolution."""
    with torch.device("meta"):
        net = LinearHead("tu-vit_small_patch14_dinov2", classes=19)
        encoder = timm.create_model("vit_small_patch14_dinov2", num_classes=0)
    assert sum(p.numel() for p in net.encoder.parameters()) == sum(p.numel() for p in encoder.parameters())
    assert sum(p.numel() for p in net.decoder.parameters()) == 2 * 384 + (384 + 1) * 19


@pytest.mark.parametrize("name", ["test_vit", "eva02_tiny_patch14_224", "vit_tiny_patch16_dinov3_qkvb"])
def test_it_sees_the_tokens_of_the_patches_behind_the_last_norm(name: str) -> None:
    net = LinearHead(f"tu-{name}", classes=3).eval()
    patch = net.logits_stride
    images = torch.randn(2, 3, 3 * patch, 5 * patch)
    with torch.no_grad():
        tokens = net.encoder.model.forward_features(images)[:, net.encoder.model.num_prefix_tokens :]
        weight, bias = net.decoder[1].weight.flatten(1), net.decoder[1].bias
        # BatchNorm with mean 0 and variance 1 divides by sqrt(1 + 1e-5).
        expected = (tokens / (1 + 1e-5) ** 0.5) @ weight.T + bias
        torch.testing.assert_close(net(images), expected.transpose(1, 2).unflatten(-1, (3, 5)))


def test_a_sam_without_its_neck() -> None:
    """Which would leave 256 of 768 channels."""
    with torch.device("meta"):
        net = LinearHead("tu-samvit_base_patch16", classes=2).eval()
        assert net(torch.zeros(1, 3, 64, 96)).shape == (1, 2, 4, 6)


def test_an_encoder_that_is_none_of_timm() -> None:
    with pytest.raises(ValueError) as error:
        LinearHead("resnet18")
    assert str(error.value) == "it needs a plain transformer of timm, like tu-vit_small_patch16_224"
