"""The list of published datasets, and what every one of them says of itself."""

import re
from argparse import Namespace
from pathlib import Path

import pytest
import yaml

from segtrain.command import run_command
from segtrain.commands.datasets.command import main as list_datasets
from segtrain.commands.datasets.command import overview, wrap
from segtrain.commands.datasets.download_command import STORE
from segtrain.commands.datasets.download_command import main as download_dataset
from segtrain.commands.datasets.http import file_name, is_archive
from segtrain.formats import dataset_info
from segtrain.formats.dataset_info import load_dataset, published
from tests.commands.datasets.file_server import serve
from tools.datasets_table import build_datasets_table

LONG = "https://a.example/a/very/long/address/that/does/not/fit/into/a/line/of/eighty/characters/x.zip"
DRAWN = """\
# Drawn for a test.
about:
  title: "Drawn: blocks of color, in two shades | and a third"
  layout:
    - images/NAME.jpg
    - "masks/{train,val}/NAME.png, and a path that goes on and on until the line is full"
  images: {train: 12, val: 3}
  license: free for research, and for whatever else comes to mind on a long evening
  home: https://set.example/
  archives:
    - {url: LONG, checksum: "md5:0", bytes: 2500000}
    - {url: https://a.example/y.tar, folder: masks}
  by_hand: data.root is the folder set
data:
  format: folders
  images: i
  masks: m
  val_fraction: 0.5
  classes: [{name: sky, value: 7, color: [0, 0, 255]}, {name: road, values: [8, 11], color: [128, 64, 128]}]
  ignore_values: [0]
""".replace("LONG", LONG)
ANTS = DRAWN.replace('"Drawn: blocks of color, in two shades | and a third"', "Ants").split("  by_hand")[0]
ANTS = re.sub(r"  archives:\n(    .*\n)+", "  by_hand: ask for a login\n", ANTS).replace(
    "free for research, and for whatever else comes to mind on a long evening", "CC0"
)
ANTS += "data: {format: folders}\n"


@pytest.fixture
def only(monkeypatch, tmp_path):
    """Make these YAML files the only published datasets."""

    def clear() -> None:
        published.cache_clear()
        load_dataset.cache_clear()

    def only(**texts: str) -> None:
        folder = tmp_path / "public"
        folder.mkdir(exist_ok=True)
        for name, text in texts.items():
            (folder / f"{name}.yml").write_text(text)
        monkeypatch.setattr(dataset_info, "PUBLIC", folder)
        monkeypatch.setenv("COLUMNS", "80")
        clear()

    yield only
    monkeypatch.undo()
    clear()


def call(capsys, main, **options: object) -> tuple[int, str, str]:
    status = run_command(main, Namespace(**options))
    return status, *capsys.readouterr()


def test_the_list(only, capsys):
    only(zebra=DRAWN, ant=ANTS)
    assert call(capsys, list_datasets, word="") == (
        0,
        """\
name   classes  images           get it
ant      yours  train 12, val 3  by hand
    Ants. License: CC0
    - images/NAME.jpg
    - masks/{train,val}/NAME.png, and a path that goes on and on until the line
      is full
zebra        2  train 12, val 3  download, more than 2.5 MB
    Drawn: blocks of color, in two shades | and a third. License: free for
    research, and for whatever else comes to mind on a long evening
    - images/NAME.jpg
    - masks/{train,val}/NAME.png, and a path that goes on and on until the line
      is full

python -m segtrain datasets NAME prints the file that defines a dataset
""",
        "",
    )
    assert "ant" not in call(capsys, list_datasets, word="BLOCKS")[1]
    assert call(capsys, list_datasets, word="zebro") == (
        2,
        "",
        "datasets: no name or title contains 'zebro'; did you mean 'zebra'?\n",
    )


def test_one_of_them_is_its_file(only, capsys):
    only(drawn=DRAWN, ant=ANTS)
    use = "use it:  data: {format: drawn, root: data/drawn}; keys that you write in data: override those below"
    text = f"# get it:  python -m segtrain download drawn data/drawn\n# {use}\n\n{DRAWN}"
    assert call(capsys, list_datasets, word="Drawn") == (0, text, "")
    assert call(capsys, list_datasets, word="ant") == (0, f"# {use.replace('drawn', 'ant')}\n\n{ANTS}", "")


@pytest.mark.parametrize("width", [1, 20, 40, 60, 80, 120, 300])
def test_lines_fit_any_width(width):
    for line in overview({name: load_dataset(name) for name in published()}, width=width):
        assert len(line) <= width or len(line.split()) <= 3, line  # what is longer is one long word behind its title


