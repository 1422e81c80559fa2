"""The floors of the house, as docs/explanation/architecture.md draws them: who imports whom, how long things are, what
each is called, and that every command can be deleted."""

import ast
import shutil
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from segtrain.__main__ import COMMANDS
from tests.conftest import PROJECT, run

PACKAGE = PROJECT / "segtrain"
FILES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = sorted(path.name for path in (PACKAGE / "commands").iterdir() if (path / "__init__.py").exists())

# From the ground up. A file imports from its own folder and from the floors before it.
FLOORS = [
    {"errors"},
    {"memory", "files", "metrics", "visualize", "plots", "distributed"},
    {"devices", "command", "checkpoint", "page"},
    {"images"},
    {"formats"},
    {"config"},
    {"models", "losses", "data", "log"},
    {"inference"},
    {"training"},
    {"commands"},
    {"__main__", "api"},
]
FLOOR = {name: level for level, names in enumerate(FLOORS) for name in names}

# The reading order of a training.
SPINE = [
    "training/command.py",
    "training/train.py",
    "config/schema.py",
    "data/splits.py",
    "data/labels.py",
    "data/dataset.py",
    "data/loaders.py",
    "models/model.py",
    "losses/base.py",
    "losses/weighted.py",
    "training/build.py",
    "training/optim.py",
    "training/state.py",
    "training/loop.py",
    "training/validation.py",
    "inference/score.py",
    "training/run.py",
]

# What a training imports where an experiment asks for it.
WHERE_ASKED = {
    "data.bottleneck",
    "data.memory_cache",
    "data.mixing",
    "data.staging",
    "data.tiling",
    "data.torchvision_transforms",
    "distributed",
    "images.windows",
    "log.tensorboard_writer",
    "log.wandb_media",
    "log.wandb_writer",
    "losses.foreign",
    "models.auxiliary",
    "models.encoder",
    "models.layers",
    "models.own",
    "models.pointwise",
    "models.pretrained",
    "training.auto_batch",
    "training.follower",
    "training.mixed",
    "training.observe",
    "training.overfit",
    "training.transfer",
}

# A training that is built in seconds.
CHEAP = ["model.encoder_name=tu-mobilenetv3_small_050", "model.decoder_channels=[16,16,8,8,8]", "train.device=cpu"]

# What several modules have by design: the interfaces of formats, commands, export targets and runtimes; and what
# segtrain.api calls as the command that it stands for.
INTERFACES = {"add_arguments", "main", "read", "read_mask", "find_classes", "find_labels", "export", "load"}
INTERFACES |= {"check", "evaluate", "train"}


def name_of(path: Path) -> str:
    """`data.loaders` for segtrain/data/loaders.py."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path, nodes: list[ast.stmt] | None = None) -> set[str]:
    """The modules of segtrain that a file imports anywhere, or in `nodes` alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree) if nodes is None else nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "segtrain":
            for alias in node.names:
                module = PROJECT.joinpath(*node.module.split("."), alias.name)
                is_module = module.with_suffix(".py").exists() or (module / "__init__.py").exists()
                found.add(f"{node.module}.{alias.name}" if is_module else node.module)
    return {name.removeprefix("segtrain").lstrip(".") for name in found} - {""}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_imports_its_own_folder_and_the_floors_below(path: Path) -> None:
    own = name_of(path).split(".")
    for module in imports_of(path):
        other = module.split(".")
        if own[0] == other[0] == "commands":
            assert own[1] == other[1] or (own[1], other[1]) == ("serve", "predict"), module
        else:
            assert own[0] == other[0] or FLOOR[other[0]] < FLOOR.get(own[0], -1), module


def test_no_imports_go_in_a_circle() -> None:
    waiting = {name_of(path): imports_of(path) for path in FILES}
    while ready := [name for name, imported in waiting.items() if not imported & waiting.keys()]:
        for name in ready:
            del waiting[name]
    assert not waiting


def test_imports_of_the_package_stand_at_the_top() -> None:
    """But for the modules of commands, which answer --help and a wrong flag before torch is imported, and for what is
    imported where an experiment asks for it."""
    commands = {module.removeprefix("segtrain.") for module, _ in COMMANDS.values()}
    for path in FILES:
        if name_of(path) not in commands and not name_of(path).startswith(("config.", "formats.")):
            tops = ast.parse(path.read_text(encoding="utf-8")).body
            late = imports_of(path) - imports_of(path, tops)
            assert late <= WHERE_ASKED, (path, late)


def test_training_imports_few_files() -> None:
    """With those of the packages, and without what is imported where an experiment asks for it."""
    seen, waiting = set(), ["__main__", "training.command"]
    while waiting:
        name = waiting.pop()
        if name not in seen | WHERE_ASKED:
            seen.add(name)
            base = PACKAGE.joinpath(*name.split("."))
            waiting += imports_of(base / "__init__.py" if base.is_dir() else base.with_suffix(".py"))
            waiting += [name.rpartition(".")[0]] if "." in name else []
    files = seen | {"__init__"}
    assert len(files) <= 60, sorted(files)


def test_the_path_of_a_training_is_a_short_read() -> None:
    text = (PROJECT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    places = [text.index(f"`{file}`") for file in SPINE]
    assert places == sorted(places)
    assert sum(len((PACKAGE / file).read_text(encoding="utf-8").splitlines()) for file in SPINE) <= 2500


@pytest.mark.parametrize("path", [*FILES, *PROJECT.glob("tools/*.py"), *PROJECT.glob("benchmarks/*.py")], ids=str)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < 50, node.name


def test_a_public_name_is_defined_once() -> None:
    names: Counter[str] = Counter()
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names[node.name] += 1
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names.update(target.id for target in targets if isinstance(target, ast.Name))
    twice = {name for name, count in names.items() if count > 1 and not name.startswith("_")}
    assert twice <= INTERFACES, twice - INTERFACES


def test_pillow_is_told_which_types_of_files_it_may_open() -> None:
    """Others of its types run programs, like Ghostscript for an EPS that is named a.png."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open":
                assert "formats" in [keyword.arg for keyword in node.keywords], (path, node.lineno)


def test_a_module_is_introduced_by_a_noun() -> None:
    for path in FILES:
        first = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).split()[0]
        assert first not in {"What", "Which", "How", "Whether", "Where", "All", "That", "From"}, path


def test_commands_can_be_deleted(tmp_path: Path) -> None:
    """All of them at once; that none needs another, and nothing else needs them, their imports say."""
    for name in ("segtrain", "train.py", "config.yml"):
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    for folder in FOLDERS:
        shutil.rmtree(tmp_path / "segtrain" / "commands" / folder)
    there = {"cwd": tmp_path, "PYTHONPATH": str(tmp_path)}
    done = run(str(tmp_path / "train.py"), "--check", *CHEAP, **there)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("ok: street: Unet")
    assert run("-m segtrain", "--help", **there).returncode == 0
    (tmp_path / "ask.py").write_text("import segtrain\nsegtrain.evaluate('runs/street-1')\n")
    line = "segtrain.evaluate needs the folder segtrain/commands/evaluate, which does not exist"
    assert run(str(tmp_path / "ask.py"), **there).stderr.splitlines()[-1] == f"segtrain.errors.ConfigError: {line}"


def test_files_beside_the_code_are_installed_with_it() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["segtrain"]
    installed = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    beside = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert beside == installed
