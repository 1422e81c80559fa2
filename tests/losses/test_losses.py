import re
from math import inf, log, nan, sqrt

import pytest
import segmentation_models_pytorch as smp
import torch
from sklearn.metrics import jaccard_score, matthews_corrcoef
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from segtrain import losses
from tests.conftest import PROJECT

LOSSES = PROJECT / "docs/how-to/losses.md"

REGION = ("DiceLoss", "JaccardLoss", "TverskyLoss", "FocalTverskyLoss")
SIGNED = ("BoundaryLoss", "RMILoss")  # below 0 where the prediction is good
MODES = {
    "CrossEntropyLoss": ("multiclass",),
    "BCEWithLogitsLoss": ("binary", "multilabel"),
    "MCCLoss": ("multiclass", "binary"),
    **dict.fromkeys(
        (*REGION, *SIGNED, "CLDiceLoss", "FocalLoss", "LovaszLoss"), ("multiclass", "binary", "multilabel")
    ),
}
OPTIONS = [  # what opens another path through a loss
    ("CrossEntropyLoss", "multiclass", {"label_smoothing": 0.1, "class_weights": [0.5, 2.0, 0.0]}),
    ("CrossEntropyLoss", "multiclass", {"ohem": 0.3, "min_kept": 0.5}),
    ("CrossEntropyLoss", "multiclass", {"ohem": 0.5, "class_weights": [0.5, 2.0, 0.0]}),
    ("RMILoss", "multiclass", {"stride": 1}),
    ("RMILoss", "multilabel", {"stride": 2, "radius": 2}),
    ("CLDiceLoss", "multiclass", {"smooth": 0.0, "class_weights": [0.5, 2.0, 1.0]}),
    ("BCEWithLogitsLoss", "multilabel", {"pos_weight": [1.0, 2.0, 3.0], "smooth_factor": 0.1}),
    ("DiceLoss", "multiclass", {"log_loss": True, "class_weights": [0.5, 2.0, 1.0]}),
    ("DiceLoss", "binary", {"log_loss": True}),
    ("TverskyLoss", "multilabel", {"gamma": 0.5, "smooth": 1.0}),
    ("FocalLoss", "multiclass", {"gamma": 0.5, "class_weights": [0.5, 2.0, 1.0]}),
    ("FocalLoss", "binary", {"gamma": 0.0, "alpha": 0.25}),
    ("LovaszLoss", "multiclass", {"per_image": True}),
    ("LovaszLoss", "multilabel", {"per_image": True}),
]
EVERY = [(name, mode, {}) for name, modes in MODES.items() for mode in modes] + OPTIONS
every_loss = pytest.mark.parametrize(("name", "mode", "arguments"), EVERY)


def make(name, mode, arguments=None):
    return getattr(losses, name)(mode, ignore_index=255, **(arguments or {}))


def draw(mode, *, classes=3, size=12, ignored=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 1 if mode == "binary" else classes, size, size, generator=generator)
    shape = logits.shape if mode == "multilabel" else (2, size, size)
    mask = torch.randint(0, classes if mode == "multiclass" else 2, shape, generator=generator)
    if ignored:
        mask[..., :3] = 255
    return logits.requires_grad_(), mask


def run(loss, logits, mask):
    value = loss(logits, mask)
    return value, torch.autograd.grad(value, logits)[0]


