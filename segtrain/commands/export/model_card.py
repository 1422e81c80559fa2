"""README.md of a published model: what it tells apart, how well, how to use it, how it was trained."""

import math
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from segtrain.config.schema import Config, LossTerm, is_file_name
from segtrain.data.transforms import FRAME_KEEPING, transform_names
from segtrain.formats.dataset_info import About, load_dataset, published
from segtrain.inference.network import TorchNetwork
from segtrain.inference.task import Task
from segtrain.models.model import SegmentationModel

TAGS = ["segtrain", "segmentation-models-pytorch", "semantic-segmentation", "pytorch"]
MEANS = {
    "miou": "mIoU",
    "mdice": "mean Dice",
    "pixel_accuracy": "pixel accuracy",
    "mean_class_accuracy": "mean class accuracy",
    "fwiou": "IoU weighted by frequency",
}


def write_card(network: TorchNetwork, *, source: str, licence: str | None) -> str:
    """The card, Markdown behind a front matter of YAML.

    Args:
        network: what is published; what it does not say of its training is left out.
        source: what `from_pretrained` is given: a folder, or OWNER/NAME on the hub.
        licence: of the weights; None where nobody said.
    """
    config, about = network.config, _known_set(network.config)
    scores = {key.removeprefix("val/"): value for key, value in network.trained.get("metrics", {}).items()}
    parts = [
        f"---\n{_front_matter(config, about, scores, licence)}\n---",
        f"# {config.name}",
        _opening(network, about),
        "## Score\n\n" + _score(network, scores),
        "## Classes\n\n" + _classes(network.task, scores),
        "## Images\n\n" + _images(network),
        "## Use\n\n" + _use(network, source),
        "## Training\n\n" + _training(config, network.trained.get("epoch")),
        "## Data\n\n" + _data(config, about),
        "## Licence\n\n" + _licence(about, licence),
    ]
    return "\n\n".join(parts) + "\n"


def _known_set(config: Config) -> About | None:
    """The published data set that was trained on. Its format may have been used for other data, with other classes or
    some of its own: only where all are there it is taken for the set."""
    return load_dataset(config.data.format).about if _names(config) == _published_names(config) else None


def _names(config: Config) -> set[str]:
    return {item.name for item in config.data.classes}


def _published_names(config: Config) -> set[str]:
    name = config.data.format
    labels = load_dataset(name).labels(config.data.arguments) if name in published() else None
    return {item.name for item in labels.classes} if labels is not None else set()


def _origin(config: Config, about: About | None) -> str:
    if about is not None:
        return _title(about)
    alike = load_dataset(config.data.format).about if _names(config) < _published_names(config) else None
    return "its authors' own data" + (f", in the format of {_title(alike)}" if alike else "")


def _title(about: About) -> str:
    return about.title.partition(":")[0]


def _front_matter(config: Config, about: About | None, scores: dict[str, float], licence: str | None) -> str:
    score = scores.get("miou", math.nan)
    result = EvalResult(
        task_type="image-segmentation",
        dataset_type=config.data.format,
        dataset_name=_title(about) if about else config.name,
        dataset_split=config.data.val_split,
        metric_type="mean_iou",
        metric_name="mIoU",
        metric_value=round(score, 4),
    )
    known = {} if math.isnan(score) else {"model_name": config.name, "eval_results": [result]}
    data = ModelCardData(
        library_name="segmentation-models-pytorch",
        pipeline_tag="image-segmentation",
        license=licence,
        tags=TAGS,
        **known,
    )
    return data.to_yaml()


def _opening(network: TorchNetwork, about: About | None) -> str:
    config, task = network.config, network.task
    size = sum(parameter.numel() for parameter in network.model.net.parameters()) / 1e6
    of = f"of {_origin(config, about)}"
    what = {
        "binary": f"One class, {task.names[-1]}, and the background, {of}.",
        "multiclass": f"{task.outputs} classes {of}.",
        "multilabel": f"{task.outputs} classes that may overlap, {of}.",
    }[task.mode]
    return (
        f"Semantic segmentation: a label for every pixel. {what} {config.model.name} of segmentation-models-pytorch, "
        f"encoder {config.model.encoder_name}, {size:.1f} M parameters, trained with segtrain."
    )


