"""Libraries: which names they have, where these live, which arguments they take, what is closest to a misspelt one.

Importing torch, timm, segmentation-models-pytorch and albumentations takes seconds, and a mistake in the configuration
should be told at once. So the names and arguments of the pinned versions are kept in `library_index.json`
(`python -m tools.library_index` writes it, a test compares it with the libraries; which timm models can be
encoders takes minutes to find out, and `python -m tools.encoder_probe` adds that). Where another version is installed,
the libraries themselves are asked: slower, with the same answer.
"""

import importlib
import inspect
import json
import sys
from collections.abc import Collection, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from segtrain.config.networks import NETWORKS, TRANSFORMERS
from segtrain.config.section import Mistake, describe_expected, suggest
from segtrain.errors import ConfigError, reason_of

INDEX_FILE = Path(__file__).with_name("library_index.json")
MODULES = {
    "model": ("segtrain.models.networks", "segmentation_models_pytorch"),  # the first by segtrain.config.networks
    "loss": ("segtrain.losses", "segmentation_models_pytorch.losses", "torch.nn"),
    "optimizer": ("torch.optim", "timm.optim"),
    "schedule": ("torch.optim.lr_scheduler",),
    "transform": ("albumentations", "torchvision.transforms.v2"),
}
# What a class derives from.
BASES = {
    "model": ("torch.nn.Module",),
    "loss": ("torch.nn.Module",),
    "optimizer": ("torch.optim.Optimizer",),
    "schedule": ("torch.optim.lr_scheduler.LRScheduler",),
    "transform": ("albumentations.BasicTransform", "albumentations.BaseCompose", "torchvision.transforms.v2.Transform"),
}
PACKAGES = ("torch", "torchvision", "timm", "segmentation-models-pytorch", "albumentations")

PROBED = ("timm", "segmentation-models-pytorch")  # what a timm model gives to an architecture depends on these alone

Arguments = dict[str, bool]  # argument name -> must it be given


def find(kind: str, name: str) -> type:
    """The class called `name` in the first of the MODULES of its kind that has it; a dotted path is imported from where
    it says.

    Raises ConfigError for what is not there, and for what does not derive from the BASES of its kind.
    """
    if "." in name:
        found = _import(name)
    else:
        modules = MODULES[kind]
        if kind == "model" and name in NETWORKS and NETWORKS[name].module:
            modules = (f"segtrain.models.networks.{NETWORKS[name].module}",)
        places = (getattr(importlib.import_module(module_name), name, None) for module_name in modules)
        found = next((place for place in places if place is not None), None)
        if found is None:
            raise ConfigError(f"'{name}' is not in {', '.join(MODULES[kind])}")
    if not (isinstance(found, type) and issubclass(found, _bases(kind))):
        raise ConfigError(f"'{name}' is not a subclass of {' or '.join(BASES[kind])}")
    return found


def _import(name: str) -> Any:
    module_name, _, attribute = name.rpartition(".")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # the user's own class lies where the command is run
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (Exception, SystemExit) as error:  # whatever the user's own code raises
        plain = isinstance(error, (ImportError, AttributeError, SyntaxError, ValueError))
        reason = reason_of(error) if plain else f"it raises {type(error).__name__}: {reason_of(error)}"
        raise ConfigError(f"'{name}' cannot be imported: {reason}") from error


def _bases(kind: str) -> tuple[type, ...]:
    paths = (path.rpartition(".") for path in BASES[kind])
    return tuple(getattr(importlib.import_module(module), name) for module, _, name in paths)


