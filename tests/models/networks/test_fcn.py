import torch
import torchvision

from segtrain.config.schema import ModelConfig
from segtrain.models.model import SegmentationModel, build_model


def build() -> SegmentationModel:
    config = ModelConfig(name="FCN", encoder_name="resnet50", aux=0.4)
    return build_model(config, channels=3, outputs=21, training=True)


def test_parameters_are_as_many_as_torchvisions():
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in build().parameters()) == 35_322_218


def test_logits_are_torchvisions_with_its_weights_and_auxiliary_ones_too():
    torch.manual_seed(0)
    build_theirs = torchvision.models.segmentation.fcn_resnet50
    theirs = build_theirs(weights=None, weights_backbone=None, num_classes=21, aux_loss=True).eval()
    ours = build().eval()
    ours.net.encoder.load_state_dict(theirs.backbone.state_dict())
    for head, like in ((ours.net.decoder, theirs.classifier), (ours.aux.head, theirs.aux_classifier)):
        assert len(head.state_dict()) == len(like.state_dict())
        head.load_state_dict(dict(zip(head.state_dict(), like.state_dict().values(), strict=True)))
    images = torch.rand(1, 3, 64, 96) * 255
    with torch.no_grad():
        expected = theirs((images - ours.mean) / ours.std)
        ours.training = ours.aux.training = True  # not of their layers: dropout stays off, and norms stay as they are
        logits, auxiliary = ours(images)
    for given, wanted in ((logits, expected["out"]), (auxiliary, expected["aux"])):
        torch.testing.assert_close(given, wanted, rtol=0, atol=1e-4 * float(wanted.abs().max()))
