"""Print the JSON schema of an experiment file, for completion in an editor."""

import argparse
import json
from typing import Any

from segtrain.config.schema import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has none."""


def main(_: argparse.Namespace) -> None:
    """Print the schema."""
    print(json.dumps(build_schema(), indent=2))


def build_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of an experiment file: no key is required, since files lie over config.yml."""
    schema = Config.model_json_schema(by_alias=True)
    schema["title"] = "segtrain experiment"
    for part in (schema, *schema["$defs"].values()):
        part.pop("required", None)
    number_or_term = [{"type": "number"}, {"$ref": "#/$defs/LossTerm"}]
    schema["properties"]["loss"]["additionalProperties"] = {"anyOf": number_or_term}
    classes = schema["$defs"]["DataConfig"]["properties"]["classes"]["anyOf"][0]
    classes["items"] = {"anyOf": [{"type": "string"}, classes["items"]]}
    ranges = schema["$defs"]["TuneConfig"]["properties"]["ranges"]
    ranges["additionalProperties"] = {"anyOf": [{"type": "array"}, ranges["additionalProperties"]]}
    return schema
