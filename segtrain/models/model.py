"""Segmentation model: a network that normalizes, pads and crops its images itself."""

import inspect
import math
from collections.abc import Sequence
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from segtrain.config.libraries import find, fit_arguments
from segtrain.config.schema import ModelConfig, is_file_name
from segtrain.errors import ConfigError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class SegmentationModel(nn.Module):
    """Logits for images of any size.

    Shape:
        - images: (N, C, H, W), values 0..255, uint8 or float; H and W of at least 1.
        - logits: (N, classes, H, W), float.

    Mean and standard deviation are buffers, so they are saved with the weights and included in every export. Images
    whose sides are not multiples of the encoder's stride are padded at the bottom and right by repeating the border.
    `origin` says where pretrained weights are from, and which were used. During training, a model with auxiliary
    outputs returns a list: its logits, and those of the auxiliary outputs, of the same shape.
    """

    origin: str = ""

    def __init__(self, net: nn.Module, *, mean: Sequence[float], std: Sequence[float], freeze: str | None = None):
        super().__init__()
        self.net = net
        self.stride = getattr(net, "stride", None) or math.lcm(*_strides(net))
        self.minimum_side = 128 if isinstance(net, smp.PAN) else 32  # PAN pools three times at 1/16 of the size
        self.freeze, self.holds_encoder = freeze, False
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1) * 255)
        self.aux: nn.Module | None = None
        if freeze is not None and self.encoder is None:
            raise ConfigError(f"model.freeze: {freeze}: {type(net).__name__} has no encoder; write model.freeze: null")
        for module in self._frozen():
            module.requires_grad_(False)
        self.train(self.training)

    @property
    def encoder(self) -> nn.Module | None:
        """The network's encoder, if it has one."""
        return getattr(self.net, "encoder", None)

    def _frozen(self) -> list[nn.Module]:
        if self.freeze == "encoder" or self.holds_encoder:
            return [self.encoder]
        if self.freeze is None:
            return []
        return [child for child in self.encoder.modules() if isinstance(child, nn.modules.batchnorm._BatchNorm)]

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """See the class. Raises ValueError unless there are four dimensions and the right number of channels."""
        if images.ndim != 4 or images.shape[1] != self.mean.shape[1]:
            raise ValueError(f"expected images (N, {self.mean.shape[1]}, H, W), not {tuple(images.shape)}")
        height, width = images.shape[-2:]
        images = (images.float() - self.mean) / self.std
        bottom, right = self._padded(height) - height, self._padded(width) - width
        if torch.compiler.is_exporting() or bottom or right:  # what is exported decides when it runs
            images = functional.pad(images, (0, right, 0, bottom), mode="replicate")
        outputs = self.net(images)
        logits, *further = [outputs] if isinstance(outputs, Tensor) else outputs
        if (factor := getattr(self.net, "logits_stride", 1)) != 1:
            logits = functional.interpolate(logits, scale_factor=factor, mode="bilinear", align_corners=False)
        logits = logits[..., :height, :width]
        if not self.training:
            return logits
        further += [] if self.aux is None else [self.aux()]
        further = [self._fit(each, images.shape[-2:], (height, width)) for each in further]
        return [logits, *further] if further else logits

    def _fit(self, output: Tensor | dict[str, Tensor], padded: torch.Size, size: tuple[int, int]) -> Any:
        """An auxiliary output for the unpadded image: logits at its size, but those of a cascade at their own."""
        if isinstance(output, dict) or getattr(self.net, "is_cascade", False):
            return _crop(output, padded, size)
        larger = functional.interpolate(output, padded, mode="bilinear", align_corners=False)
        return larger[..., : size[0], : size[1]]

    def _padded(self, side: int) -> int:
        # No negative numbers: ONNX divides them towards zero.
        return (max(side, self.minimum_side) + self.stride - 1) // self.stride * self.stride

    def hold_encoder(self, held: bool) -> None:
        """Freeze the encoder for a while, or train it again except for what is always frozen."""
        self.holds_encoder = held
        self.encoder.requires_grad_(not held)
        for module in self._frozen():
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> "SegmentationModel":
        """Switch to training or evaluation; frozen parts stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self


def _crop(output: Any, padded: torch.Size, size: tuple[int, int]) -> Any:
    """The part of a map of any resolution that belongs to the image, `size`, which was padded to `padded`."""
    if isinstance(output, dict):
        return {key: _crop(value, padded, size) for key, value in output.items()}
    if output.ndim < 4:
        return output
    height, width = (-(-side * own // whole) for side, own, whole in zip(size, output.shape[-2:], padded, strict=True))
    return output[..., :height, :width]


def _strides(net: nn.Module) -> list[int]:
    """Both sides of an image must be multiples of these; transformer pyramids also need their window or patch."""
    patch = getattr(getattr(getattr(net.encoder, "model", None), "patch_embed", None), "patch_size", 1)
    patches = list(patch) if isinstance(patch, (tuple, list)) else [patch]
    # DPT makes a pyramid of 1/4, 1/8, .. of a transformer's one resolution; smp asks for multiples of the patch only.
    pyramid = 2 ** (len(net.encoder.output_strides) + 1) if isinstance(net, smp.DPT) else 1
    return [net.encoder.output_stride, pyramid, *(int(side) for side in patches)]


def is_auxiliary(key: str) -> bool:
    """Whether a tensor of a state dict, of a model or of its network, is only for auxiliary outputs."""
    return key.startswith(("aux.", "net.aux."))


def drop_auxiliary(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove what is only for auxiliary outputs from a state dict; in place, to keep its metadata."""
    for key in [*filter(is_auxiliary, state)]:
        del state[key]
    return state


