"""Rules beyond the schema: names and arguments must be those of the libraries."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from segtrain import formats
from segtrain.config.data_schema import DataConfig
from segtrain.config.layers import BASE_FILE, add_published, apply_overrides, load_tree, split_key
from segtrain.config.libraries import check_arguments, check_encoder, library_index, takes_encoder
from segtrain.config.log_tune_schema import TuneConfig, TuneRange
from segtrain.config.mistakes import find_mistakes, validate
from segtrain.config.schema import Config, LossTerm, ModelConfig, OptimizerConfig, ScheduleConfig, is_file_name
from segtrain.config.section import (
    Mistake,
    Section,
    alternatives,
    annotation_inside,
    describe_expected,
    section_of,
    suggest,
)
from segtrain.config.tree import Value
from segtrain.errors import ConfigError

REFUSED_MODEL_ARGUMENTS = {
    "classes": "the number of outputs follows from data.classes; remove this line",
    "in_channels": "the number of input channels is data.channels; set it there",
    "activation": "losses and metrics expect logits; remove this line",
    "aux_params": "segtrain does not train a classification head; remove this line",
}
REFUSED_TRANSFORMS = {
    "Normalize": "the model itself normalizes images; remove it (model.mean and model.std set the values)",
    "ToFloat": "the model itself scales images from 0..255; remove it",
    "ToTensorV2": "batches are already tensors; remove it",
    "ToTensor3D": "batches are already tensors; remove it",
    **dict.fromkeys(
        ("AugMix", "AutoAugment", "RandAugment", "TrivialAugmentWide"),
        "it moves images without their masks, for classification; write SomeOf with a list of transforms",
    ),
    **dict.fromkeys(
        ("CutMix", "MixUp"), "it is for classification; use data.mix, which mixes samples with their masks"
    ),
    **dict.fromkeys(
        ("ConvertImageDtype", "PILToTensor", "ToDtype", "ToImage", "ToPILImage", "ToPureTensor", "ToTensor"),
        "images are already converted; remove it",
    ),
    **dict.fromkeys(("RandomApply", "RandomChoice"), "write OneOf or Sequential, which accept a list and p"),
    **dict.fromkeys(
        ("ClampBoundingBoxes", "ConvertBoundingBoxFormat", "RandomIoUCrop", "SanitizeBoundingBoxes", "SetClampingMode"),
        "it is for bounding boxes, and there are none; remove it",
    ),
    **dict.fromkeys(("ClampKeyPoints", "SanitizeKeyPoints"), "it is for keypoints, and there are none; remove it"),
    **dict.fromkeys(("FiveCrop", "TenCrop"), "it makes several images from one; write RandomCrop"),
    **dict.fromkeys(("LinearTransformation", "UniformTemporalSubsample"), "it is not for images and masks; remove it"),
}
NOT_TUNED = {  # keys, and sections of keys
    "seed": "the best of several seeds is only luck; remove it",
    "name": "a search names its own runs; remove it",
    "runs_dir": "a search keeps its runs in its own folder; remove it",
    "tune": "a search cannot contain a search; remove it",
    "log": "it does not affect any score; remove it",
    "train.monitor": "scores of different metrics are not comparable; remove it",
    "data.fold": "scores on different images are not comparable; remove it",
    "data.val_split": "scores on different images are not comparable; remove it",
}
SCHEDULE_PROVIDED = ("optimizer", "total_steps", "steps_per_epoch", "epochs", "T_max", "total_iters", "max_lr")


def _declared(section: type[Section], plain: dict) -> list[str]:
    return [key for key in plain if key not in section.model_fields]


def _transform_mistakes(items: Any, path: tuple) -> Iterator[Mistake]:
    for index, item in enumerate(items if isinstance(items, list) else []):
        if isinstance(item, dict) and len(item) != 1:
            yield Mistake(
                (*path, index),
                f"a list item is one transform, not {len(item)}; indent its arguments below its name",
            )
            continue
        name, arguments = next(iter(item.items())) if isinstance(item, dict) else (item, {})
        if isinstance(arguments, list) and all(isinstance(child, (str, dict)) for child in arguments):
            arguments = {"transforms": arguments}
        arguments = {} if arguments is None else arguments
        here = (*path, index, name) if isinstance(item, dict) else (*path, index)
        if isinstance(name, str) and (own := name.removeprefix("torchvision.transforms.v2.")) in REFUSED_TRANSFORMS:
            yield Mistake(here, REFUSED_TRANSFORMS[own])
        elif not isinstance(arguments, dict):
            yield Mistake(here, f"expected arguments as {{argument: value}} or a list of transforms, not {arguments!r}")
        else:
            yield from check_arguments("transform", name, arguments.keys(), path=here)
            inner = (*here, "transforms") if isinstance(item, dict) and isinstance(item[name], dict) else here
            yield from _transform_mistakes(arguments.get("transforms"), inner)


def _format_mistakes(data: dict) -> Iterator[Mistake]:
    name = data.get("format", "folders")
    known = formats.format_names()
    if not isinstance(name, str) or name not in known:
        yield Mistake(("data", "format"), f"unknown format {name!r}; {suggest(str(name), known)}")
        return
    if data.get("classes") is None and "root" in data:
        text = f"is missing; format {name} does not define any: write classes: [first, second, ..]"
        yield Mistake(("data", "classes"), text)
    keys = formats.keys_of(name, data)
    for key in _declared(DataConfig, data):
        if key not in keys:
            words = keys.keys() | DataConfig.model_fields.keys()
            yield Mistake(("data", key), f"unknown key; format {name} has no '{key}'; {suggest(key, words)}")
            continue
        annotation = keys[key].annotation
        try:
            TypeAdapter(annotation).validate_python(data[key], strict=True)
        except ValidationError:
            yield Mistake(("data", key), f"expected {describe_expected(annotation)}, not {data[key]!r}")
    if data.get("multilabel") is True and formats.find_mask_reader(name, data) is not None:
        yield Mistake(("data", "multilabel"), f"format {name} has one mask for all classes; remove it")
    if data.get("tile") is not None and formats.find_mask_reader(name, data) is not None:
        yield Mistake(("data", "tile"), f"format {name} has no mask files to cut windows from; remove it")
    if formats.find_ignored_raw(name) is not None and isinstance(data.get("classes"), list):
        for index, item in enumerate(data["classes"]):
            if isinstance(item, dict) and item.get("colors"):
                text = "colors have no effect in annotations, which contain names; write labels"
                yield Mistake(("data", "classes", index), text)


def _tile_mistakes(tile: Any, items: Any) -> Iterator[Mistake]:
    """A crop that is larger than the windows that it is taken from, unless these are resized before."""
    for item in items if isinstance(items, list) and isinstance(tile, int) else []:
        name, arguments = next(iter(item.items())) if isinstance(item, dict) and item else (item, None)
        if "Resize" in str(name) or "MaxSize" in str(name):
            return
        sides = [arguments.get(key) for key in ("height", "width")] if isinstance(arguments, dict) else []
        if "Crop" in str(name) and all(isinstance(side, int) for side in sides) and max(sides, default=0) > tile:
            text = f"{tile} is smaller than {name} of {sides[1]} x {sides[0]}; write {2 * max(sides)}, twice its side"
            yield Mistake(("data", "tile"), text)


def _none_paths(value: Any, path: tuple) -> Iterator[tuple]:
    if value == "None":
        yield path
    elif isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _none_paths(item, (*path, key))


def _weights_mistakes(encoder: Any, weights: Any) -> Iterator[Mistake]:
    if not isinstance(weights, str) or not isinstance(encoder, str) or is_file_name(weights) or weights == "None":
        return
    known = library_index()["encoders"].get(encoder)
    if known is not None and weights not in known:
        yield Mistake(("model", "encoder_weights"), f"{encoder} has no weights '{weights}'; {suggest(weights, known)}")
    elif encoder.startswith("tu-") and weights != "imagenet":
        where = f"after the encoder's, like {encoder.split('.')[0]}.a1_in1k"
        yield Mistake(("model", "encoder_weights"), f"timm writes the name of the weights {where}; write imagenet here")


def library_mistakes(plain: dict[str, Any]) -> Iterator[Mistake]:
    """What is wrong with the names and arguments that belong to the libraries, in a tree that may be wrong elsewhere
    too."""

    def section(key: str) -> dict | None:
        value = plain.get(key, {})
        return value if isinstance(value, dict) else None

    if (data := section("data")) is not None:
        yield from _format_mistakes(data)
        yield from _tile_mistakes(data.get("tile"), (section("transforms") or {}).get("train"))
    if (model := section("model")) is not None:
        declared = ("encoder_name", "encoder_weights")
        yield from check_arguments(
            "model", model.get("name", "Unet"), _declared(ModelConfig, model), path=("model",),
            name_path=("model", "name"), provided=declared, refused=REFUSED_MODEL_ARGUMENTS,
        )  # fmt: skip
        if takes_encoder(name := model.get("name", "Unet")):
            encoder = model.get("encoder_name", "resnet34")
            yield from check_encoder(encoder, path=("model", "encoder_name"), architecture=name)
            yield from _weights_mistakes(encoder, model.get("encoder_weights"))
        elif model.get("encoder_name") is not None:
            yield Mistake(("model", "encoder_name"), f"{name} has no encoder to choose; remove this line")
    for name, term in (section("loss") or {}).items():
        given = _declared(LossTerm, term) if isinstance(term, dict) else []
        yield from check_arguments("loss", name, given, path=("loss", name), provided=("mode", "ignore_index"))
    for kind, schema, provided in (
        ("optimizer", OptimizerConfig, ("params",)),
        ("schedule", ScheduleConfig, SCHEDULE_PROVIDED),
    ):
        if chosen := section(kind):
            yield from check_arguments(
                kind, chosen.get("name", schema().name), _declared(schema, chosen), path=(kind,),
                name_path=(kind, "name"), provided=provided,
            )  # fmt: skip
    for path in _none_paths({key: value for key, value in plain.items() if key not in ("name", "data")}, ()):
        yield Mistake(path, "'None' is a string in YAML; write null")
    for split, items in (section("transforms") or {}).items():
        yield from _transform_mistakes(items, ("transforms", split))


def is_whole(key: str, found: TuneRange) -> bool:
    """Whether a range is one of whole numbers: the key takes no others or, where that is not declared, its step is
    whole."""
    annotation: Any = Config
    for part in split_key(key):
        annotation = annotation_inside(annotation, part)
    section = section_of(annotation)
    if section is not None and section.shorthand is not None:
        annotation = annotation_inside(annotation, section.shorthand)
    kinds = alternatives(annotation)
    if int in kinds or float in kinds:
        return float not in kinds
    return found.step is not None and found.step.is_integer() and found.low.is_integer()


def _range_mistakes(tree: Value, plain: dict[str, Any]) -> Iterator[Mistake]:
    """What would be wrong with the experiment at the ends of the ranges of `tune`, and with its choices."""
    tune = plain.get("tune")
    ranges = tune.get("ranges") if isinstance(tune, dict) else None
    _, known = find_mistakes(tree, Config, rules=[library_mistakes]) if isinstance(ranges, dict) else (None, [])
    for key, written in ranges.items() if isinstance(ranges, dict) else ():
        path = ("tune", "ranges", key)
        try:
            found = TuneConfig.model_validate({"ranges": {key: written}}).ranges[key]
        except ValidationError:
            continue  # the schema says so
        if refused := next((text for name, text in NOT_TUNED.items() if f"{key}.".startswith(f"{name}.")), None):
            yield Mistake(path, refused)
            continue
        for value in found.ends(whole=is_whole(key, found)):
            try:
                tried = add_published(apply_overrides(tree, [f"{key}={value}"], Config))
            except ConfigError as error:
                yield Mistake(path, str(error).removeprefix(f"command line: {key}={value}: "))
                break
            for mistake in find_mistakes(tried, Config, rules=[library_mistakes])[1]:
                if mistake not in known:
                    inner = ".".join(map(str, mistake.path))
                    yield Mistake(path, mistake.message if inner == key else f"{inner}: {mistake.message}")


def load_config(arguments: Sequence[str | Mapping], *, resume: str | None = None) -> Config:
    """The experiment that the files, dicts and `key.sub=value` arguments describe.

    They are merged into config.yml of the current folder, or into the defaults where there is none; with `resume`, into
    the config.yml of that run folder. Raises ConfigError with every mistake, a line each.
    """
    base: Path | None = Path(resume or "") / BASE_FILE
    if not base.is_file():
        if resume is not None:
            raise ConfigError(f"{resume}: is not a run folder; it has no {BASE_FILE}")
        if not arguments:
            here = f"is not in this folder ({Path.cwd()})"
            raise ConfigError(f"{BASE_FILE}: {here}; give an experiment file, like my_experiment.yml")
        base = None
    tree = add_published(load_tree(arguments, Config, base=base))
    config = validate(tree, Config, rules=[library_mistakes, partial(_range_mistakes, tree)])
    if not takes_encoder(config.model.name):
        config.model.encoder_name = None
    return config