# Two pixels and an ignored one. Class 0: probabilities 0.8 and 0.4, true at pixel 0. Class 1: 0.2 and 0.6, true at
# pixel 1. So TP is 0.8 and 0.6, FP is 0.4 and 0.2, FN is 0.2 and 0.4. Binary is class 0 alone.
PROBS = torch.tensor([[0.8, 0.4, 0.1], [0.2, 0.6, 0.9]]).view(1, 2, 1, 3)
CE = -(log(0.8) + log(0.6)) / 2
FOCAL = -(0.2**2 * log(0.8) + 0.4**2 * log(0.6)) / 2
TI = (0.8 / (0.8 + 0.3 * 0.4 + 0.7 * 0.2), 0.6 / (0.6 + 0.3 * 0.2 + 0.7 * 0.4))
HINGE = 1 - log(0.6 / 0.4)  # the other pixel is right by more than the margin of 1
LETTERS = {"alpha": 0.3, "beta": 0.7}
# Cells of one pixel: about their means the mask is 0.5, -0.5 and the probabilities 0.2, -0.2, so that the sums of their
# products are 0.5, 0.08 and 0.2. It is the same for class 1.
CELLS = {"radius": 1, "stride": 1}
RMI = log(0.5 - 0.2**2 / (0.08 + 1e-3) + 1e-3) / 2
GOLDEN = [
    ("CrossEntropyLoss", "multiclass", {}, CE),
    # Weights 1 and 3 of the true classes, divided by their sum.
    ("CrossEntropyLoss", "multiclass", {"class_weights": [1.0, 3.0]}, -(log(0.8) + 3 * log(0.6)) / 4),
    # Targets 0.95 and 0.05.
    ("CrossEntropyLoss", "multiclass", {"label_smoothing": 0.1}, 0.95 * CE - 0.05 * (log(0.2) + log(0.4)) / 2),
    ("CrossEntropyLoss", "multiclass", {"ohem": 0.7}, -log(0.6)),
    ("CrossEntropyLoss", "multiclass", {"ohem": 0.5, "min_kept": 1}, -log(0.6)),
    ("CrossEntropyLoss", "multiclass", {"ohem": 0.5, "min_kept": 0.6}, CE),  # 0.6 of two pixels: more than one
    ("CrossEntropyLoss", "multiclass", {"ohem": 0.5, "min_kept": 9}, CE),  # which there are not
    ("CrossEntropyLoss", "multiclass", {"ohem": 0.5, "min_kept": 0}, 0.0),
    ("CrossEntropyLoss", "multiclass", {"ohem": 0.9, "class_weights": [1.0, 3.0]}, -(log(0.8) + 3 * log(0.6)) / 4),
    # The pixel of a class has distance 0, as the first inside, and the other one 1, as the first outside.
    ("BoundaryLoss", "binary", {}, 0.4 / 2),
    ("BoundaryLoss", "multiclass", {}, (0.4 + 0.2) / 4),
    ("BoundaryLoss", "multilabel", {}, (0.4 + 0.2) / 4),
    ("RMILoss", "binary", CELLS, RMI),
    ("RMILoss", "multiclass", CELLS, RMI),
    ("RMILoss", "multilabel", CELLS, RMI),
    # Erosion leaves 0.4, 0.4 of class 0, opening the same: its skeleton is 0.4, 0, and that of class 1 is 0, 0.4. All
    # of the predicted skeleton lies in the mask; of the true one, a pixel, 0.8 and 0.6 lie in the probabilities.
    ("CLDiceLoss", "binary", {"smooth": 0.0}, 1 - 1.6 / 1.8),
    ("CLDiceLoss", "binary", {}, 1 - 2 * 0.9 / 1.9),  # a precision of 1.4 / 1.4 and a recall of 1.8 / 2
    ("CLDiceLoss", "multiclass", {"smooth": 0.0}, 1 - (1.6 / 1.8 + 1.2 / 1.6) / 2),
    ("CLDiceLoss", "multilabel", {"smooth": 0.0}, 1 - (1.6 / 1.8 + 1.2 / 1.6) / 2),
    ("CLDiceLoss", "multiclass", {"smooth": 0.0, "class_weights": [0.0, 2.0]}, 1 - 1.2 / 1.6),
    ("BCEWithLogitsLoss", "binary", {}, CE),
    ("BCEWithLogitsLoss", "multilabel", {}, CE),
    ("BCEWithLogitsLoss", "binary", {"smooth_factor": 0.1}, 0.9 * CE - 0.1 * (log(0.2) + log(0.4)) / 2),
    # The positives of the channels are 0.8 and 0.6, the negatives the same: (3 + 1) and (1 + 5) parts, of 4 values.
    ("BCEWithLogitsLoss", "multilabel", {"pos_weight": [3.0, 5.0]}, -(4 * log(0.8) + 6 * log(0.6)) / 4),
    ("BCEWithLogitsLoss", "binary", {"pos_weight": 3.0}, -(3 * log(0.8) + log(0.6)) / 2),
    ("DiceLoss", "multiclass", {}, 1 - (1.6 / 2.2 + 1.2 / 1.8) / 2),
    ("DiceLoss", "multilabel", {}, 1 - (1.6 / 2.2 + 1.2 / 1.8) / 2),
    ("DiceLoss", "binary", {}, 1 - 1.6 / 2.2),
    ("DiceLoss", "binary", {"smooth": 1.0}, 1 - 1.8 / 2.1),
    ("DiceLoss", "binary", {"log_loss": True}, -log(1.6 / 2.2)),
    ("DiceLoss", "multiclass", {"class_weights": [1.0, 3.0]}, 1 - (1.6 / 2.2 + 3 * 1.2 / 1.8) / 4),
    ("JaccardLoss", "multiclass", {}, 1 - (0.8 / 1.4 + 0.6 / 1.2) / 2),
    ("JaccardLoss", "multilabel", {}, 1 - (0.8 / 1.4 + 0.6 / 1.2) / 2),
    ("JaccardLoss", "binary", {"smooth": 1.0}, 1 - 1.8 / 2.4),
    ("TverskyLoss", "multiclass", LETTERS, 1 - sum(TI) / 2),
    ("TverskyLoss", "multilabel", {**LETTERS, "gamma": 2.0}, (1 - sum(TI) / 2) ** 2),
    ("TverskyLoss", "binary", {**LETTERS, "smooth": 1.0}, 1 - 1.8 / 2.06),
    ("FocalTverskyLoss", "multiclass", {"gamma": 2.0}, (sqrt(1 - TI[0]) + sqrt(1 - TI[1])) / 2),
    ("FocalTverskyLoss", "multilabel", {"gamma": 2.0}, (sqrt(1 - TI[0]) + sqrt(1 - TI[1])) / 2),
    ("FocalTverskyLoss", "binary", {}, (1 - TI[0]) ** 0.75),
    ("FocalLoss", "multiclass", {}, FOCAL),
    ("FocalLoss", "multilabel", {}, FOCAL),
    ("FocalLoss", "multiclass", {"class_weights": [1.0, 3.0]}, -(0.04 * log(0.8) + 3 * 0.16 * log(0.6)) / 4),
    ("FocalLoss", "binary", {"alpha": 0.25}, -(0.25 * 0.04 * log(0.8) + 0.75 * 0.16 * log(0.6)) / 2),
    # Class 0: the errors, falling, are 0.4 (background: the Jaccard loss goes from 0 to 1/2) and 0.2 (from 1/2 to 1).
    # Class 1: 0.4 (foreground: from 0 to 1) and 0.2 (stays 1).
    ("LovaszLoss", "multiclass", {}, ((0.5 * 0.4 + 0.5 * 0.2) + 0.4) / 2),
    ("LovaszLoss", "binary", {}, 0.5 * HINGE),
    ("LovaszLoss", "multilabel", {}, (0.5 * HINGE + HINGE) / 2),
    # As fractions of the pixels: TP 0.4, predicted 0.6, true 0.5. R_K of two classes is the binary coefficient.
    ("MCCLoss", "binary", {}, 1 - (0.4 - 0.6 * 0.5) / sqrt(0.6 * 0.4 * 0.5 * 0.5)),
    ("MCCLoss", "multiclass", {}, 1 - (0.4 - 0.6 * 0.5) / sqrt(0.6 * 0.4 * 0.5 * 0.5)),
]


