"""Answer: what a client asked for, the same bytes as the files that predict.py writes."""

import base64
import io
import json
import zipfile
from pathlib import PurePath
from typing import NamedTuple

from segtrain.commands.predict.result import Result, encode_files, encode_jpeg, list_suffixes
from segtrain.inference.task import Task
from segtrain.visualize import show_color, to_rgb

OUTPUTS = ("index", "color", "overlay", "geojson", "json")  # all but the last are words of predict.py's --save
MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".geojson": "application/geo+json"}


class Answer(NamedTuple):
    """The body of an answer and its media type."""

    content: bytes
    media_type: str


def build_answer(result: Result, output: str) -> Answer:
    """One of OUTPUTS of a prediction; a ZIP where that is several files."""
    return _summary(result) if output == "json" else _files(result, output)


def list_classes(task: Task) -> list[dict[str, str]]:
    """Name and colour, as #rrggbb, of each of task.names."""
    colors = task.colors[-len(task.names) :]  # in multilabel the first is that of no class
    return [{"name": name, "color": show_color(color)} for name, color in zip(task.names, colors, strict=True)]


def _files(result: Result, kind: str) -> Answer:
    suffixes, contents = list_suffixes([kind], result.task), encode_files(result, kind)
    if len(contents) == 1:
        return Answer(contents[0], MEDIA_TYPES[PurePath(f"image{suffixes[0]}").suffix])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for suffix, content in zip(suffixes, contents, strict=True):
            archive.writestr(f"{result.name}{suffix}", content)
    return Answer(packed.getvalue(), "application/zip")


def _summary(result: Result) -> Answer:
    """All that the page shows: size, classes with their shares of the pixels, pictures as data: addresses."""
    height, width = result.size
    classes = zip(list_classes(result.task), result.shares.tolist(), strict=True)
    content = {
        "width": width,
        "height": height,
        "classes": [{**entry, "share": share} for entry, share in classes],
        "image": _data_address(Answer(encode_jpeg(to_rgb(result.image)), "image/jpeg")),
        "color": _data_address(_files(result, "color")),
        "index": _data_address(_files(result, "index")),
    }
    return Answer(json.dumps(content).encode(), "application/json")


def _data_address(answer: Answer) -> str:
    return f"data:{answer.media_type};base64,{base64.b64encode(answer.content).decode()}"
