"""From images to predictions, the same way in validation, in prediction and in your own code."""

from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from segtrain.checkpoint import BEST, find_checkpoint, load_checkpoint
from segtrain.data.dataset import images_to_tensor
from segtrain.errors import CheckpointError
from segtrain.experiment import Config
from segtrain.model import SegmentationModel, build_model
from segtrain.optim import resolve_device, resolve_precision
from segtrain.resolve import known_names
from segtrain.transforms import apply_eval, build_eval_transform, transform_names


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """Mixed precision in `dtype`; float32 means none."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


class Predictor:
    """A model that takes images of any size to class indices of the same size."""

    def __init__(self, model: SegmentationModel, config: Config, *, device: torch.device, dtype: torch.dtype):
        layout = torch.channels_last if config.train.channels_last else torch.contiguous_format
        self.model = model.to(device, memory_format=layout).eval()
        self.config = config
        self.mode = config.data.mode
        self.device = device
        self.dtype = dtype
        self.transform = build_eval_transform(config.transforms.val)

    @classmethod
    def load(cls, run: Path | str, *, device: str = "auto", precision: str | None = None) -> "Predictor":
        """From a run folder (its best.pt) or a checkpoint file.

        The model is rebuilt from the configuration in the checkpoint, which may name nothing but smp's and
        albumentations' own classes. Raises CheckpointError for what is not such a checkpoint.
        """
        path = find_checkpoint(Path(run), BEST)
        content = load_checkpoint(path)
        config = read_config(content, path)
        chosen = resolve_device(device)
        model = build_model(
            config.model, channels=config.data.channels, outputs=len(config.data.classes), pretrained=False
        )
        load_weights(model, content.get("ema") or content.get("model"), path)  # what validation scored
        return cls(model, config, device=chosen, dtype=resolve_precision(precision or config.train.precision, chosen))

    @torch.inference_mode()
    def logits(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits (N, classes, *size) float32 for images (N, C, H, W) uint8, resized where the images were."""
        images = images.to(self.device, non_blocking=True)
        with autocast(self.device, self.dtype):
            logits = self.model(images)
        logits = logits.float()
        if logits.shape[-2:] != size:
            logits = functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return logits

    def labels(self, logits: Tensor) -> Tensor:
        """Class indices (N, H, W) int64 of logits (N, classes, H, W): the largest one, or above 0 for a single
        class; in multilabel layers (N, classes, H, W), 1 above 0."""
        if self.mode == "multiclass":
            return logits.argmax(1)
        return (logits > 0).long() if self.mode == "multilabel" else (logits[:, 0] > 0).long()

    def predict(self, image: np.ndarray) -> np.ndarray:
        """The prediction, HW int64 class indices, or in multilabel CHW layers of 0 and 1, for an image of any size: HWC
        uint8, 0..255, or float32 in 0..1 as read_image gives it where data.scale is set."""
        size = image.shape[:2]
        image = apply_eval(self.transform, image)
        return self.labels(self.logits(images_to_tensor([image]), size))[0].cpu().numpy()


def read_config(content: dict, path: Path) -> Config:
    """The configuration in a checkpoint. Raises CheckpointError where it is none, or names a class of somebody else."""
    try:
        config = Config.model_validate(content["config"])
    except (KeyError, ValidationError) as error:
        raise CheckpointError(f"{path}: its configuration cannot be read: {str(error).splitlines()[0]}") from error
    if config.model.name not in known_names("model"):
        raise CheckpointError(f"{path}: names the model '{config.model.name}', which smp does not have")
    foreign = [name for name in transform_names(config.transforms.val) if name not in known_names("transform")]
    if foreign:
        raise CheckpointError(f"{path}: transforms.val names {foreign[0]}, which albumentations does not have")
    return config


def load_weights(model: torch.nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load a state dict. Raises CheckpointError where it is not this model's."""
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: its weights do not fit its configuration: {str(error).splitlines()[-1].strip()}"
        ) from error