@pytest.mark.parametrize(("name", "mode", "arguments", "expected"), GOLDEN)
def test_value_by_hand(name, mode, arguments, expected):
    if mode == "multilabel":
        mask = torch.tensor([[1, 0, 255], [0, 1, 255]]).view(1, 2, 1, 3)
    else:
        mask = torch.tensor([[[0, 1, 255]]]) if mode == "multiclass" else torch.tensor([[[1, 0, 255]]])
    logits = PROBS.log() if mode == "multiclass" else PROBS.logit()
    value = make(name, mode, arguments)(logits[:, :1] if mode == "binary" else logits, mask)
    assert value.item() == pytest.approx(expected, abs=1e-6)


def test_golden_values_cover_every_loss_and_mode():
    assert set(MODES) == {name for name in losses.__all__ if getattr(losses, name).takes == "logits"}
    assert {(name, mode) for name, mode, _ in EVERY} == {(name, mode) for name, mode, *_ in GOLDEN}


@pytest.mark.parametrize("name", [*REGION, "CLDiceLoss", "LovaszLoss"])
def test_class_absent_from_the_mask_does_not_count(name):
    # A third class that nobody predicts or holds: its probability is e^-100.
    logits = torch.cat([PROBS.log(), torch.full((1, 1, 1, 3), -100.0)], 1)
    mask = torch.tensor([[[0, 1, 255]]])
    loss = make(name, "multiclass")
    torch.testing.assert_close(loss(logits, mask), loss(PROBS.log(), mask))