def build_model(
    config: ModelConfig, *, channels: int, outputs: int, pretrained: bool = True, training: bool = False
) -> SegmentationModel:
    """The model of an experiment for images of `channels` channels, with `outputs` logits per pixel.

    `pretrained=False` does not load encoder_weights: for a model whose weights are loaded later. Auxiliary outputs
    exist only with `training`. Raises ConfigError if the libraries reject an argument, if encoder and architecture do
    not match, and if weights are unavailable.
    """
    source = (config.encoder_weights or None) if pretrained else None
    local = is_file_name(source)
    from_hub = source is not None and not local
    if from_hub:
        from segtrain.models.encoder import describe_hub_weights, require_hub

        require_hub()
    net = _create(config, channels, outputs, weights=source if from_hub else None)
    if source is not None and getattr(net, "encoder", None) is None:
        raise ConfigError(f"model.encoder_weights: {config.name} has no encoder; write model.encoder_weights: null")
    if from_hub and "encoder_weights" not in inspect.signature(type(net)).parameters:
        hint = "write null or the path of a file"
        raise ConfigError(f"model.encoder_weights: {config.name} does not accept names; {hint}")
    if training:
        from segtrain.models.pointwise import subsample_first

        subsample_first(net)
    mean, std = choose_normalization(config, channels, from_hub=from_hub)
    model = SegmentationModel(net, mean=mean, std=std, freeze=config.freeze)
    if local:
        from segtrain.models.pretrained import load_encoder_file

        model.origin = load_encoder_file(net.encoder, source, encoder_name=config.encoder_name or "", channels=channels)
    elif from_hub:
        model.origin = describe_hub_weights(config.encoder_name, source)
    wanted, brings_own = training and bool(config.aux), getattr(net, "aux", None) is not None
    if brings_own and not wanted:
        net.aux = None
    if wanted and (not brings_own or getattr(net, "takes_auxiliary_head", False)):
        from segtrain.models.auxiliary import AuxiliaryHead

        if min(getattr(model.encoder, "out_channels", ())[-2:-1], default=0) == 0:
            what = "has no auxiliary outputs and no encoder with at least two feature maps"
            raise ConfigError(f"model.aux: {config.name} {what}; write model.aux: 0")
        model.aux = AuxiliaryHead(model.encoder, outputs)
    return model


