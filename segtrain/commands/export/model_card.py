"""Model card: README.md of a published model, with its classes, score, use and training. The text is in
model_card.md.jinja; here are the values."""

import math
from pathlib import Path

import jinja2
from huggingface_hub import EvalResult, ModelCardData

from segtrain.config.schema import Config, LossTerm, ModelConfig, is_file_name
from segtrain.data.transforms import FRAME_KEEPING, transform_names
from segtrain.formats.dataset_info import About, load_dataset, published
from segtrain.inference.network import TorchNetwork

TAGS = ["segtrain", "segmentation-models-pytorch", "semantic-segmentation", "pytorch"]
MEAN_TITLES = {
    "miou": "mIoU",
    "mdice": "mean Dice",
    "pixel_accuracy": "pixel accuracy",
    "mean_class_accuracy": "mean class accuracy",
    "fwiou": "IoU weighted by frequency",
}


def write_card(network: TorchNetwork, *, source: str, license: str | None) -> str:
    """The card, Markdown behind a front matter of YAML.

    Args:
        network: what is published; what it does not say of its training is left out.
        source: what `from_pretrained` is given: a folder, or OWNER/NAME on the hub.
        license: of the weights; None where nobody said.
    """
    config, model, trained, about = network.config, network.model, network.trained, _known_set(network.config)
    scores = {key.removeprefix("val/"): value for key, value in trained.get("metrics", {}).items()}
    transforms = list(transform_names(network.task.transforms))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["oneline"] = lambda text: " ".join(text.split())
    environment.filters["score"] = lambda value: "-" if math.isnan(value) else f"{value:.4f}"
    return environment.get_template("model_card.md.jinja").render(
        about=about,
        augmentation=[*transform_names(config.transforms.train), *(name for name, way in config.data.mix or () if way)],
        config=config,
        front_matter=_front_matter(config, about, scores, license),
        license=license,
        losses=[f"{term.coef:g} {name}{_in_brackets(term)}" for name, term in config.loss.items()],
        mean=[f"{value / 255:.4g}" for value in model.mean.flatten()],
        means=MEAN_TITLES,
        model=model,
        nan=math.nan,
        origin=_origin(config, about),
        parameters=sum(parameter.numel() for parameter in model.net.parameters()),
        resizes=any(name in FRAME_KEEPING[:3] for name in transforms),
        scores=scores,
        source=source,
        start=describe_start(config.model, trained.get("origin")),
        std=[f"{value / 255:.4g}" for value in model.std.flatten()],
        task=network.task,
        trained=trained,
        transforms=transforms,
    )


def _known_set(config: Config) -> About | None:
    """The published dataset that was trained on. Its format may have been used for other data, with other classes or
    some of its own: only where all are there it is taken for the set."""
    return load_dataset(config.data.format).about if _names(config) == _published_names(config) else None


def _names(config: Config) -> set[str]:
    return {item.name for item in config.data.classes}


def _published_names(config: Config) -> set[str]:
    name = config.data.format
    labels = load_dataset(name).labels(config.data.arguments) if name in published() else None
    return {item.name for item in labels.classes} if labels is not None else set()


def describe_start(model: ModelConfig, origin: str | None) -> str:
    """What training began with, without the paths of this computer."""
    if model.weights:
        return f"a complete network, {Path(model.weights).name}"
    if not model.encoder_weights:
        return "random"
    return "a local file" if is_file_name(model.encoder_weights) else origin or str(model.encoder_weights)


def _origin(config: Config, about: About | None) -> str:
    if about is not None:
        return _title(about)
    alike = load_dataset(config.data.format).about if _names(config) < _published_names(config) else None
    return "its authors' own data" + (f", in the format of {_title(alike)}" if alike else "")


def _title(about: About) -> str:
    return about.title.partition(":")[0]


def _front_matter(config: Config, about: About | None, scores: dict[str, float], license: str | None) -> str:
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
        license=license,
        tags=TAGS,
        **known,
    )
    return data.to_yaml()


def _in_brackets(term: LossTerm) -> str:
    after = [f"after {term.from_epoch} epochs"] if term.from_epoch else []
    words = [f"{name} {value}" for name, value in term.arguments.items()] + after
    return f" ({', '.join(words)})" if words else ""