def naive(name, logits, mask):
    """Sums over one-hot tensors of the pixels that are left, in float64."""
    kept = mask != 255
    probs = logits.double().softmax(1).movedim(1, -1)[kept]
    true = nn.functional.one_hot(mask[kept], logits.shape[1])
    tp, fp, fn = (probs * true).sum(0), (probs * (1 - true)).sum(0), ((1 - probs) * true).sum(0)
    if name == "MCCLoss":
        count, hits, predicted, held = len(true), tp.sum(), probs.sum(0), true.sum(0)
        wide = (count**2 - (predicted**2).sum()) * (count**2 - (held**2).sum())
        return 1 - (hits * count - (predicted * held).sum()) / wide.sqrt()
    if name == "FocalLoss":
        return -((1 - probs) ** 2 * probs.log() * true).sum() / len(true)
    by_class = {
        "DiceLoss": 1 - 2 * tp / (2 * tp + fp + fn),
        "JaccardLoss": 1 - tp / (tp + fp + fn),
        "TverskyLoss": 1 - tp / (tp + 0.5 * fp + 0.5 * fn),
        "FocalTverskyLoss": (1 - tp / (tp + 0.3 * fp + 0.7 * fn)) ** 0.75,
    }
    return by_class[name].mean()


@pytest.mark.parametrize("name", [*REGION, "MCCLoss", "FocalLoss"])
def test_value_and_gradient_of_the_naive_formula(name):
    logits, mask = draw("multiclass")
    expected = naive(name, logits, mask)
    value, gradient = run(make(name, "multiclass"), logits, mask)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0], rtol=1e-4, atol=1e-8)


LIBRARY = [
    (smp.losses.DiceLoss, {"smooth": 0.5}, ("multiclass", "binary", "multilabel")),
    (smp.losses.JaccardLoss, {"smooth": 0.5}, ("multiclass", "binary", "multilabel")),
    (smp.losses.TverskyLoss, {**LETTERS, "gamma": 2.0}, ("multiclass", "binary", "multilabel")),
    (smp.losses.LovaszLoss, {}, ("multiclass", "binary")),
    (smp.losses.LovaszLoss, {"per_image": True}, ("multiclass", "binary")),
    (smp.losses.FocalLoss, {"gamma": 2.0, "alpha": 0.25}, ("binary",)),
]