def test_wrapped_lines():
    assert wrap("aa  bb-cc dddddddddd ee", 8, first="- ", rest="    ") == [
        "- aa",
        "    bb-cc",
        "    dddddddddd",
        "    ee",
    ]


def test_the_table_of_the_readme(only):
    only(zebra=DRAWN, ant=ANTS)
    assert build_datasets_table() == (
        "| `format` | dataset | classes | images | license | get it |\n"
        "|---|---|---|---|---|---|\n"
        "| `ant` | [Ants](https://set.example/) | yours | train 12, val 3 | CC0 | by hand |\n"
        "| `zebra` | [Drawn: blocks of color, in two shades \\| and a third](https://set.example/) | 2 | "
        "train 12, val 3 | free for research, and for whatever else comes to mind on a long evening | "
        "download, more than 2.5 MB |\n"
    )


@pytest.mark.parametrize("name", published())
def test_facts_are_of_the_right_form(name):
    about = load_dataset(name).about
    assert about.title and about.layout and about.license and re.match(r"https?://[^ )#]+$", about.home)
    assert about.archives or about.by_hand
    assert about.images and all(type(count) is int and count > 0 for count in about.images.values())
    names = [file_name(archive.url) for archive in about.archives]
    assert len(set(names)) == len(names) and all(map(is_archive, names))
    for archive in about.archives:
        assert re.match(r"https?://[^ ]+$", archive.url) and archive.bytes >= 0
        assert re.fullmatch(r"|md5:[0-9a-f]{32}|sha1:[0-9a-f]{40}|sha256:[0-9a-f]{64}", archive.checksum)
        assert not Path(archive.folder).is_absolute() and ".." not in Path(archive.folder).parts


def draw_pairs(root: Path) -> None:
    for name in ("i/1.png", "i/2.png", "m/1.png", "m/2.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def changed(**about: object) -> str:
    content = yaml.safe_load(DRAWN)
    return yaml.safe_dump(content | {"about": content["about"] | about})


def test_what_was_unpacked_by_hand_is_not_fetched(only, capsys, tmp_path):
    only(drawn=changed(images={"train": 1, "val": 1}))
    draw_pairs(tmp_path)
    expected = (0, f"{tmp_path}: already contains all images of drawn; nothing to do\n", "")
    assert call(capsys, download_dataset, name="drawn", root=tmp_path) == expected
    assert not (tmp_path / STORE).exists()
    (tmp_path / STORE).mkdir()  # of a call that could not fetch it
    assert call(capsys, download_dataset, name="drawn", root=tmp_path) == expected


def test_a_download_ends_with_what_is_read(only, capsys, tmp_path):
    root = tmp_path / "R"
    with serve(root) as got:
        got.files = {"/list.txt": b"a"}
        only(drawn=changed(archives=[{"url": f"{got.url}/list.txt"}], images={"train": 1, "val": 1}))
        status, out, err = call(capsys, download_dataset, name="drawn", root=root)
        assert (status, err) == (0, "") and out.splitlines()[-1] == (
            f"note: data.images: {root}/i does not exist; {root} contains: list.txt"
        )
        draw_pairs(root)
        (root / "list.txt").unlink()  # all images are there, but not all that was unpacked
        status, out, err = call(capsys, download_dataset, name="drawn", root=root)
    assert (status, err) == (0, "")
    assert (root / "list.txt").read_bytes() == b"a"
    assert out.splitlines()[-1] == f"{root}: read as data.format: drawn, it has train 1, val 1"


def test_a_data_set_whose_classes_are_the_users(only, capsys, tmp_path):
    with serve(tmp_path / "R") as got:
        got.files = {"/list.txt": b"a"}
        only(ant=ANTS.replace("by_hand: ask for a login", f"archives: [{{url: '{got.url}/list.txt'}}]"))
        status, out, err = call(capsys, download_dataset, name="ant", root=tmp_path / "R")
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "note: list the classes that you want in data.classes; ant finds them by name"


def test_names_that_cannot_be_fetched(only, capsys, tmp_path):
    only(drawn=changed(archives=[], by_hand="ask for a login"))
    for name, message in (
        ("drawm", "download: no dataset 'drawm'; did you mean 'drawn'?"),
        ("folders", "download: no dataset 'folders'; known: drawn"),
        ("drawn", "drawn: cannot be downloaded automatically; ask for a login; its page is https://set.example/"),
    ):
        assert call(capsys, download_dataset, name=name, root=tmp_path / "R") == (2, "", f"{message}\n")
    assert not (tmp_path / "R").exists()
