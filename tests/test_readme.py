"""What the README and the pages of docs/ say is what happens."""

import re
import shlex
from pathlib import Path

import pytest

from segtrain.__main__ import build_parser
from segtrain.config.rules import load_config
from segtrain.config.schema import Config
from tests.conftest import PROJECT, SMALL, draw_sample, run
from tools.commands_reference import build_reference
from tools.datasets_table import build_datasets_table

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md")), PROJECT / "experiments" / "README.md"]


def read(page: str) -> str:
    """The text of a page."""
    return (PROJECT / page).read_text(encoding="utf-8")


README, OWN_DATA, SUPPORTED = read("README.md"), read("docs/how-to/own-data.md"), read("docs/reference/supported.md")


def blocks(language: str, text: str = README) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_readme_is_one_that_one_reads() -> None:
    assert len(README.splitlines()) <= 200


def test_the_mistakes_are_reported_as_shown() -> None:
    command, *expected = next(block for block in blocks("text") if "optimiser" in block).splitlines()
    done = run("train.py", *command.removeprefix("$ python train.py ").split())
    assert done.returncode == 2
    assert done.stderr.splitlines() == expected


def test_own_data_in_five_lines_trains_and_predicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = next(block for block in blocks("yaml", OWN_DATA) if "name: mine" in block)
    data = tmp_path / "data"
    for index in range(10):
        draw_sample(data, f"{index:03d}", seed=index)
    experiment = tmp_path / "mine.yml"
    experiment.write_text(example.replace("path/to/my/data", str(data)), encoding="utf-8")

    done = run("train.py", experiment, *SMALL, f"runs_dir={tmp_path / 'runs'}")
    assert done.returncode == 0, done.stderr
    assert "8 training and 2 validation images" in done.stdout

    done = run("predict.py", tmp_path / "runs/mine-1", data / "images", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    written = {f"{index:03d}{end}" for index in range(10) for end in (".png", "_color.png", "_overlay.jpg")}
    assert names == {*written, "manifest.csv"}

    (tmp_path / "runs/street-1").symlink_to(tmp_path / "runs/mine-1")
    (tmp_path / "data/street/val").mkdir(parents=True)
    (tmp_path / "data/street/val/images").symlink_to(data / "images")
    (tmp_path / "data/images/0000.png").symlink_to(data / "images/000.png")
    monkeypatch.chdir(tmp_path)
    variables: dict = {}
    exec(next(block for block in blocks("python") if "segtrain.load" in block), variables)
    assert variables["mask"].shape == (64, 80)


@pytest.mark.parametrize("written", re.findall(r"`(\[(?:\{|\w).*?\])`", OWN_DATA))
def test_the_ways_to_write_classes_are_valid(written: str) -> None:
    if written.startswith(("[11", "[best")):
        return
    config = load_config([f"data.classes={written}"])
    assert all(item.name for item in config.data.classes)


COMMAND = re.compile(r"(?:(train|predict)\.py|-m segtrain ([a-z-]+))((?: [^\n;&|#>]*)?)")


def documented_commands() -> list[tuple[str, str, str]]:
    """(page, command, arguments) of every line of a shell block that calls segtrain."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for block in re.findall(r"```(?:sh|shell|bash)\n(.*?)```", text, re.DOTALL):
            found += [(page.name, match[1] or match[2], match[3].strip()) for match in COMMAND.finditer(block)]
    return found


@pytest.mark.parametrize(("page", "name", "arguments"), documented_commands())
def test_commands_have_flags_files_and_keys_that_exist(page: str, name: str, arguments: str) -> None:
    words = [word for word in shlex.split(arguments.replace("$seed", "0")) if word not in ("OVERRIDE", "..", "...")]
    options = build_parser(name).parse_intermixed_args(words)
    if name in ("train", "tune", "lr-find") and getattr(options, "resume", None) is None:
        ours = [word for word in words if "=" in word or (PROJECT / word).is_file()]  # other files are the reader's own
        assert isinstance(load_config([word for word in ours if not word.startswith("-")]), Config)


VALUES = re.findall(r"`([a-z_]+(?:\.\w+)+=[^` ]+)`", "".join(map(read, ("README.md", "docs/how-to/experiments.md"))))


@pytest.mark.parametrize("override", VALUES)
def test_single_values_in_the_text_can_be_set(override: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_losses.py").write_text("import torch\n\n\nclass EdgeLoss(torch.nn.Module):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)  # where the reader's own loss lies
    assert isinstance(load_config([override]), Config)


def test_the_table_of_supported_things_is_true() -> None:
    from segtrain.config.libraries import known_names

    networks = " ".join(re.findall(r"^\| networks of \w+ \| (.*) \|$", SUPPORTED, re.M))
    named = set(re.findall(r"\w+", networks.partition("`")[0]))
    assert set(known_names("model")) <= named
    for loss in ("CrossEntropyLoss", "BCEWithLogitsLoss", "DiceLoss", "JaccardLoss", "TverskyLoss", "FocalLoss"):
        assert loss in known_names("loss")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, _, anchor in re.findall(r"\]\(([^)#\s]*)(#([^)\s]*))?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("https://", "http://")):
            file = page.parent / target if target else page
            assert file.exists(), target
            if anchor and file.suffix == ".md":
                assert anchor in anchors(file), (target, anchor)


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_table_of_data_sets_is_that_of_the_formats() -> None:
    assert read("docs/reference/data-sets.md").endswith(f"\n{build_datasets_table()}")
    count = build_datasets_table().count("\n") - 2
    assert f"[{count} public datasets](data-sets.md)" in SUPPORTED


def test_the_reference_of_the_commands_is_that_of_their_parsers() -> None:
    stored = read("docs/reference/commands.md")
    assert stored == build_reference(), "run: python -m tools.commands_reference > docs/reference/commands.md"


@pytest.mark.parametrize("keys", re.findall(r"^\| (`[a-z_]+: .+?) \|", OWN_DATA, re.MULTILINE))
def test_the_keys_of_data_are_valid(keys: str) -> None:
    for part in re.findall(r"`(\w+): (.+?)`", keys):
        key, value = part
        related = {"fold": ["data.folds=5"], "bands": ["data.channels=3"]}.get(key, [])
        load_config([*related, "data.classes=[a, b]", f"data.{key}={value}"])
