"""What lies in files of TorchScript and of torch.export is looked at before torch reads them: both can hold code.

torch.jit.load compiles the code in the file and may run some of it at once. torch.export unpickles what the file says
is pickled, evaluates expressions of sizes, imports the types that trees of arguments name, and writes Python source
with the names of arguments, which it runs. The files that segtrain writes need none of that but sizes, and what is
read is a list of what those hold.
"""

import io
import json
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from segtrain.errors import CheckpointError, reason_of

# Operations and methods of TorchScript that reach beyond tensors: files, other processes, foreign classes.
REACHING = re.compile(r"\b(save|load|from_file|read_file|write_file|rpc_\w+|classes|__setstate__)\b")
FOREIGN = re.compile(r"\bops\b(?!\.(?:aten|prim)\.\w).{0,80}")

RECORDS = re.compile(
    r"models/model\.json|data/(weights|constants)/(weight_\d+|tensor_\d+|model_(weights|constants)_config\.json)"
    r"|data/sample_inputs/model\.pt|extra/\w+|archive_format|archive_version|byteorder|\.data/\w+"
)
ARITHMETIC = "abs|add|and_|eq|floordiv|ge|getitem|gt|le|lt|mod|mul|ne|neg|not_|or_|pow|sub|truediv"
TARGETS = re.compile(
    rf"torch\.ops\.aten\.(?!__|from_file|save)\w+\.(?!_)\w+|_operator\.({ARITHMETIC})|torch\.sym_[a-z]+"
    r"|math\.(ceil|floor|trunc)",
    re.ASCII,
)
# Sizes are written as constructors of sympy, and read by evaluating them.
SIZE_WORDS = (
    "Add|And|CeilDiv|CleanDiv|Equality|FloorDiv|GreaterThan|Integer|IntTrueDiv|LessThan|Max|Min|Mod|ModularIndexing|Mul|"
    "Not|Or|Piecewise|Pow|PythonMod|Rational|StrictGreaterThan|StrictLessThan|Symbol|Unequality|Where|floor|integer|"
    "nonnegative|positive|true|false|True|False"
)
SIZE = re.compile(rf"(\b({SIZE_WORDS})\b|\b\d+\b|'[su]\d+'|[ (),=-])*", re.ASCII)

# One argument that is no tree, and one result.
ARGUMENTS = (
    '[1, {"type": "builtins.tuple", "context": "null", "children_spec": [{"type": "builtins.tuple", "context": "null", '
    '"children_spec": [{"type": null, "context": null, "children_spec": []}]}, {"type": "builtins.dict", '
    '"context": "[]", "children_spec": []}]}]'
)
RESULT = '[1, {"type": null, "context": null, "children_spec": []}]'
NAME = re.compile(r"[\w.]*", re.ASCII)
# What the text of a key may be; that of any other is a NAME.
TEXTS = {
    "as_string": re.compile(r"[ -~]*"),  # an argument of an operation, which is written as a literal
    "expr_str": SIZE,
    "forward_arg_names": re.compile("images"),
    "guards_code": re.compile(r".*", re.DOTALL),  # not looked at by `load`
    "in_spec": re.compile(re.escape(ARGUMENTS)),
    "out_spec": re.compile(re.escape(RESULT)),
    "path_name": re.compile(r"(weight|tensor)_\d+", re.ASCII),
    "target": TARGETS,
    "torch_version": re.compile(r"[\w.+]*", re.ASCII),
}
# Keys whose own keys are names.
NAMING = re.compile("config|opset_version|range_constraints|sym_(bool|float|int)_values|tensor_values")
# Every key that there is. What calls other code has others: as_graph, as_operator, as_custom_obj, metadata of nodes.
KEYS = re.compile(
    "arg|as_(bools?|complex|device|expr|floats?|ints?|layout|memory_format|name|none|optional_tensors|scalar_type|"
    "strings?|sym_bools?|sym_floats?|sym_ints?|tensors?)|buffer|buffer_name|constant_input|custom_obj_values|device|dtype|"
    "expr_str|forward_arg_names|fqn|graph|graph_module|guards_code|hint|imag|in_spec|index|input_specs|inputs|"
    "is_hop_single_tensor_return|is_param|is_single_tensor_return|kind|layout|major|max_val|metadata|min_val|minor|"
    "module_call_graph|name|nodes|out_spec|output_specs|outputs|parameter|parameter_name|path_name|persistent|real|"
    "requires_grad|schema_version|signature|sizes|storage_offset|strides|target|tensor_constant|tensor_constant_name|"
    "tensor_meta|torch_version|treespec_namedtuple_fields|type|use_pickle|user_input|user_output|value|verifiers|"
    f"{NAMING.pattern}"
)
SWELLING = 4  # torch stores without compression, so that records add up to less than the size of the file


class Archive:
    """The records of a file as torch itself finds them; `content` is what was looked at, to be loaded.

    Raises CheckpointError for what is no such file, which is called `what` then, and for one that swells in memory.
    """

    def __init__(self, path: Path, what: str):
        self.path = path
        self.what = what
        try:
            self.content = path.read_bytes()
            self.reader = torch._C.PyTorchFileReader(io.BytesIO(self.content))
            self.names = self.reader.get_all_records()
            size = unpacked_size(self.content)
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
        except (RuntimeError, ValueError, zipfile.BadZipFile) as error:
            raise self.damaged(error) from error
        if size > SWELLING * len(self.content):
            raise CheckpointError(f"{path}: is not loaded: its {len(self.content):,} bytes would become {size:,}")

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
        except (ValueError, RecursionError) as error:
            raise self.damaged(error) from error

    def damaged(self, error: Exception) -> CheckpointError:
        """How a file is refused that is not what its name says."""
        return CheckpointError(f"{self.path}: is no {self.what}, or damaged: {reason_of(error)}")

    def refuse(self, found: str) -> CheckpointError:
        """How a file is refused that could run code."""
        return CheckpointError(f"{self.path}: holds {found}, and is not loaded: it could run code")


def unpacked_size(content: bytes) -> int:
    """Bytes that the records of a zip archive add up to. Raises zipfile.BadZipFile where it is none."""
    with zipfile.ZipFile(io.BytesIO(content)) as records:
        return sum(record.file_size for record in records.infolist())


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
        _require_known(archive, config)
        entries = config.get("config") if isinstance(config, dict) else None
        for key, meta in entries.items() if isinstance(entries, dict) else ():
            if not isinstance(meta, dict) or meta.get("use_pickle") is not False:
                raise archive.refuse(f"'{key}' in a form that must be unpickled")
    images = archive.read("data/sample_inputs/model.pt")
    try:
        if unpacked_size(images) > SWELLING * len(images):
            raise archive.refuse("example images that swell in memory")
        torch.load(io.BytesIO(images), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise archive.refuse("example images that must be unpickled") from error
    _require_known(archive, archive.read_json("models/model.json"))


def _require_known(archive: Archive, root: Any) -> None:
    """Raises CheckpointError where a tree of JSON has other keys or texts than those that segtrain writes."""
    waiting = [("", root)]
    while waiting:
        key, node = waiting.pop()
        if isinstance(node, list):
            waiting += [(key, item) for item in node]
        elif isinstance(node, str) and not TEXTS.get(key, NAME).fullmatch(node):
            raise archive.refuse(f"the {key} {node[:80]!r}")
        elif isinstance(node, dict):
            for name in node:
                if not (NAME if NAMING.fullmatch(key) else KEYS).fullmatch(name):
                    raise archive.refuse(f"the key {name[:80]!r} in {key or 'its description'}")
            waiting += node.items()
