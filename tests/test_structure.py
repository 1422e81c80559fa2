"""The floors of the house (docs/architecture.md): who may import whom, what stays fast, how long the short read is."""

import ast
from pathlib import Path

import pytest

from tests.conftest import PROJECT

PACKAGE = PROJECT / "segtrain"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *PROJECT.glob("benchmarks/*.py"), *PROJECT.glob("tools/*.py")])
SOURCES += [PROJECT / "train.py", PROJECT / "predict.py"]
COMMANDS = sorted(folder.name for folder in (PACKAGE / "commands").iterdir() if (folder / "command.py").exists())

# From the ground up. A file imports from its own folder and from the floors before it.
FLOORS = [
    {"errors"},
    {"command", "files", "memory", "devices", "metrics", "visualize", "plots", "checkpoint"},
    {"images"},
    {"formats"},
    {"config"},
    {"models", "losses", "data", "log"},
    {"inference"},
    {"training"},
    {"commands"},
    {"__main__"},
]
FLOOR = {name: level for level, names in enumerate(FLOORS) for name in names}


def modules_of(path: Path) -> set[str]:
    """The modules of segtrain that a file imports, anywhere in it, with dots: `data.loaders`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "segtrain":
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                whole = PROJECT / name.replace(".", "/")
                is_module = whole.with_suffix(".py").exists() or (whole / "__init__.py").exists()
                found.add((name if is_module else node.module).removeprefix("segtrain").lstrip("."))
    return found - {""}


def test_every_module_stands_on_a_floor() -> None:
    present = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir()}
    assert present - {"__init__", "__pycache__", "py"} <= FLOOR.keys()


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_its_own_folder_and_the_floors_below(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts
    for module in modules_of(path):
        other = module.split(".")
        if other[0] == own[0] == "commands" and len(other) > 1 and other[1] != own[1]:
            assert (own[1], other[1]) == ("serve", "predict"), f"{path} imports the command {module}"
        else:
            level, mine = FLOOR[other[0]], FLOOR.get(own[0], -1)
            assert other[0] == own[0] or level < mine, f"{path} imports {module}, which does not lie below it"


def test_no_imports_go_in_a_circle() -> None:
    waiting = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): modules_of(path) for path in PACKAGE.rglob("*.py")
    }
    waiting = {name.removesuffix(".__init__"): imported for name, imported in waiting.items()}
    while ready := [name for name, imported in waiting.items() if not imported & waiting.keys()]:
        for name in ready:
            del waiting[name]
    assert not waiting, f"imports in a circle among {sorted(waiting)}"
