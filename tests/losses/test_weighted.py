from types import SimpleNamespace

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from segtrain.config.schema import Config
from segtrain.errors import ConfigError
from segtrain.losses import DiceLoss, SELoss
from segtrain.losses.build import build_loss
from segtrain.losses.lovasz import LovaszLoss
from segtrain.losses.pixel import CrossEntropyLoss
from segtrain.training.build import place_loss

CLASS_PIXELS, IMAGE_PIXELS = np.array([100.0, 50.0, 0.0]), np.array([200.0, 200.0, 0.0])
INVERSE = pytest.approx([1.5 / 2.25, 3 / 2.25, 0])  # 1 / p is 1.5 and 3, of mean 2.25


def term(coef=1.0, from_epoch=0, **arguments):
    return SimpleNamespace(coef=coef, from_epoch=from_epoch, arguments=arguments)


def build(terms, *, mode="multiclass", class_statistics=None, aux=0.0):
    return build_loss(terms, mode=mode, ignore_index=255, class_statistics=class_statistics, aux=aux)


def draw(mode, *, ignored=True):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1 if mode == "binary" else 3, 12, 12, generator=generator)
    shape = logits.shape if mode == "multilabel" else (2, 12, 12)
    mask = torch.randint(0, 3 if mode == "multiclass" else 2, shape, generator=generator)
    if ignored:
        mask[..., :3] = 255
    return logits.requires_grad_(), mask


def test_weighted_sum_and_from_epoch():
    logits, mask = draw("multiclass")
    loss = build({"CrossEntropyLoss": term(), "DiceLoss": term(coef=0.5, smooth=1.0), "LovaszLoss": term(2.0, 3)})
    ce = CrossEntropyLoss("multiclass")(logits, mask)
    dice = DiceLoss("multiclass", smooth=1.0)(logits, mask)
    lovasz = LovaszLoss("multiclass")(logits, mask)
    total, values = loss(logits, mask, 2)
    assert values == {"CrossEntropyLoss": ce, "DiceLoss": dice}
    torch.testing.assert_close(total, ce + 0.5 * dice)
    total, values = loss(logits, mask, 3)
    assert values == {"CrossEntropyLoss": ce, "DiceLoss": dice, "LovaszLoss": lovasz}
    torch.testing.assert_close(total, ce + 0.5 * dice + 2 * lovasz)


def test_named_class_weights_are_computed_kept_for_printing_and_move_with_the_module():
    terms = {"CrossEntropyLoss": term(class_weights="inverse")}
    loss = build(terms, class_statistics=lambda: (CLASS_PIXELS, IMAGE_PIXELS))
    assert loss.class_weights == {"CrossEntropyLoss": INVERSE}
    assert loss.state_dict()["losses.0.class_weights"].tolist() == INVERSE
    assert [buffer.device.type for buffer in loss.to("meta").buffers()] == ["meta"]


@pytest.mark.parametrize("class_statistics", [None, lambda: None])
def test_named_class_weights_without_statistics_are_uniform(class_statistics):
    logits, mask = draw("multiclass")
    loss = build({"CrossEntropyLoss": term(class_weights="enet")}, class_statistics=class_statistics)
    assert loss.class_weights == {}
    assert loss(logits, mask, 0)[0] == CrossEntropyLoss("multiclass")(logits, mask)


def test_statistics_are_read_once_and_only_for_names():
    calls = []

    def statistics():
        calls.append(1)
        return CLASS_PIXELS, IMAGE_PIXELS

    terms = {"CrossEntropyLoss": term(class_weights=[1, 2, 3]), "LovaszLoss": term()}
    assert build(terms, class_statistics=statistics).class_weights == {"CrossEntropyLoss": [1.0, 2.0, 3.0]}
    assert not calls
    foreign = "segmentation_models_pytorch.losses.DiceLoss"
    terms = {foreign: term(class_weights="inverse"), "FocalLoss": term(class_weights="inverse")}
    assert build(terms, class_statistics=statistics).class_weights == {foreign: INVERSE, "FocalLoss": INVERSE}
    assert len(calls) == 1


