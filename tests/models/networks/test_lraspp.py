import torch
import torchvision
from torch import nn

from segtrain.models.networks.lraspp import LRASPP


def count(net_class, **arguments) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in net_class(**arguments).parameters())


def test_parameters_are_as_many_as_torchvisions():
    assert count(LRASPP, classes=21) == 3_221_538


def test_logits_are_torchvisions_with_its_weights():
    """But for the three differences that the module names, which are taken away here."""
    torch.manual_seed(0)
    theirs = torchvision.models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):  # else a norm does nothing
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.eps = 1e-5
    strided = theirs.backbone["13"].block[1][0]
    assert (strided.in_channels, strided.dilation) == (672, (2, 2))
    strided.dilation, strided.padding = (1, 1), (2, 2)
    assert theirs.backbone.return_layers == {"4": "low", "16": "high"}
    theirs.backbone.return_layers = {"6": "low", "16": "high"}
    ours = LRASPP(classes=21).eval()
    copied = dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True))
    ours.load_state_dict(copied)
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = theirs(images)["out"]
        logits = nn.functional.interpolate(ours(images), scale_factor=8, mode="bilinear", align_corners=False)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
