"""EoMT: its size, its scores, and what the queries change in a transformer."""

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from segtrain.models.networks.eomt import EoMT, _log_scores


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameters() -> None:
    """The transformer without its classifier, and the layers of the official code: queries, a layer of classes, three
    of masks, and two blocks of a transposed convolution, a depthwise one without bias, and a norm."""
    with torch.device("meta"):
        net = EoMT("tu-vit_large_patch14_reg4_dinov2", classes=150)
        encoder = timm.create_model("vit_large_patch14_reg4_dinov2", num_classes=0)
    width = 1024
    masks, enlarge = 3 * (width + 1) * width, 2 * ((4 * width + 1) * width + 9 * width + 2 * width)
    assert count(net.decoder) == 100 * width + (width + 1) * 151 + masks + enlarge
    assert count(net) == count(net.decoder) + count(encoder)


@pytest.mark.parametrize(
    ("name", "first", "stride"),
    [
        ("vit_small_patch14_dinov2", 9, 3.5),  # 3 of 12
        ("vit_large_patch16_dinov3", 20, 4),  # 4 of 24
        ("vit_giant_patch14_dinov2", 35, 3.5),  # 5 of 40
        ("vit_small_patch8_224", 9, 4),
        ("vit_small_patch32_224", 9, 4),
    ],
)
def test_defaults(name: str, first: int, stride: float) -> None:
    with torch.device("meta"):
        net = EoMT(f"tu-{name}", num_queries=2)
    assert (net.first, net.logits_stride) == (first, stride)


def test_scores() -> None:
    classes, masks = torch.randn(2, 4, 3 + 1), torch.randn(2, 4, 5, 6)
    logits = _log_scores(classes, masks)
    scores = torch.zeros(2, 3, 5, 6)
    for query in range(4):
        scores += classes.softmax(-1)[:, query, :3, None, None] * masks.sigmoid()[:, query, None]
    torch.testing.assert_close(logits, scores.log())
    torch.testing.assert_close(logits.softmax(1), scores / scores.sum(1, keepdim=True))


def test_scores_smaller_than_any_number() -> None:
    """sigmoid(-300) is 0 in float32, and so is softmax of -200 beside 0; their logarithms are not."""
    classes, masks = torch.tensor([[[-200.0, -210.0, 0.0]]]), torch.full((1, 1, 1, 1), -300.0, requires_grad=True)
    logits = _log_scores(classes, masks)
    torch.testing.assert_close(logits.flatten(), torch.tensor([-500.0, -510.0]))
    logits.sum().backward()
    torch.testing.assert_close(masks.grad.flatten(), torch.tensor([2.0]))


def hide(queries: int) -> Any:
    """A hook by which nothing but queries sees queries."""

    def add_mask(block: nn.Module, given: tuple[Tensor], options: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        length = given[0].shape[1]
        mask = torch.zeros(length, length)
        mask[queries:, :queries] = -torch.inf
        return given, options | {"attn_mask": mask}

    return add_mask


@pytest.mark.parametrize(
    "name",
    [
        "test_vit",
        "deit_tiny_distilled_patch16_224",
        "eva02_tiny_patch14_224",
        "vit_tiny_patch16_dinov3_qkvb",
        "vit_small_patch16_rope_mixed_224",
    ],
)
def test_patches_that_see_no_queries_are_those_of_the_encoder(name: str) -> None:
    net = EoMT(f"tu-{name}", num_queries=3, num_blocks=2).eval()
    patch = net.encoder.output_stride
    images = torch.randn(2, 3, 2 * patch, 3 * patch)
    with torch.no_grad():
        for block in net.encoder.model.blocks[net.first :]:
            for key, scale in block.named_parameters():
                if "gamma" in key:
                    scale.fill_(1.0)  # which begins at 1e-5, so that nothing would be seen
            block.attn.num_prefix_tokens = net.encoder.model.num_prefix_tokens  # as timm built it
        expected = net.encoder(images)[-1]
        for block in net.encoder.model.blocks[net.first :]:
            block.attn.num_prefix_tokens += 3
        seen = net._encode(images)[1]
        assert (seen - expected).abs().max() > 1e-4  # queries do change them
        for block in net.encoder.model.blocks[net.first :]:
            block.register_forward_pre_hook(hide(3), with_kwargs=True)
        torch.testing.assert_close(net._encode(images)[1], expected, rtol=1e-4, atol=1e-4)


def test_the_further_output_is_what_the_logits_are_made_of() -> None:
    net = EoMT("tu-test_vit", classes=4, num_queries=3, num_blocks=1)
    logits, further = net(torch.randn(2, 3, 32, 48))
    classes, masks = further["queries"]["classes"], further["queries"]["masks"]
    assert classes.shape == (2, 3, 5) and masks.shape == (2, 3, 8, 12)
    torch.testing.assert_close(logits, _log_scores(classes, masks))
    net.aux = None
    assert isinstance(net(torch.randn(2, 3, 32, 48)), Tensor)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"encoder_name": "tu-samvit_base_patch16"},
            "VisionTransformerSAM does not accept queries in addition to its patches; use LinearHead or DPT",
        ),
        (
            {"encoder_name": "tu-test_vit", "num_blocks": 99},
            "num_blocks is 99, but must be in 1..6, the number of blocks of the encoder",
        ),
    ],
)
def test_what_it_refuses(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as error, torch.device("meta"):
        EoMT(**arguments)
    assert str(error.value) == text