def signature_arguments(target: Any) -> Arguments:
    """The named arguments of a class or function, even where it swallows more through **kwargs."""
    parameters = inspect.signature(target).parameters.values()
    named = (p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
    return {p.name: p.default is p.empty for p in named}


def _classes(kind: str) -> Iterator[tuple[str, type]]:
    if kind == "model":
        yield from ((name, find(kind, name)) for name, row in NETWORKS.items() if row.module)
    bases = _bases(kind)
    for module_name in reversed(MODULES[kind]):
        module = importlib.import_module(module_name)
        for name in dir(module):
            item = getattr(module, name)
            public = isinstance(item, type) and issubclass(item, bases) and not name.startswith("_")
            if public and not inspect.isabstract(item) and (kind != "loss" or name.endswith("Loss")):
                yield name, item


def read_libraries() -> dict[str, Any]:
    """The index as the installed libraries give it: imports them all, which takes seconds."""
    import segmentation_models_pytorch as smp
    import timm

    names = {kind: {name: signature_arguments(item) for name, item in _classes(kind)} for kind in MODULES}
    for kind, abstract in {"optimizer": "Optimizer", "schedule": "LRScheduler", "transform": "Transform"}.items():
        names[kind].pop(abstract, None)
    encoders = {name: sorted(entry["pretrained_settings"]) for name, entry in smp.encoders.encoders.items()}
    return {"versions": installed_versions(), "names": names, "encoders": encoders, "timm_models": timm.list_models()}


def installed_versions() -> dict[str, str]:
    """Versions of the indexed packages, without the local part that names a CPU or CUDA build."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package).partition("+")[0]
        except PackageNotFoundError as error:
            raise ConfigError(f"{package} is not installed; run: pip install -r requirements.txt") from error
    return found


@cache
def library_index() -> dict[str, Any]:
    """Names and arguments of everything that a configuration may name."""
    stored = json.loads(INDEX_FILE.read_text(encoding="utf-8")) if INDEX_FILE.exists() else {"versions": {}}
    installed = installed_versions()
    if stored["versions"] == installed:
        return stored
    index = read_libraries()
    if all(stored["versions"].get(package) == installed[package] for package in PROBED):
        index["timm_features"] = stored["timm_features"]
    return index


def known_names(kind: str) -> Collection[str]:
    """What may be written as the name of a model, loss, optimizer, schedule or transform."""
    return library_index()["names"][kind].keys()


def accepted(kind: str, name: str) -> Arguments | None:
    """The arguments of `name`, or None where no library has it. A dotted path is imported; raises ConfigError as
    `find` does."""
    if "." in name:
        return signature_arguments(find(kind, name))
    return library_index()["names"][kind].get(name)


def takes_encoder(name: Any) -> bool:
    """Whether a network is built on an encoder that is named; also of a name that nothing has, whose mistake is another
    one."""
    try:
        arguments = accepted("model", name) if isinstance(name, str) else None
    except ConfigError:
        return True
    return arguments is None or "encoder_name" in arguments


def fit_arguments(target: type, arguments: dict[str, Any], *, path: str) -> dict[str, Any]:
    """The arguments of a class of segtrain, of the types that its annotations say: tuples where YAML has lists. Raises
    ConfigError for one of another type."""
    types, fitted = get_type_hints(target.__init__), {}
    for key, value in arguments.items():
        try:
            made = TypeAdapter(types.get(key, Any)).validate_python(value)
        except ValidationError as error:
            raise ConfigError(f"{path}.{key}: expected {describe_expected(types[key])}, not {value!r}") from error
        fitted[key] = value if made == value else made  # 2 stays 2, where a message names it
    return fitted


def check_arguments(
    kind: str,
    name: Any,
    given: Collection[str],
    *,
    path: tuple,
    name_path: tuple | None = None,
    provided: Collection[str] = (),
    refused: dict | None = None,
) -> Iterator[Mistake]:
    """What is wrong with calling `name`, which stands at `name_path`, with the arguments `given`, which stand at
    `path`.

    Without `name_path` the name is the key at `path`. `provided` are the arguments that segtrain fills in itself;
    `refused` maps an argument to what to write instead.
    """
    if not isinstance(name, str):
        yield Mistake(name_path or path, f"expected the name of a {kind}, not {name!r}")
        return
    try:
        arguments = accepted(kind, name)
    except ConfigError as error:
        yield Mistake(name_path or path, str(error))
        return
    if arguments is None:
        yield Mistake(name_path or path, f"unknown {kind} '{name}'; {suggest(name, known_names(kind))}")
        return
    refused = refused or {}
    usable = arguments.keys() - refused.keys() - set(provided)
    for key in given:
        if key in refused:
            yield Mistake((*path, key), refused[key])
        elif key not in usable and key not in provided:
            hint = suggest(key, usable) if usable else "it has none"
            yield Mistake((*path, key), f"{name} has no argument '{key}'; {hint}")
    missing = [key for key in usable if arguments[key] and key not in given]
    if missing:
        word = "arguments" if len(missing) > 1 else "argument"
        yield Mistake(name_path or path, f"{name} needs the {word} {', '.join(sorted(missing))}")


def encoder_groups() -> dict[str, list[str]] | None:
    """timm's models by what they give: a `pyramid` of features, one resolution alone (`plain`: for TRANSFORMERS), or
    `none` for images of any size. None where no index says it for the timm that is installed."""
    index = library_index()
    groups = index.get("timm_features")
    if groups is None:
        return None
    others = {*groups["plain"], *groups["none"]}
    return {"pyramid": [name for name in index["timm_models"] if name not in others], **groups}


def check_encoder(name: Any, *, path: tuple, architecture: str | None = None) -> Iterator[Mistake]:
    """What is wrong with an encoder's name: one of smp's own, or tu- and a timm model with an optional .tag; and with
    the pair that it makes with an architecture."""
    index = library_index()
    if not isinstance(name, str):
        yield Mistake(path, f"expected the name of an encoder, not {name!r}")
        return
    of_smp, model = name in index["encoders"], name.removeprefix("tu-").partition(".")[0]
    groups = encoder_groups() or {"plain": (), "none": ()}
    takers = [other for other, row in NETWORKS.items() if row.group == TRANSFORMERS]
    if not of_smp and not name.startswith("tu-"):
        known = name in index["timm_models"]
        hint = f"timm has it: write tu-{name}" if known else suggest(name, index["encoders"])
        yield Mistake(path, f"smp has no encoder '{name}'; {hint}")
    elif not of_smp and model not in index["timm_models"]:
        hint = suggest(name, [f"tu-{known}" for known in index["timm_models"]])
        yield Mistake(path, f"timm has no model '{name[3:]}'; {hint}")
    elif not of_smp and model in groups["none"]:
        reason = "provides no features that a decoder can use for images of any size"
        yield Mistake(path, f"timm's {model} {reason}; python -m segtrain models tu- lists those that do")
    elif (
        not of_smp and model in groups["plain"] and architecture in known_names("model") and architecture not in takers
    ):
        taken = f"model.name: {', '.join(takers[:-1])} and {takers[-1]} accept it, {architecture} does not"
        yield Mistake(path, f"timm's {model} is a plain transformer with a single resolution: {taken}")
    elif architecture in takers and (of_smp or (groups["plain"] and model not in groups["plain"])):
        reason = f"{architecture} needs a plain transformer of timm, like tu-vit_small_patch16_224"
        yield Mistake(path, f"{name} has a feature pyramid; {reason}")
