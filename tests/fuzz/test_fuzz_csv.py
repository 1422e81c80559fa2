"""Damaged tables and lists of samples: read, or one line."""

import pytest

from segtrain.data.splits import read_splits
from segtrain.formats import csv, list_file
from tests.conftest import draw_folders
from tests.formats.format_reading import data_config
from tests.fuzz.mutate import VALUES, attack, mutate_bytes

CELLS = [value for value in map(str, VALUES) if len(value) < 10_001]


@pytest.fixture
def rows(tmp_path):
    draw_folders(tmp_path / "set", train=4, val=2)
    names = [f"train/images/00{index}.png" for index in range(4)] + [f"val/images/00{index}.png" for index in range(2)]
    return [[name, name.replace("images", "masks"), name.split("/")[0]] for name in names]


def damaged(rows: list[list[str]], rng, *, separator: str = ",") -> bytes:
    """The rows with a cell, a row or a separator that is wrong, or the bytes of them mutated."""
    rows = [list(row) for row in rows]
    for _ in range(rng.choice([1, 1, 2])):
        row, choice = rng.choice(rows), rng.randrange(7)
        if choice < 3:
            row[rng.randrange(len(row))] = rng.choice(CELLS + [cell for row in rows for cell in row])
        elif choice == 3:
            del row[rng.randrange(len(row)) :]
            row.append("")
        elif choice == 4:
            row.insert(rng.randrange(len(row)), rng.choice(CELLS))
        elif choice == 5:
            rows.insert(rng.randrange(len(rows)), list(rng.choice(rows)))
        else:
            row[0] += rng.choice(['"', "\r", "\n", ",", "\t", ";", " ", "\x00", "#"])
    data = "\n".join(separator.join(row) for row in rows).encode("utf-8", "surrogatepass") + b"\n"
    return mutate_bytes(data, rng) if rng.random() < 0.3 else data


def test_tables(rows, tmp_path):
    table = tmp_path / "set" / "data.csv"
    config = data_config(format="csv", root=tmp_path / "set", classes=["a", "b"])

    def use():
        csv.read(tmp_path / "set")
        csv.read(tmp_path / "set", problems=(problems := []))
        assert all(len(problem.splitlines()) == 1 for problem in problems), problems
        read_splits(config, seed=0)

    header = [["image", "mask", "split"]]
    attack(
        300,
        lambda rng: table.write_bytes(damaged(header + rows, rng, separator=rng.choice(",,,;"))),
        use,
        root=tmp_path,
    )


def test_lists(rows, tmp_path):
    listed, val = tmp_path / "set" / "train.txt", tmp_path / "set" / "val.txt"
    val.write_text("".join(" ".join(row[:2]) + "\n" for row in rows[4:]))

    def use():
        list_file.read(tmp_path / "set")

    attack(
        150, lambda rng: listed.write_bytes(damaged([r[:2] for r in rows[:4]], rng, separator=" ")), use, root=tmp_path
    )
