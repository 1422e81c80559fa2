"""OCNet: the size of its three forms, and its attention against a loop."""

import pytest
import torch
import torch.fx.experimental._config

from segtrain.models.networks.ocnet import OCNet, _SelfAttention


@pytest.mark.parametrize(
    ("module", "known", "biases"),
    [
        ("base", 33_876_563, 256 + 512),
        ("pyramid", 38_738_003, 4 * 256 + 4 * 512 + 512),
        ("asp", 38_696_403, 512 + 256 + 128 + 256),
    ],
)
def test_size(module: str, known: int, biases: int) -> None:
    """33.876 M is the count of a well-known copy on torchvision's ResNet-50, and so is that of the pyramid; ASP-OC is
    that of the authors' layers, as the copy has twice the channels there (64.553 M). Convolutions in front of a norm
    have a bias in both, which the norm takes out again; here they have none."""
    with torch.device("meta"):
        net = OCNet(classes=19, module=module)
    assert sum(parameter.numel() for parameter in net.parameters()) == known - biases


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_attention_is_that_of_a_loop_over_blocks(parts: int) -> None:
    torch.manual_seed(0)
    attention = _SelfAttention(8, 6, parts).eval()
    features = torch.randn(2, 8, 2 * parts, parts)
    assert not attention(features).any()  # nothing is said at first
    torch.nn.init.normal_(attention.project.weight)
    key, value = attention.key(features), attention.value(features)
    context = torch.zeros_like(value)
    pixels = [(row, column) for row in range(2 * parts) for column in range(parts)]
    for image in range(2):
        for row, column in pixels:
            block = [(r, c) for r, c in pixels if r // 2 == row // 2 and c == column]
            scores = torch.stack([key[image, :, row, column] @ key[image, :, r, c] for r, c in block])
            for weight, (r, c) in zip((scores / 4**0.5).softmax(0), block, strict=True):
                context[image, :, row, column] += weight * value[image, :, r, c]
    torch.testing.assert_close(attention(features), attention.project(context))


@pytest.mark.parametrize(("module", "stride"), [("base", 8), ("asp", 16), ("pyramid", 48)])
def test_features_can_be_divided(module: str, stride: int) -> None:
    net = OCNet("resnet18", classes=5, module=module, decoder_channels=8).eval()
    assert net.stride == stride
    with torch.no_grad():
        assert net(torch.randn(1, 3, stride, 2 * stride)).shape == (1, 5, stride // 8, stride // 4)


def test_what_is_traced_from_two_images_takes_one() -> None:
    attention = _SelfAttention(4, 4).eval()
    torch.nn.init.normal_(attention.project.weight)
    features = torch.randn(2, 4, 5, 6)
    with torch.fx.experimental._config.patch(backed_size_oblivious=True):
        program = torch.export.export(attention, (features,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    torch.testing.assert_close(program.module()(features[:1]), attention(features[:1]))


def test_another_module_is_refused() -> None:
    with pytest.raises(ValueError, match="module is 'aspp', but must be one of base, pyramid, asp"):
        OCNet(module="aspp")
