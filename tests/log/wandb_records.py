"""Reads back what wandb wrote offline: the records that `wandb sync` would upload."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

from wandb.proto.wandb_internal_pb2 import Record


def find_runs(folder: Path) -> list[Path]:
    """The offline runs in a run folder, oldest first."""
    return sorted((folder / "wandb").glob("offline-run-*"))


def read_records(folder: Path) -> Iterator[Record]:
    """The records of one .wandb file: a LevelDB log of blocks of 32 KiB after 7 bytes of header.

    A process that was killed as it began leaves a folder without the file, and so no records.
    """
    paths = list(folder.glob("*.wandb"))
    data, position, parts = paths[0].read_bytes() if paths else b"", 7, []
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        length, kind = struct.unpack("<HB", data[position + 4 : position + 7])
        parts.append(data[position + 7 : position + 7 + length])
        position += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            yield Record.FromString(b"".join(parts))
            parts = []


def read_items(items) -> dict:
    """wandb spreads a nested value over one item per leaf, each with its path of keys."""
    values: dict = {}
    for item in items:
        *outer, name = [item.key] if item.key else item.nested_key
        target = values
        for key in outer:
            target = target.setdefault(key, {})
        target[name] = json.loads(item.value_json)
    return values


def read_history(folder: Path) -> list[dict]:
    """Rows as logged, `step` beside the values; wandb's own (_runtime, _timestamp, _step) left out."""
    rows = []
    for record in read_records(folder):
        if record.WhichOneof("record_type") == "history":
            values = read_items(record.history.item)
            row = {name: value for name, value in values.items() if not name.startswith("_")}
            rows.append({"step": record.history.step.num} | row)
    return rows
