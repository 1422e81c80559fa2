"""Sections: the base classes of the schema, and what their annotations say in words."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the configuration whose keys are all declared."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, validate_default=False)
    shorthand: ClassVar[str | None] = None
    """Key that a single value stands for where it is written instead of the mapping."""


class NamedSection(Section):
    """A part that names one thing of a library; its undeclared keys are the arguments of that thing."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)
    selector: ClassVar[str] = "name"
    forgotten: ClassVar[frozenset[str]] = frozenset()  # declared keys that mean nothing beside another name

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the named thing, as they were written."""
        return dict(self.model_extra or {})


UserPath = Annotated[Path, AfterValidator(Path.expanduser)]  # ~ is expanded: in key=~/x the shell does not


@dataclass(frozen=True)
class Replaced:
    """Marks a field (in Annotated) whose mapping replaces that of the layer below as a whole, and is not merged with
    it."""


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong: the path of keys to it and what to write instead."""

    path: tuple
    message: str


class MisplacedError(ValueError):
    """Raised by a validator about a key further inside what it validates, so that the message names its line."""

    def __init__(self, path: tuple, message: str):
        super().__init__(message)
        self.path = path


def suggest(word: str, known: Iterable[str]) -> str:
    """A short phrase that names the closest known word, or the known words where none is close."""
    known = sorted(known)
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(str(word).lower(), by_lower, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{by_lower[close[0]]}'?"
    few = known and len(known) <= 40
    return f"known: {', '.join(known)}" if few else f"none of the {len(known)} known names is similar"


def alternatives(annotation: Any) -> list[Any]:
    """The types that a union is made of, without the limits that Annotated adds; a plain type is its only one."""
    if get_origin(annotation) is Annotated:
        return alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [inner for item in get_args(annotation) for inner in alternatives(item)]
    return [annotation]


def section_of(annotation: Any) -> type[Section] | None:
    """The section among the alternatives of a type, if there is one."""
    found = (item for item in alternatives(annotation) if isinstance(item, type) and issubclass(item, Section))
    return next(found, None)


def annotation_inside(annotation: Any, key: Any) -> Any:
    """The type of what stands at `key` in a section, list or mapping of this type; Any where it is not declared."""
    section = section_of(annotation)
    if section is not None:
        field = section.model_fields.get(key)
        return field.annotation if field else Any
    container = next((item for item in alternatives(annotation) if get_origin(item) in (list, dict)), None)
    return get_args(container)[-1] if container else Any


def _is_replaced(annotation: Any, key: str) -> bool:
    section = section_of(annotation)
    if section is None:
        return False
    if key not in section.model_fields:
        return issubclass(section, NamedSection)  # an argument is a whole, like the folders of all splits
    return any(isinstance(mark, Replaced) for mark in section.model_fields[key].metadata)


_WORDS = {int: "integer", float: "number", str: "string", bool: "true or false", NoneType: "null", Any: "anything"}


def describe_type(annotation: Any, *, plural: str = "") -> str:
    """A type in words: `integer or auto`, `list of numbers`."""
    words = []
    for item in alternatives(annotation):
        origin = get_origin(item)
        if origin is Literal:
            words += [str(value) for value in get_args(item)]
        elif origin is tuple and ... not in get_args(item):
            words.append(f"list{plural} of {len(get_args(item))} {describe_type(get_args(item)[0], plural='s')}")
        elif origin in (list, tuple, Sequence):
            words.append(f"list{plural} of {describe_type(get_args(item)[0], plural='s')}")
        elif origin is dict and get_args(item)[1] is not Any and not section_of(get_args(item)[1]):
            words.append(f"mapping{plural} to {describe_type(get_args(item)[1], plural='s')}")
        elif origin is dict or section_of(item):
            words.append(f"mapping{plural}")
        elif item is Path:
            words.append(f"path{plural}")
        else:
            words.append(_WORDS[item] + plural * (item in (int, float, str)))
    return " or ".join(dict.fromkeys(words))


_ARTICLES = {"integer": "an ", "number": "a ", "string": "a ", "list": "a ", "mapping": "a "}


def describe_expected(annotation: Any) -> str:
    """A type in words, with its article: `an integer or auto`, `a list of numbers`."""
    words = describe_type(annotation)
    return _ARTICLES.get(words.split()[0], "") + words
