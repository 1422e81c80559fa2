"""The rules that keep the code readable: which module may import which, and how long things may be."""

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
SOURCES = sorted([*PROJECT.glob("segtrain/**/*.py"), *PROJECT.glob("benchmarks/*.py"), *PROJECT.glob("*.py")])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < 50, node.name


def test_train_py_is_a_table_of_contents() -> None:
    text = (PROJECT / "train.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 70
    assert "if config." not in text