def _score(network: TorchNetwork, scores: dict[str, float]) -> str:
    config, trained = network.config, network.trained
    if not scores:
        return "The checkpoint holds none."
    rows = [f"| {text} | {_number(scores[key])} |" for key, text in MEANS.items() if key in scores]
    table = "\n".join([f"| metric | split `{config.data.val_split}` |", "|---|---|", *rows])
    what = "At the original size of the images, after one pass over the whole image."
    chosen = f"`{trained['monitor']}` on this split chose the epoch." if "monitor" in trained else ""
    tuned = any(threshold != 0.5 for threshold in network.task.thresholds)
    at = "At thresholds of 0.5: those below were tuned afterwards." if tuned else ""
    return f"{table}\n\n{' '.join(filter(None, [trained.get('definition'), what, chosen, at]))}"


def _classes(task: Task, scores: dict[str, float]) -> str:
    layers = task.mode == "multilabel"
    place = "layer" if layers else "index"
    head = [place, "class", "colour (RGB)", "IoU", *(["threshold"] if task.thresholds else [])]
    thresholds = {} if not task.thresholds else dict(zip(task.names[-task.outputs :], task.thresholds, strict=True))
    colors = task.colors[layers:]
    lines = [_row(head), _row(["---"] * len(head))]
    for index, (name, color) in enumerate(zip(task.names, colors, strict=True)):
        cells = [str(index), _plain(name), " ".join(map(str, color)), _number(scores.get(f"iou/{name}", math.nan))]
        lines.append(_row([*cells, *([f"{thresholds[name]:g}" if name in thresholds else "-"] if thresholds else [])]))
    note = {
        "binary": "The network gives one logit for each pixel; the class is there where its sigmoid reaches the "
        "threshold.",
        "multiclass": "The network gives a logit for each class; the largest one is the label.",
        "multilabel": "The network gives a logit for each class; a class is there where its sigmoid reaches the "
        "threshold, and several may be.",
    }[task.mode]
    return "\n".join(lines) + f"\n\n{note}"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    return text.replace("|", "\\|")


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _images(network: TorchNetwork) -> str:
    task, model = network.task, network.model
    kind = {1: "Grey", 3: "RGB"}.get(task.channels, f"{task.channels} channels:")
    if task.bands is not None:
        kind = f"Bands {', '.join(map(str, task.bands))} of the files:"
    if task.scale is None:
        values = "bytes, 0..255"
    else:
        values = f"raw values of which {task.scale:g} means white, divided by it: 0..1"
    mean, std = (", ".join(f"{value / 255:.4g}" for value in buffer.flatten()) for buffer in (model.mean, model.std))
    lines = [
        f"- {kind} images, {values}.",
        f"- Normalised by mean {mean} and standard deviation {std}, of images in 0..1. "
        "`albumentations_config_eval.json` holds this; segtrain's own network has it inside.",
        f"- Both sides a multiple of {model.stride}"
        + (f" and at least {model.minimum_side}" if model.minimum_side > model.stride else "")
        + ": pad at the bottom and right by repeating the border, and crop the logits. segtrain does it by itself.",
    ]
    if names := list(transform_names(task.transforms)):
        lines.insert(1, f"- Prepared by {', '.join(names)}, in that file as well.")
    return "\n".join(lines)


def _use(network: TorchNetwork, source: str) -> str:
    """Two pieces of code; the first one does what segtrain's Predictor does, padding and thresholds included."""
    task, model = network.task, network.model
    resizes = any(name in FRAME_KEEPING[:3] for name in transform_names(task.transforms))
    lines = [
        "import albumentations as A",
        "import numpy as np",
        "import segmentation_models_pytorch as smp",
        "import torch",
        "from PIL import Image",
        "from torch.nn import functional",
        "",
        f'source = "{source}"',
        "model = smp.from_pretrained(source).eval()",
        "transform = A.Compose.from_pretrained(source)",
        "",
        *_reading(task),
        'prepared = transform(image=image)["image"]',
        "pixels = torch.from_numpy(prepared).permute(2, 0, 1)[None]",
        "height, width = pixels.shape[-2:]",
        f"bottom, right = ({_padding(model)} for side in (height, width))",
        'pixels = functional.pad(pixels, (0, right, 0, bottom), mode="replicate")',
        "with torch.inference_mode():",
        "    logits = model(pixels)[..., :height, :width]",
        f"probabilities = logits.{'softmax(1)' if task.mode == 'multiclass' else 'sigmoid()'}",
    ]
    if resizes:
        lines.append('probabilities = functional.interpolate(probabilities, image.shape[:2], mode="bilinear")')
    lines.append(
        {
            "binary": f"labels = (probabilities[0, 0] >= {task.thresholds[:1]}[0]).long()",
            "multiclass": "labels = probabilities[0].argmax(0)",
            "multilabel": f"labels = (probabilities[0] >= torch.tensor({task.thresholds})[:, None, None]).long()",
        }[task.mode]
    )
    return (
        "With segmentation-models-pytorch and albumentations:\n\n```python\n"
        + "\n".join(lines)
        + "\n```\n\nWith segtrain, from a folder that holds these files:\n\n```python\n"
        + "from segtrain.inference.predictor import Predictor\n\n"
        + 'labels = Predictor.load("path/to/this/folder").predict(image)  # image: HWC, as above\n```'
    )