class PlainLoss(nn.Module):
    """Stands for a user's: the mean of the logits of what is not 255."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    def forward(self, logits, mask):
        assert logits.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        return self.scale * logits[mask != 255].mean()


FOREIGN = [
    ("segmentation_models_pytorch.losses.DiceLoss", "binary", {}),
    ("segmentation_models_pytorch.losses.FocalLoss", "multiclass", {}),
    ("segmentation_models_pytorch.losses.LovaszLoss", "multilabel", {}),
    ("SoftBCEWithLogitsLoss", "multilabel", {}),
    ("SoftCrossEntropyLoss", "multiclass", {"smooth_factor": 0.1}),
    ("torch.nn.BCEWithLogitsLoss", "binary", {"pos_weight": [2.0]}),
    ("torch.nn.BCEWithLogitsLoss", "multilabel", {"pos_weight": [2.0, 1.0, 3.0]}),
    ("torch.nn.CrossEntropyLoss", "multiclass", {"weight": [2.0, 1.0, 3.0]}),
    ("MSELoss", "multilabel", {}),
    (f"{__name__}.PlainLoss", "binary", {"scale": 2.0}),
]


@pytest.mark.parametrize(("name", "mode", "arguments"), FOREIGN)
def test_foreign_loss_of_half_logits_and_of_nothing(name, mode, arguments):
    loss = build({name: term(**arguments)}, mode=mode)
    logits, mask = draw(mode)
    half = logits.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, values = loss(half, mask, 0)
    assert total.dtype == torch.float32 and total.isfinite() and list(values) == [name]
    assert torch.autograd.grad(total, half)[0].isfinite().all()
    total = loss(logits, torch.full_like(mask, 255), 0)[0]
    assert total.item() == 0
    assert (torch.autograd.grad(total, logits)[0] == 0).all()


# smp's Soft losses divide by the ignored pixels too, which ForeignLoss cannot change and says.
@pytest.mark.parametrize(("name", "mode", "arguments"), [case for case in FOREIGN if not case[0].startswith("Soft")])
def test_foreign_loss_leaves_ignored_pixels_out(name, mode, arguments):
    loss = build({name: term(**arguments)}, mode=mode)
    logits, mask = draw(mode)
    kept = loss(logits[..., 3:], mask[..., 3:], 0)[0]
    torch.testing.assert_close(loss(logits, mask, 0)[0], kept)


def test_foreign_values_are_those_of_the_class():
    logits, mask = draw("binary", ignored=False)
    expected = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(2.0))(logits[:, 0], mask.float())
    loss = build({"torch.nn.BCEWithLogitsLoss": term(pos_weight=2.0)}, mode="binary")
    torch.testing.assert_close(loss(logits, mask, 0)[0], expected)
    expected = smp.losses.DiceLoss("binary", smooth=1.0)(logits, mask)
    loss = build({"segmentation_models_pytorch.losses.DiceLoss": term(smooth=1.0)}, mode="binary")
    torch.testing.assert_close(loss(logits, mask, 0)[0], expected)


def test_shapes_are_checked_before_a_foreign_loss_broadcasts_them():
    loss = build({"SoftBCEWithLogitsLoss": term()}, mode="binary")
    with pytest.raises(ValueError, match=r"not \(2, 1, 4, 4\) and \(3, 4, 4\)"):
        loss(torch.zeros(2, 1, 4, 4), torch.zeros(3, 4, 4, dtype=torch.int64), 0)


def test_a_loss_that_refuses_the_batch_is_named():
    loss = build({"SoftCrossEntropyLoss": term()})
    with pytest.raises(ConfigError, match=r"loss\.SoftCrossEntropyLoss: unsupported operand") as error:
        loss(*draw("multiclass"), 0)
    assert isinstance(error.value.__cause__, TypeError)


UNEXPECTED = "__init__() got an unexpected keyword argument"
ERRORS = [
    ({}, "binary", "loss: no term is active in epoch 0 (no term at all)"),
    (
        {"DiceLoss": term(from_epoch=2), "LovaszLoss": term(from_epoch=9)},
        "multiclass",
        "loss: no term is active in epoch 0 (DiceLoss from 2, LovaszLoss from 9)",
    ),
    (
        {"CrossEntropyLoss": term()},
        "binary",
        "loss.CrossEntropyLoss: no mode 'binary'; it has: multiclass; one class is binary: use BCEWithLogitsLoss",
    ),
    (
        {"MCCLoss": term()},
        "multilabel",
        "loss.MCCLoss: no mode 'multilabel'; it has: multiclass, binary; classes overlap: use BCEWithLogitsLoss",
    ),
    ({"DiceLoss": term(smoth=1)}, "binary", f"loss.DiceLoss: DiceLoss.{UNEXPECTED} 'smoth'"),
    ({"FocalLoss": term(gamma=-1)}, "binary", "loss.FocalLoss: gamma is -1, but must be 0 or more"),
    ({"FocalTverskyLoss": term(gamma=0)}, "binary", "loss.FocalTverskyLoss: gamma is 0, but must be above 0"),
    (
        {"CrossEntropyLoss": term(label_smoothing=2)},
        "multiclass",
        "loss.CrossEntropyLoss: label_smoothing is 2, but must be in 0..1",
    ),
    (
        {"FocalLoss": term(alpha=0.5)},
        "multiclass",
        "loss.FocalLoss: alpha weights positives against negatives; for multiclass use class_weights",
    ),
    ({"DiceLoss": term(class_weights=[1])}, "binary", "loss.DiceLoss: class_weights have no effect in mode binary"),
    (
        {"DiceLoss": term(class_weights="enett")},
        "multiclass",
        "loss.DiceLoss.class_weights: no method 'enett'; known: median_frequency, enet, inverse",
    ),
    (
        {"DiceLoss": term(class_weights=["enet", 1])},
        "multiclass",
        "loss.DiceLoss.class_weights: ['enet', 1] is neither a list of numbers nor median_frequency, enet, inverse",
    ),
    (
        {"DiceLoss": term(ignore_index=0)},
        "binary",
        "loss.DiceLoss.ignore_index: is set from data.ignore_index; remove it",
    ),
    (
        {"SoftBCEWithLogitsLoss": term(smoth=1)},
        "binary",
        f"loss.SoftBCEWithLogitsLoss: SoftBCEWithLogitsLoss.{UNEXPECTED} 'smoth'",
    ),
    ({"functional": term()}, "binary", "'functional' is not a subclass of torch.nn.Module"),
]


@pytest.mark.parametrize(("terms", "mode", "text"), ERRORS)
def test_build_errors(terms, mode, text):
    with pytest.raises(ConfigError) as error:
        build(terms, mode=mode)
    assert str(error.value).startswith(text)  # Python 3.13 adds what it may be meant to be


def test_factors_are_shares_of_the_pixels_times_the_batches():
    terms = {"MSELoss": term(), "BCEWithLogitsLoss": term(), "DiceLoss": term()}
    loss = build_loss(terms, mode="binary", ignore_index=255, class_statistics=None)
    masks = torch.zeros(2, 1, 4, 4, dtype=torch.int64)
    masks[1, :, 1:] = 255  # 16 pixels, and 4
    for factor, expected in zip(loss.compute_factors(list(masks)), (2 * 16 / 20, 2 * 4 / 20), strict=True):
        assert factor.keys() == {"MSELoss", "BCEWithLogitsLoss"}  # Dice is no mean over pixels
        assert [float(value) for value in factor.values()] == pytest.approx([expected, expected])
    nothing = loss.compute_factors([torch.full((1, 4, 4), 255)] * 2)
    assert [float(value) for factor in nothing for value in factor.values()] == [0.0] * 4


@pytest.mark.parametrize("mode", ["multiclass", "binary", "multilabel"])
def test_smaller_auxiliary_logits_are_compared_with_the_nearest_pixels_of_the_mask(mode):
    logits, mask = draw(mode)
    smaller = torch.randn(*logits.shape[:2], 4, 4)
    loss = build({"DiceLoss": term(2.0), "TverskyLoss": term(), "LovaszLoss": term(1.0, 3)}, mode=mode, aux=0.4)
    main, alone = loss(logits, mask, 0)
    total, values = loss([logits, smaller, logits], mask, 0)
    # The middle of three pixels; the mean of their classes would be another class.
    expected = loss(smaller, mask[..., 1::3, 1::3], 0)[0] + main
    assert values == alone | {"aux": expected}
    torch.testing.assert_close(total, main + 0.4 * expected)


def test_a_term_takes_its_own_output_in_training_alone():
    logits, mask = draw("multiclass")
    presence, smaller = torch.randn(2, 3), torch.randn(2, 3, 4, 4)
    loss = build({"CrossEntropyLoss": term(), "SELoss": term(0.2, 1)}, aux=0.4)
    ce, se = CrossEntropyLoss("multiclass")(logits, mask), SELoss("multiclass")(presence, mask)
    total, values = loss([logits, {"presence": presence}], mask, 1)
    assert values == {"CrossEntropyLoss": ce, "SELoss": se}
    torch.testing.assert_close(total, ce + 0.2 * se)
    total, values = loss([logits, smaller, {"presence": presence, "edges": smaller}], mask, 1)
    aux = CrossEntropyLoss("multiclass")(smaller, mask[..., 1::3, 1::3])
    assert values == {"CrossEntropyLoss": ce, "SELoss": se, "aux": aux}  # no SELoss of auxiliary logits
    torch.testing.assert_close(total, ce + 0.2 * se + 0.4 * aux)
    for outputs, epoch in ((logits, 1), ([logits, {"presence": presence}], 0)):  # in validation, and before its epoch
        assert loss(outputs, mask, epoch) == (ce, {"CrossEntropyLoss": ce})


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ({"name": "FPN", "aux": 0.4}, "loss.SELoss: needs an output 'presence', which FPN lacks"),
        ({"name": "EncNet"}, "loss.SELoss: needs an auxiliary output; write model.aux: 1 or another factor"),
        ({"name": "EncNet", "aux": 1}, None),
    ],
)
def test_a_term_whose_output_the_network_lacks_is_refused(model, text):
    data = {"root": "data", "classes": ["road", "car"]}
    config = Config.model_validate({"data": data, "model": model, "loss": {"CrossEntropyLoss": 1, "SELoss": 0.2}})
    if text is None:
        assert [*place_loss(config, torch.device("cpu"), statistics=None).terms] == ["CrossEntropyLoss", "SELoss"]
        return
    with pytest.raises(ConfigError) as error:
        place_loss(config, torch.device("cpu"), statistics=None)
    assert str(error.value) == text
