"""Optimizer: the parameter groups, and what can be wrong with its arguments."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.optim import Optimizer

from segtrain.config.libraries import find
from segtrain.config.schema import OptimizerConfig
from segtrain.errors import ConfigError, reason_of
from segtrain.models.model import SegmentationModel

UNUSABLE = {
    "LBFGS": "evaluates the loss several times per step, which segtrain does not support",
    "Adahessian": "needs second derivatives, which segtrain does not compute",
    "Lookahead": "wraps another optimizer, which cannot be configured here",
    "SparseAdam": "needs sparse gradients, but those of a segmentation network are dense",
}


def parameter_groups(model: SegmentationModel, config: OptimizerConfig, encoder_name: str = "") -> list[dict[str, Any]]:
    """Encoder and decoder, each with and without weight decay, and with layer_decay one group for each layer of the
    encoder. Frozen parameters are in no group, and no group is empty.

    Biases and the scales of norms (everything of one dimension) have no weight decay: it would pull norms toward zero.
    """
    if model.encoder is None:
        for key in ("encoder_lr_factor", "layer_decay"):
            if getattr(config, key) != 1.0:
                raise ConfigError(f"optimizer.{key}: {type(model.net).__name__} has no encoder; write 1")
    encoder = {id(parameter): 1.0 for parameter in model.encoder.parameters()} if model.encoder is not None else {}
    if config.layer_decay != 1.0:
        from segtrain.models.layers import find_layers

        layers, named = find_layers(model.encoder, encoder_name), dict(model.encoder.named_parameters())
        last = max(layers.values()) + 1  # the decoder
        encoder = {id(named[name]): config.layer_decay ** (last - layer) for name, layer in layers.items()}
    groups: dict[str, dict[str, Any]] = {}
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        part = "encoder" if id(parameter) in encoder else "decoder"
        decay = parameter.ndim > 1
        share = encoder.get(id(parameter), 1.0)
        lr = config.lr * share * (config.encoder_lr_factor if part == "encoder" else 1.0)
        empty = {"params": [], "lr": lr, "weight_decay": config.weight_decay if decay else 0.0, "part": part}
        groups.setdefault(f"{part}/{share}/{decay}", empty)["params"].append(parameter)
    return list(groups.values())


def build_optimizer(config: OptimizerConfig, model: SegmentationModel, encoder_name: str = "") -> Optimizer:
    """The optimizer of an experiment. Raises ConfigError if it rejects an argument or needs another kind of step."""
    target = find("optimizer", config.name)
    groups = parameter_groups(model, config, encoder_name)
    named = inspect.signature(target).parameters
    if "weight_decay" not in named:
        groups = [{key: value for key, value in group.items() if key != "weight_decay"} for group in groups]
    if target.__name__ in UNUSABLE:
        raise ConfigError(f"optimizer: {target.__name__} {UNUSABLE[target.__name__]}")
    with explained("optimizer", config.name):
        return target(groups, **({"lr": config.lr} if "lr" in named else {}), **config.arguments)


# What to write, by words of torch's own error.
ADVICE = {
    "cycle_momentum": "; write schedule.cycle_momentum: false",
    "Muon only supports 2D": "; write optimizer.name: timm.optim.Muon, which supports all",
}


@contextmanager
def explained(section: str, name: str) -> Iterator[None]:
    """Turn any error of a section's class into a ConfigError that states both, and what to write if that is known."""
    try:
        yield
    except Exception as error:
        advice = next((advice for words, advice in ADVICE.items() if words in str(error)), "")
        raise ConfigError(f"{section}: {name}: {reason_of(error).rstrip('.')}{advice}") from error