def _create(config: ModelConfig, channels: int, outputs: int, *, weights: Any) -> nn.Module:
    encoder_name = config.encoder_name or ""
    if encoder_name.startswith("tu-") and weights is not None:
        weights = True  # smp's convention for timm encoders, which carry the name of their weights after a dot
    elif weights is True:
        weights = "imagenet"
    target = find("model", config.name)  # whose dotted path read_config refuses where a stranger wrote it
    named = inspect.signature(target).parameters
    encoder = {k: v for k, v in (("encoder_name", encoder_name), ("encoder_weights", weights)) if k in named}
    if encoder_name.startswith("tu-") and any(each.kind is each.VAR_KEYWORD for each in named.values()):
        from segtrain.models.encoder import any_size

        encoder |= any_size(encoder_name, plain=config.name == "DPT")
    arguments, is_own = config.arguments, target.__module__.startswith("segtrain.")
    if is_own:
        arguments = fit_arguments(target, arguments, path="model")
    try:
        net = target(in_channels=channels, classes=outputs, **encoder, **arguments)
        encoder = getattr(net, "encoder", None)
        if not hasattr(net, "stride") and not hasattr(encoder, "output_stride"):
            raise ValueError("it has neither a stride nor an encoder of smp that has one")
        if isinstance(net, smp.DPT):
            from segtrain.models.encoder import take_any_patch

            return take_any_patch(net)
        is_dilated = getattr(encoder, "output_stride", 32) < 2 ** getattr(encoder, "_depth", 0)
        # Networks of segtrain have the right rates from build_encoder.
        if not (is_dilated and encoder_name) or encoder_name.startswith("tu-") or is_own:
            return net
        from segtrain.models.encoder import correct_dilation

        return correct_dilation(net, encoder_name)
    except Exception as error:
        what = f"model: {config.name}" + (f" with encoder {encoder_name}" if encoder_name else "")
        reason = " ".join(str(error).split())
        ours = isinstance(error, (KeyError, TypeError, ValueError, AttributeError)) and not isinstance(error, OSError)
        if weights is not None and not ours:
            hint = "write model.encoder_weights: null or the path of a local file"
            raise ConfigError(
                f"{what}: the weights '{config.encoder_weights}' cannot be downloaded: {reason}; {hint}"
            ) from error
        if "downsampling pattern" in reason:
            reason += " (a plain transformer has a single resolution: use DPT, LinearHead or EoMT)"
        elif "dynamic_img_size" in reason:
            reason = f"{config.name} needs a plain transformer of timm that accepts any image size, unlike this one"
        raise ConfigError(f"{what}: {reason}") from error


def choose_normalization(config: ModelConfig, channels: int, *, from_hub: bool) -> tuple[list[float], list[float]]:
    """Mean and std in 0..1: as configured, otherwise those of the encoder's pretraining, or else ImageNet's."""
    mean, std = list(IMAGENET_MEAN), list(IMAGENET_STD)
    if (config.encoder_name or "").startswith("tu-"):
        pretrained = timm.get_pretrained_cfg(config.encoder_name[3:], allow_unregistered=True)
        if pretrained is not None:
            mean, std = list(pretrained.mean), list(pretrained.std)
    elif from_hub:
        from segtrain.models.encoder import hub_settings

        mean, std = hub_settings(config.encoder_name, config.encoder_weights)
    if channels != len(mean):  # no standard to follow: every channel gets the average
        mean, std = [sum(mean) / len(mean)] * channels, [sum(std) / len(std)] * channels
    return config.mean or mean, config.std or std


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Number of parameters without auxiliary outputs, and of those that are trained."""
    parameters = [parameter for name, parameter in model.named_parameters() if not is_auxiliary(name)]
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    return sum(parameter.numel() for parameter in parameters), trained


def describe_parameters(model: nn.Module) -> str:
    """Number of parameters without auxiliary outputs, and of those that are trained if it differs."""
    total, trained = count_parameters(model)
    return f"{_millions(total)} parameters" + (f", {_millions(trained)} of them trained" if trained < total else "")


def _millions(number: int) -> str:
    return f"{number / 1e6:.1f} M" if number >= 100_000 else f"{number:,}"
