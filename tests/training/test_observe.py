"""What Weights & Biases is told of a training: resolved values, histograms, the norm of the gradient."""

import os

import numpy as np
import pytest
import torch
import wandb

from segtrain.training.loop import fit
from segtrain.training.observe import observe
from tests.log.wandb_records import find_runs, read_history, read_items, read_records

WATCHED = ["log.wandb.mode=offline", "log.wandb.watch=all", "log.wandb.watch_every_steps=3", "log.every_steps=1"]


@pytest.fixture
def observed(prepare, monkeypatch):
    """A small training of four steps, watched every third, and what was seen of its gradients and weights."""
    for name in [name for name in os.environ if name.startswith("WANDB")]:
        monkeypatch.delenv(name)
    made = prepare(*WATCHED, "train.clip_norm=.inf", "train.precision=fp32")
    seen = []

    def look(*_) -> None:
        pairs = [(name, p.grad, p.detach()) for name, p in made.state.model.named_parameters() if p.grad is not None]
        seen.append({name: (grad.numpy().copy(), weight.numpy().copy()) for name, grad, weight in pairs})

    observe(made.state, made.loaders, made.run)
    made.state.optimizer.register_step_pre_hook(look)
    fit(made.state, made.loaders, made.loss, made.config.train, made.run)
    made.run.report(made.state)
    wandb.teardown()
    (run,) = find_runs(made.folder)
    made.rows, made.seen, made.records = read_history(run), seen, [*read_records(run)]
    return made


def test_histograms_norms_and_resolved_values(observed):
    assert [row["step"] for row in observed.rows] == [1, 2, 3, 4]
    norms = [np.sqrt(sum(np.sum(grad.astype(float) ** 2) for grad, _ in step.values())) for step in observed.seen]
    assert [row["train/grad_norm"] for row in observed.rows] == pytest.approx(norms, rel=1e-5)

    assert [any(key.startswith("gradients/") for key in row) for row in observed.rows] == [False, False, True, False]
    row, step = observed.rows[2], observed.seen[2]
    assert {key for key in row if key.startswith("gradients/")} == {f"gradients/{name}" for name in step}
    for name, arrays in step.items():
        for kind, values in zip(("gradients", "parameters"), arrays, strict=True):
            counts, edges = np.histogram(values, bins=64)
            shown = row[f"{kind}/{name}"]
            assert shown["values"] == counts.tolist() and shown["bins"] == pytest.approx(edges.tolist(), rel=1e-5)

    changes = [item for record in observed.records if record.HasField("config") for item in record.config.update]
    resolved = read_items(changes)["resolved"]
    parameters = sum(p.numel() for p in observed.state.model.parameters())
    expected = {"device": "cpu", "gpu": None, "processes": 1, "precision": "float32", "classes": 7, "batch_size": 4}
    expected |= {"images": {"training": 8, "validation": 4}, "parameters": parameters, "steps_per_epoch": 2}
    assert {key: resolved[key] for key in expected} == expected
    assert resolved["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert resolved["fingerprint"] == {split: digest for split, (_, digest) in observed.loaders.fingerprints.items()}


def test_without_clipping_there_is_no_norm(fitted):
    made = fitted("train.epochs=1")
    assert made.state.grad_norm is None and not [name for name in made.table if "grad" in name]