def _reading(task: Task) -> list[str]:
    if task.channels == 3 and task.scale is None and task.bands is None:
        return ['image = np.array(Image.open("image.png").convert("RGB"))']
    values = "uint8" if task.scale is None else f"float32, raw values / {task.scale:g}"
    return [f'image = np.load("image.npy")  # HWC, {task.channels} channels, {values}']


def _padding(model: SegmentationModel) -> str:
    if model.minimum_side > model.stride:
        return f"-(-max(side, {model.minimum_side}) // {model.stride}) * {model.stride} - side"
    return f"-side % {model.stride}"


def _training(config: Config, best_epoch: int | None) -> str:
    train, optimizer, schedule = config.train, config.optimizer, config.schedule
    losses = [f"{term.coef:g} {name}{_in_brackets(term)}" for name, term in config.loss.items()]
    weights = config.model.encoder_weights
    start = "random" if not weights else "a local file" if is_file_name(weights) else str(weights)
    epochs = f"{train.epochs}" + (f"; the weights are those after epoch {best_epoch}" if best_epoch else "")
    rows = {
        "architecture": f"{config.model.name}{_arguments(config.model.arguments)}",
        "encoder": f"{config.model.encoder_name}, weights at the start: {start}",
        "loss": " + ".join(losses),
        "optimizer": f"{optimizer.name}, lr {optimizer.lr:g}, weight decay {optimizer.weight_decay:g}",
        "schedule": f"{schedule.name}{_arguments(schedule.arguments)}" if schedule else "none",
        "epochs": epochs,
        "batch": f"{config.data.batch_size * train.accumulate_steps} images",
        "augmentation": ", ".join(transform_names(config.transforms.train)) or "none",
        "precision": train.precision,
        "moving average of the weights": f"decay {train.ema_decay:g}" if train.ema_decay else "none",
        "seed": str(config.seed),
    }
    return "\n".join(f"- {name}: {value}" for name, value in rows.items())


def _in_brackets(term: LossTerm) -> str:
    after = [f"after {term.from_epoch} epochs"] if term.from_epoch else []
    words = [f"{name} {value}" for name, value in term.arguments.items()] + after
    return f" ({', '.join(words)})" if words else ""


def _arguments(arguments: dict[str, Any]) -> str:
    return "".join(f", {name} {value}" for name, value in arguments.items())


def _data(config: Config, about: About | None) -> str:
    data = config.data
    splits = f"Trained on the split `{data.train_split}`, scored on `{data.val_split}`."
    if data.folds is not None:
        splits = f"Fold {data.fold} of {data.folds} was scored, the others trained on."
    ignored = "Pixels marked as ignored were neither trained nor scored."
    if about is None:
        return f"{_origin(config, None).replace('its', 'The', 1)}. {splits} {ignored}"
    counts = ", ".join(f"{count} {split}" for split, count in about.images.items())
    return f"[{about.title}]({about.home}), published with {counts} images. {splits} {ignored}"


def _licence(about: About | None, licence: str | None) -> str:
    weights = f"The weights: {licence}." if licence else "The weights: their authors have not said."
    data = f" The data that they were trained on: {about.licence}." if about else ""
    return f"{weights}{data} The code of segtrain and of segmentation-models-pytorch: MIT."
