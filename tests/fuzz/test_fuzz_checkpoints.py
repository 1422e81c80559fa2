"""Damaged checkpoints: used, or one line."""

import copy
from functools import partial

import pytest
import torch

from segtrain.checkpoint import BEST, LAST, load_checkpoint
from segtrain.commands.evaluate.source import config_in
from segtrain.config.rules import load_config
from segtrain.inference.load import load_network
from segtrain.models import model
from segtrain.training import resume
from segtrain.training.loop import LossMeter
from segtrain.training.resume import start_or_resume
from segtrain.training.state import build_state
from tests.fuzz.mutate import VALUES, attack, mutate_bytes, mutate_tree, nodes_of

TENSORS = [torch.zeros(()), torch.zeros(3), torch.zeros(2, 3, dtype=torch.int64), torch.zeros(5, dtype=torch.uint8)]
TENSORS += [torch.full((4,), float("nan")), torch.zeros(2, dtype=torch.complex64), torch.zeros(0, 4), torch.tensor(7)]
WITHOUT = ("model", "optimizer")  # of their hundreds of tensors some are changed apart


def mutate_checkpoint(content: dict, rng) -> object:
    """The content with a key's value replaced by one of another type or kind, or something inside it."""
    content = {key: copy.copy(value) for key, value in content.items()}
    pool = VALUES + TENSORS + nodes_of({key: value for key, value in content.items() if key not in WITHOUT})
    choice = rng.random()
    if choice < 0.03:
        return rng.choice(pool)
    key = rng.choice(list(content))
    if choice < 0.2:
        content[key] = rng.choice(pool)
    elif choice < 0.25:
        del content[key]
    else:
        content[key] = mutate_tree(content[key], rng, pool)
    return content


def save(path, content: dict, whole: bytes, rng) -> object:
    """Write the damaged content, or its damaged bytes; return the keys that are others now."""
    if rng.random() < 0.15:
        path.write_bytes(mutate_bytes(whole, rng, head=2000))
        return "bytes"
    changed = mutate_checkpoint(content, rng)
    torch.save(changed, path)
    if not isinstance(changed, dict):
        return changed
    others = [key for key in content if changed.get(key) is not content[key] and key not in WITHOUT]
    return {key: changed.get(key, "gone") for key in others}


@pytest.fixture
def quick(monkeypatch):
    """A network is built once for each configuration, and then copied; the commit is not asked for."""
    made, create = {}, model._create

    def copied(*arguments, **options):
        key = repr((arguments, options))
        if key not in made:
            made[key] = create(*arguments, **options)
        return copy.deepcopy(made[key])

    monkeypatch.setattr(model, "_create", copied)
    monkeypatch.setattr(resume, "_git", lambda *_: "")


FEW_TENSORS = ("train.epochs=1", "log.images=0", "model.encoder_name=tu-test_efficientnet", "train.ema_decay=0.9")


@pytest.mark.usefixtures("quick")
def test_best(fitted):
    """As predict, evaluate and export load it."""
    kept = fitted(*FEW_TENSORS).folder
    path = kept / BEST
    whole, content = path.read_bytes(), load_checkpoint(path)

    def use():
        network = load_network(kept, device="cpu")
        config_in(kept, trust=False)
        assert network.probabilities(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).shape[1] == 7

    use()
    attack(100, partial(save, path, content, whole), use, root=kept.parent)


@pytest.mark.usefixtures("quick")
def test_last(fitted):
    """As --resume loads it, and makes a step."""
    made = fitted(*FEW_TENSORS)
    path = made.folder / LAST
    whole, content = path.read_bytes(), load_checkpoint(path)
    config = load_config([], resume=str(made.folder))
    steps = made.loaders.train.steps_per_epoch
    network = made.state.model

    def use():
        state = build_state(config, network, steps_per_epoch=steps, samples=made.loaders.fingerprints)
        with start_or_resume(config, state, resume=str(made.folder)) as resumed:
            LossMeter(state).means() if state.step else None
            for parameter in network.parameters():
                parameter.grad = torch.zeros_like(parameter)
            state.optimizer.step()
            state.schedule.after("step")
            next(made.loaders.train.stream(state.epoch, state.step))
            resumed.save_last(state)

    use()
    attack(80, partial(save, path, content, whole), use, root=made.folder.parent, may_write=(made.folder,))
