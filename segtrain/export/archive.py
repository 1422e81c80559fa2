"""What lies in files of TorchScript and of torch.export is looked at before torch reads them: both can hold code.

torch.jit.load compiles the code in the file and may run some of it at once; torch.export.load unpickles what the file
says is pickled, and evaluates expressions of sizes. The files that segtrain writes need nothing of that.
"""

import io
import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from segtrain.errors import CheckpointError

# Operations and methods of TorchScript that reach beyond tensors: files, other processes, foreign classes.
REACHING = re.compile(r"\b(save|load|from_file|read_file|write_file|rpc_\w+|classes|__setstate__)\b")
FOREIGN = re.compile(r"\bops\s*\.\s*(?!aten\b|prim\b)\w+")

RECORDS = re.compile(
    r"models/model\.json|data/(weights|constants)/(weight_\d+|tensor_\d+|model_(weights|constants)_config\.json)"
    r"|data/sample_inputs/model\.pt|extra/\w+|archive_format|archive_version|byteorder|\.data/\w+"
)
ARITHMETIC = "abs|add|and_|eq|floordiv|ge|getitem|gt|le|lt|mod|mul|ne|neg|not_|or_|pow|sub|truediv"
TARGETS = re.compile(
    rf"torch\.ops\.aten\.(?!from_file)\w+\.\w+|_operator\.({ARITHMETIC})|torch\.sym_\w+|math\.(ceil|floor|trunc)"
)
# Sizes are written as constructors of sympy, and read by evaluating them.
SIZE_WORDS = (
    "Add|And|CeilDiv|CleanDiv|Equality|FloorDiv|GreaterThan|Integer|IntTrueDiv|LessThan|Max|Min|Mod|ModularIndexing|Mul|"
    "Not|Or|Piecewise|Pow|PythonMod|Rational|StrictGreaterThan|StrictLessThan|Symbol|Unequality|Where|floor|integer|"
    "nonnegative|positive|true|false|True|False"
)
SIZE = re.compile(rf"(\b({SIZE_WORDS})\b|\b\d+\b|'[su]\d+'|[\s(),=*/+<>-])*")


class Archive:
    """The records of a file as torch itself finds them; `content` is what was looked at, to be loaded.

    Raises CheckpointError for what is no such file; `what` is how it is called then.
    """

    def __init__(self, path: Path, what: str):
        self.path = path
        self.what = what
        try:
            self.content = path.read_bytes()
            self.reader = torch._C.PyTorchFileReader(io.BytesIO(self.content))
            self.names = self.reader.get_all_records()
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
        except (RuntimeError, ValueError) as error:
            raise self.damaged(error) from error

    def read(self, name: str) -> bytes:
        """A record. Raises CheckpointError where it is not there or damaged."""
        try:
            return self.reader.get_record(name)
        except RuntimeError as error:
            raise self.damaged(error) from error

    def read_json(self, name: str) -> Any:
        """A record that is JSON. Raises as `read` does."""
        try:
            return json.loads(self.read(name))
        except ValueError as error:
            raise self.damaged(error) from error

    def damaged(self, error: Exception) -> CheckpointError:
        """How a file is refused that is not what its name says."""
        reason = str(error).strip().splitlines() or [type(error).__name__]
        return CheckpointError(f"{self.path}: is no {self.what}, or damaged: {reason[0][:200]}")

    def refuse(self, found: str) -> CheckpointError:
        """How a file is refused that could run code."""
        return CheckpointError(f"{self.path}: holds {found}, and is not loaded: it could run code")


def require_harmless_script(archive: Archive) -> None:
    """Raises CheckpointError where a TorchScript file has code that does more than compute with tensors."""
    if "model.json" in archive.names:  # a form of 2018, whose code may lie anywhere
        raise archive.refuse("TorchScript of an old form")
    for name in archive.names:
        if name.startswith("code/") and name.endswith(".py"):
            code = archive.read(name).decode("utf-8", "replace")
            if found := REACHING.search(code) or FOREIGN.search(code):
                raise archive.refuse(f"'{found[0]}' in {name}")


def require_harmless_program(archive: Archive) -> None:
    """Raises CheckpointError where a file of torch.export has more than tensors and operations on them."""
    for name in archive.names:
        if not RECORDS.fullmatch(name):
            raise archive.refuse(f"the record {name}")
    for part in ("weights", "constants"):
        config = archive.read_json(f"data/{part}/model_{part}_config.json")
        for key, meta in _items(config.get("config") if isinstance(config, dict) else None):
            if not isinstance(meta, dict) or meta.get("use_pickle") is not False:
                raise archive.refuse(f"'{key}' in a form that must be unpickled")
            if not re.fullmatch(r"(weight|tensor)_\d+", str(meta.get("path_name"))):
                raise archive.refuse(f"'{key}' in {meta.get('path_name')}")
    try:
        torch.load(io.BytesIO(archive.read("data/sample_inputs/model.pt")), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise archive.refuse("example images that must be unpickled") from error
    for key, text in _texts(archive.read_json("models/model.json")):
        if key == "target" and not TARGETS.fullmatch(text):
            raise archive.refuse(f"the operation {text[:80]}")
        if key == "expr_str" and not SIZE.fullmatch(text):
            raise archive.refuse(f"the size {text[:80]}")


def _items(mapping: Any) -> Iterator[tuple[str, Any]]:
    yield from mapping.items() if isinstance(mapping, dict) else ()


def _texts(node: Any) -> Iterator[tuple[str, str]]:
    """(key, text) for every text that is a value in a tree of JSON."""
    for key, value in _items(node):
        if isinstance(value, str):
            yield key, value
        else:
            yield from _texts(value)
    if isinstance(node, list):
        for item in node:
            yield from _texts(item)
