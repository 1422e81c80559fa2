"""Trial of a user's own network: whether it keeps the contract of segtrain.models."""

import copy
import traceback
from pathlib import Path

import torch

from segtrain.errors import ConfigError, reason_of
from segtrain.models.model import SegmentationModel

SIZE = (65, 97)  # odd, so that it has to be padded


def try_network(model: SegmentationModel, name: str, *, outputs: int) -> None:
    """Show a copy of the model two small images, in training and in evaluation. Raises ConfigError where the network
    fails, with the line that did, and where its logits have another shape than they should."""
    trial = copy.deepcopy(model)
    images = torch.zeros(2, model.mean.shape[1], *SIZE)
    for training in (True, False):
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                given = trial.train(training)(images)
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)[::-1]
            where = next((frame for frame in frames if _is_own(frame.filename)), frames[0])
            what = f"{type(error).__name__}: {reason_of(error)}"
            raise ConfigError(f"model.name: {name}: {Path(where.filename).name}:{where.lineno}: {what}") from error
        for logits in given if isinstance(given, list) else [given]:
            if logits.shape != (2, outputs, *SIZE):
                size = logits.shape[2:] != images.shape[2:]
                hint = "; for logits of a quarter of the size, set logits_stride = 4 in the class" if size else ""
                raise ConfigError(
                    f"model.name: {name} returns logits {tuple(logits.shape)} for images {tuple(images.shape)}, not "
                    f"{(2, outputs, *SIZE)}{hint}"
                )


def _is_own(file: str) -> bool:
    """Whether a line of a traceback is the user's, and not of a library or of segtrain."""
    return "site-packages" not in file and not Path(file).is_relative_to(Path(__file__).parent.parent)