@pytest.mark.parametrize(("theirs", "arguments", "mode"), [(t, a, mode) for t, a, modes in LIBRARY for mode in modes])
def test_agrees_with_smp_where_all_classes_occur(theirs, arguments, mode):
    logits, mask = draw(mode)
    value, gradient = run(make(theirs.__name__, mode, arguments), logits, mask)
    expected, expected_gradient = run(theirs(mode, ignore_index=255, **arguments), logits, mask)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient, expected_gradient, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("arguments", [{}, {"label_smoothing": 0.2, "weight": [0.5, 2.0, 1.0]}])
def test_agrees_with_torch(arguments):
    logits, mask = draw("multiclass")
    ours = {"class_weights" if key == "weight" else key: value for key, value in arguments.items()}
    if "weight" in arguments:
        arguments = {**arguments, "weight": torch.tensor(arguments["weight"])}
    expected = run(nn.CrossEntropyLoss(ignore_index=255, **arguments), logits, mask)
    torch.testing.assert_close(run(make("CrossEntropyLoss", "multiclass", ours), logits, mask), expected)
    if "weight" not in arguments:
        torch.testing.assert_close(run(make("FocalLoss", "multiclass", {"gamma": 0.0}), logits, mask), expected)


def test_sure_predictions_give_the_metrics_of_sklearn():
    logits, mask = draw("multiclass", ignored=False)
    true, prediction = mask.flatten().numpy(), logits.argmax(1).flatten().numpy()
    sure = logits * 1e4
    assert make("MCCLoss", "multiclass")(sure, mask).item() == pytest.approx(
        1 - matthews_corrcoef(true, prediction), abs=1e-5
    )
    iou = jaccard_score(true, prediction, average="macro")
    for name in ("JaccardLoss", "LovaszLoss"):  # the Lovasz extension is the Jaccard loss at the corners
        assert make(name, "multiclass")(sure, mask).item() == pytest.approx(1 - iou, abs=1e-5)


