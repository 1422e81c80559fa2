"""The rules that keep the code readable: which module may import which, and how long things may be."""

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
SOURCES = sorted([*PROJECT.glob("segtrain/**/*.py"), *PROJECT.glob("benchmarks/*.py"), *PROJECT.glob("*.py")])
LIGHT = {"yamltree", "config", "resolve", "experiment", "rules", "errors", "memory", "command", "reference"}
LIGHT |= {"infer_options", "model_files", "prediction.kinds"}
LIGHT |= {"evaluation.command", "export.command", "serve.command", "serve.limits"}
LIGHT |= {"data.about", "data.claims", "data.sample", "data.section"}
FORMATS = {f"data.formats.{path.stem}" for path in PROJECT.glob("segtrain/data/formats/*.py")} - {
    "data.formats.__init__"
}
FORMATS |= {"data.formats"}

# module -> all that it may import of segtrain
ALLOWED = {
    "errors": set(),
    "memory": set(),
    "command": {"errors", "memory"},
    "yamltree": {"errors"},
    "config": {"errors", "yamltree"},
    "resolve": {"config", "errors"},
    "data.claims": {"config"},
    "data.about": set(),
    "data.section": {"config", "data.about", "data.claims", "data.formats"},
    "experiment": {"config", "data.section"},
    "metrics": set(),
    "visualize": set(),
    "plots": set(),
    "checkpoint": {"errors"},
    "transforms": {"class_crop", "config", "errors", "resolve"},
    "weights": {"errors"},
    "losses": {"class_weights", "errors", "lovasz", "region_losses", "resolve", "segmentation_loss", "weighted_loss"},
}


def module_name(path: Path) -> str:
    """`data.formats.csv` for segtrain/data/formats/csv.py."""
    return ".".join(path.relative_to(PROJECT / "segtrain").with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path, *, top_level: bool = False) -> set[str]:
    """The modules of segtrain that a file imports, anywhere or only when it is imported itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "segtrain":
            base = node.module.removeprefix("segtrain").lstrip(".")
            inner = {f"{base}.{alias.name}".lstrip(".") for alias in node.names}
            modules = {
                name for name in inner if (PROJECT / "segtrain" / Path(*name.split("."))).with_suffix(".py").exists()
            }
            found |= modules or ({base} if base else set())
    return found


@pytest.mark.parametrize("name", ALLOWED)
def test_a_module_imports_only_what_lies_below_it(name: str) -> None:
    imported = imports_of((PROJECT / "segtrain" / Path(*name.split("."))).with_suffix(".py"))
    assert imported <= ALLOWED[name], f"{name} imports {sorted(imported - ALLOWED[name])}"


def test_what_reports_mistakes_imports_nothing_slow() -> None:
    for name in LIGHT | FORMATS:
        path = PROJECT / "segtrain" / Path(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        assert imports_of(path, top_level=True) <= LIGHT | FORMATS, name


def test_the_loop_is_given_what_is_built() -> None:
    tree = ast.parse((PROJECT / "segtrain/loop.py").read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert not {name for name in names if name.startswith(("build_", "load_"))}


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
