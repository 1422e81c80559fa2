"""A loss or a weight that is not finite ends the training and spoils nothing that was saved."""

import pytest
import torch

from segtrain.checkpoint import load_checkpoint
from segtrain.errors import TrainingError
from segtrain.training.loop import fit

NAN_LOSS = """
import torch

class NanLoss(torch.nn.Module):
    '''Zero, and not a number in the fourth batch that is trained.'''

    def __init__(self):
        super().__init__()
        self.trained = 0

    def forward(self, logits, mask):
        self.trained += logits.requires_grad
        return (logits * 0).sum() + (float("nan") if self.trained == 4 else 0.0)

class NanGradient(torch.nn.Module):
    '''Zero, with a gradient that is not a number.'''

    def forward(self, logits, mask):
        return (logits * 0).square().sum().sqrt()
"""


def test_a_loss_that_is_not_finite_stops_and_keeps_what_was_saved(prepare, tmp_path):
    (tmp_path / "own_losses.py").write_text(NAN_LOSS)
    made = prepare("loss={CrossEntropyLoss: 1.0, own_losses.NanLoss: 1.0}", "train.epochs=3", "train.precision=bf16")
    with pytest.raises(TrainingError) as caught:
        fit(made.state, made.loaders, made.loss, made.config.train, made.run)
    assert str(caught.value) == (
        "training stopped at step 4 (epoch 2): own_losses.NanLoss is nan; the last checkpoint before it was kept; "
        "lower optimizer.lr or set train.clip_norm: 1.0 or train.precision: fp32"
    )
    last = load_checkpoint(made.folder / "last.pt")
    assert last["position"] == {"epoch": 1, "step": 0, "total_steps": 2}
    assert all(torch.isfinite(tensor).all() for tensor in last["model"].values())
    assert load_checkpoint(made.folder / "best.pt")["epoch"] == 1


def test_a_weight_that_is_not_finite_is_neither_scored_nor_saved(prepare, tmp_path):
    (tmp_path / "own_gradients.py").write_text(NAN_LOSS)
    made = prepare("loss={own_gradients.NanGradient: 1.0}", "data.batch_size=8")
    with pytest.raises(TrainingError, match=r"^training stopped at step 1 \(epoch 1\): a weight is no longer finite; "):
        fit(made.state, made.loaders, made.loss, made.config.train, made.run)
    assert not list(made.folder.glob("*.pt"))