@every_loss
@pytest.mark.parametrize("wild", [1e4, -1e4, inf, nan])
def test_ignored_pixels_change_nothing(name, mode, arguments, wild):
    logits, mask = draw(mode, ignored=False)
    wider = torch.cat([logits.detach(), torch.full((*logits.shape[:3], 5), wild)], 3).requires_grad_()
    wider.data[:, 0, :, 12:] *= -1
    wider_mask = torch.cat([mask, torch.full((*mask.shape[:-1], 5), 255)], -1)
    loss = make(name, mode, arguments)
    value, gradient = run(loss, logits, mask)
    wider_value, wider_gradient = run(loss, wider, wider_mask)
    torch.testing.assert_close(wider_value, value, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(wider_gradient[..., :12], gradient, rtol=1e-4, atol=1e-8)
    assert (wider_gradient[..., 12:] == 0).all()


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_only_ignored_pixels_give_zero_and_gradient_zero(name, mode, arguments, dtype):
    logits, mask = draw(mode)
    logits = logits.detach().to(dtype).requires_grad_()
    value, gradient = run(make(name, mode, arguments), logits, torch.full_like(mask, 255))
    assert value.item() == 0 and (gradient == 0).all()


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_and_autocast_give_the_float32_loss(name, mode, arguments, dtype):
    logits, mask = draw(mode)
    half = logits.detach().to(dtype).requires_grad_()
    loss = make(name, mode, arguments)
    expected, expected_gradient = run(loss, half.detach().float().requires_grad_(), mask)
    with torch.autocast("cpu", dtype=dtype):
        value, gradient = run(loss, half, mask)
    assert value.dtype == torch.float32 and gradient.dtype == dtype
    assert value.item() == expected.item()
    torch.testing.assert_close(gradient, expected_gradient.to(dtype))


@every_loss
@pytest.mark.parametrize("answer", ["right", "wrong", "one class", "random"])
def test_extreme_logits_give_finite_losses_and_gradients(name, mode, arguments, answer):
    logits, mask = draw(mode)
    if mode == "multiclass":
        right = nn.functional.one_hot(mask.where(mask != 255, 0), 3).movedim(-1, 1) * 2 - 1
    else:
        right = mask.view_as(logits).where(mask.view_as(logits) != 255, 0) * 2 - 1
    signs = {"right": right, "wrong": -right, "one class": torch.ones_like(right), "random": logits.sign()}[answer]
    for size in (1e4, 30.0):
        value, gradient = run(make(name, mode, arguments), (signs * size).float().requires_grad_(), mask)
        assert value.isfinite() and (value >= 0 or name in SIGNED) and gradient.isfinite().all()


def test_counts_stay_exact_over_millions_of_pixels():
    # A running float32 sum of 0.1 is off by percents here.
    logits = torch.full((1, 1, 2048, 2048), log(0.1 / 0.9), dtype=torch.float16)
    mask = torch.ones(1, 2048, 2048, dtype=torch.int64)
    p = logits[0, 0, 0, 0].double().sigmoid().item()
    assert make("JaccardLoss", "binary")(logits, mask).item() == pytest.approx(1 - p, rel=1e-5)
    both = torch.cat([torch.zeros_like(logits), logits], 1)
    assert make("JaccardLoss", "multiclass")(both, mask).item() == pytest.approx(1 - p, rel=1e-5)


@every_loss
def test_forward_never_waits_for_the_device(name, mode, arguments):
    # Fake CUDA tensors have no values: whatever would bring one to the host raises.
    with FakeTensorMode():
        logits, mask = (tensor.to("cuda") for tensor in draw(mode, ignored=False))
        assert make(name, mode, arguments).to("cuda")(logits, mask).shape == ()


def test_fake_cuda_tensors_notice_a_wait():
    with FakeTensorMode(), pytest.raises(DataDependentOutputException):
        torch.ones(2, device="cuda").sum().item()


@pytest.mark.parametrize(
    ("name", "mode", "logits", "mask", "text"),
    [
        ("DiceLoss", "binary", (2, 1, 4, 4), (2, 1, 4, 4), "(N, 1, H, W) and a mask (N, H, W)"),
        ("BCEWithLogitsLoss", "binary", (2, 2, 4, 4), (2, 4, 4), "(N, 1, H, W) and a mask (N, H, W)"),
        ("CrossEntropyLoss", "multiclass", (2, 3, 4, 4), (2, 4, 5), "(N, C, H, W) and a mask (N, H, W)"),
        ("LovaszLoss", "multilabel", (2, 3, 4, 4), (2, 4, 4), "(N, C, H, W) and a mask (N, C, H, W)"),
    ],
)
def test_wrong_shapes_are_told(name, mode, logits, mask, text):
    with pytest.raises(ValueError) as error:
        make(name, mode)(torch.zeros(logits), torch.zeros(mask, dtype=torch.int64))
    assert str(error.value) == f"{mode} expects logits {text}, not {logits} and {mask}"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"class_weights": [1.0, 2.0]}, "class_weights has 2 numbers for 3 classes"),
        ({"class_weights": "enet"}, "class_weights 'enet' is a name, which only build_loss resolves; give numbers"),
    ],
)
def test_class_weights_must_fit(arguments, text):
    with pytest.raises(ValueError, match=text):
        make("CrossEntropyLoss", "multiclass", arguments)(*draw("multiclass"))


def test_the_table_in_docs_lists_every_loss_with_its_modes():
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|([^|]*)\|([^|]*)\|", LOSSES.read_text(encoding="utf-8"), flags=re.M)
    modes = ("multiclass", "binary", "multilabel")
    table = {
        name: tuple(mode for mode, cell in zip(modes, cells, strict=True) if "yes" in cell) for name, *cells in rows
    }
    others = {name: getattr(losses, name).modes for name in losses.__all__ if name not in MODES}
    assert table == MODES | others
