import json
import re

import pytest
import yaml

from segtrain.commands.schema.command import build_schema
from segtrain.config.schema import Config
from segtrain.config.tree import load_yaml
from tests.conftest import PROJECT
from tools.config_reference import build_reference

REFERENCE = build_reference()


def follow(schema, part):
    return schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part


def accepts(schema, part, value):
    """Whether a JSON schema takes a value, for the words that pydantic's schemas use."""
    part = follow(schema, part)
    if "anyOf" in part:
        return any(accepts(schema, item, value) for item in part["anyOf"])
    if "enum" in part and value not in part["enum"]:
        return False
    if "const" in part and value != part["const"]:
        return False
    kinds = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)}
    kind = part.get("type")
    if kind == "array":
        items = part.get("items", {})
        return isinstance(value, list) and all(accepts(schema, items, item) for item in value)
    if kind == "object":
        declared, further = part.get("properties", {}), part.get("additionalProperties", True)
        return isinstance(value, dict) and all(
            accepts(schema, declared[key], item)
            if key in declared
            else further is True or (isinstance(further, dict) and accepts(schema, further, item))
            for key, item in value.items()
        )
    if kind is None:
        return True
    return isinstance(value, kinds[kind]) and (kind == "boolean" or not isinstance(value, bool))


# But for sweeps of Weights & Biases, which name a program and are tested in tests/test_sweep.py.
FILES = [PROJECT / "config.yml", *sorted(PROJECT.glob("experiments/*.yml"))]
EXPERIMENTS = [path for path in FILES if "program" not in yaml.safe_load(path.read_text())]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_the_schema_takes_the_experiments(path):
    schema = build_schema()
    assert accepts(schema, schema, load_yaml(path).plain())


@pytest.mark.parametrize(
    "value",
    [
        {"optimiser": {}},
        {"train": {"epoch": 3}},
        {"train": {"epochs": "many"}},
        {"train": {"precision": "bf32"}},
        {"data": {"classes": [5]}},
        {"loss": {"DiceLoss": "much"}},
        {"data": {"mix": {"ClassMix": "often"}}},
        {"data": {"mix": {"Classmix": 0.5}}},
        {"log": {"wandb": {"artifacts": ["last"]}}},
    ],
)
def test_the_schema_refuses_what_is_wrong(value):
    schema = build_schema()
    assert not accepts(schema, schema, value)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"data": {"classes": ["sky", {"name": "road", "value": 3}], "val_fraction": 0.1}},
        {"loss": {"DiceLoss": 1, "FocalLoss": {"coef": 0.5, "gamma": 2}}},
        {"schedule": None},
        {"data": {"mix": {"ClassMix": 0.5, "CopyPaste": {"classes": ["car"]}}}},
        {"data": {"mix": None}},
        {"model": {"decoder_channels": [1, 2]}},
    ],
)
def test_the_schema_takes_parts_of_an_experiment(value):
    schema = build_schema()
    assert accepts(schema, schema, value)


def test_the_schema_is_json_and_every_key_is_described():
    schema = json.loads(json.dumps(build_schema()))
    assert schema["title"] == "segtrain experiment" and "required" not in schema
    assert list(schema["properties"]) == list(Config.model_fields)
    for part in (schema, *schema["$defs"].values()):
        assert "required" not in part
        described = {
            key: item.get("description") or follow(schema, item).get("description")
            for key, item in part["properties"].items()
        }
        assert [key for key, text in described.items() if not text] == []


def test_the_reference_in_docs_is_that_of_the_code():
    stored = (PROJECT / "docs/reference/config.md").read_text(encoding="utf-8")
    assert stored == REFERENCE, "run: python -m tools.config_reference > docs/reference/config.md"


ROWS = (
    "| `epochs` | integer | `30` | Passes over the training images. |",
    "| `workers` | integer or auto | `auto` | Processes",
    "| `mean` | list of numbers or null | `null` | Mean",
    "| `encoder_weights` | string or true or false or null | `null` | Weights",
    "| `loss` | mapping | `{CrossEntropyLoss: 1.0}` | A weighted sum",
    "| `wandb` | mapping | section | Weights & Biases. |",
    "| `root` | path or list of paths | none, must be given | Folder",
    "| `compile` | true or false | `false` | Compile",
    "| `images` | string or list of strings or mapping to strings or lists of strings | "
    "`{train: train/images, val: val/images}` |",
    "| `val_fold` | integer or null | `null` |",
)


@pytest.mark.parametrize("row", ROWS)
def test_rows(row):
    assert any(line.startswith(row) for line in REFERENCE.splitlines())


def test_no_python_shows_in_the_types():
    types = [line.split("|")[2].strip() for line in REFERENCE.splitlines() if line.startswith("| `")]
    assert len(types) > 50
    assert [text for text in types if not re.fullmatch(r"[a-zA-Z0-9_ ]+", text)] == []
