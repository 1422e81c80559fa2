"""The list of published data sets, and what every one of them says of itself."""

import re
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest

from segtrain.command import run_command
from segtrain.commands.datasets.command import (
    build_datasets_table,
    describe,
    overview,
    published,
    wrap,
)
from segtrain.commands.datasets.command import (
    main as list_datasets,
)
from segtrain.commands.datasets.download import file_name, is_archive
from segtrain.commands.datasets.download_command import main as download_dataset
from segtrain.commands.datasets.fetch import STORE
from segtrain.formats import FORMATS, folders
from segtrain.formats.dataset_info import About, Archive, KnownClass, Labels
from tests.commands.datasets.file_server import serve

LONG = "https://a.example/a/very/long/address/that/does/not/fit/into/a/line/of/eighty/characters/x.zip"
DRAWN = About(
    title="Drawn: blocks of colour, in two shades | and a third",
    layout=("images/NAME.jpg", "masks/{train,val}/NAME.png, and a path that goes on and on until the line is full"),
    images={"train": 12, "val": 3},
    licence="free for research, and for whatever else comes to mind on a long evening",
    home="https://set.example/",
    archives=(Archive(LONG, "md5:0", 2_500_000), Archive("https://a.example/y.tar", folder="masks")),
    by_hand="data.root is the folder set",
)
LABELS = Labels((KnownClass("sky", (0, 0, 255), (7,)), KnownClass("road", (128, 64, 128), (8, 11))), (0, 255))


def module(about: About = DRAWN, labels: Labels | None = LABELS) -> SimpleNamespace:
    """A format as its modules are."""

    def read(root: Path, *, version: str = "first", seed: int = 0):
        return folders.read(root, images="i", masks="m", val_fraction=0.5)

    return SimpleNamespace(ABOUT=about, labels=lambda arguments: labels, read=read)


@pytest.fixture
def only(monkeypatch):
    """Make these the only formats."""

    def only(**modules: SimpleNamespace) -> None:
        monkeypatch.setattr("segtrain.commands.datasets.command.FORMATS", {"folders": folders, **modules})
        monkeypatch.setenv("COLUMNS", "80")

    return only


def call(capsys, main, **options: object) -> tuple[int, str, str]:
    status = run_command(main, Namespace(**options))
    return status, *capsys.readouterr()


def test_the_list(only, capsys):
    only(zebra=module(), ant=module(DRAWN._replace(title="Ants", archives=(), licence="CC0"), None))
    assert call(capsys, list_datasets, word="") == (
        0,
        """\
name   classes  images           get it
ant      yours  train 12, val 3  by hand
    Ants. Licence: CC0
    - images/NAME.jpg
    - masks/{train,val}/NAME.png, and a path that goes on and on until the line
      is full
zebra        2  train 12, val 3  download, more than 2.5 MB
    Drawn: blocks of colour, in two shades | and a third. Licence: free for
    research, and for whatever else comes to mind on a long evening
    - images/NAME.jpg
    - masks/{train,val}/NAME.png, and a path that goes on and on until the line
      is full

python -m segtrain datasets NAME tells everything about one
""",
        "",
    )
    assert "ant" not in call(capsys, list_datasets, word="BLOCKS")[1]
    assert call(capsys, list_datasets, word="zebro") == (
        2,
        "",
        "datasets: no name or title has 'zebro'; did you mean 'zebra'?\n",
    )


def test_one_of_them(only, capsys):
    only(drawn=module())
    expected = f"""\
drawn: Drawn: blocks of colour, in two shades | and a third
home     https://set.example/
licence  free for research, and for whatever else comes to mind on a long
           evening
images   train 12, val 3
get it   python -m segtrain download drawn data/drawn
         {LONG}
           (2.5 MB, md5)
         https://a.example/y.tar (size not known, no checksum known, into
           masks/)
         then: data.root is the folder set
layout   below data.root:
         images/NAME.jpg
         masks/{{train,val}}/NAME.png, and a path that goes on and on until the
           line is full
keys     data.format: drawn, and its own (docs/config.md): version
ignored  0, 255, data.ignore_index
classes  index  name  in masks  colour
             0  sky   7         [0, 0, 255]
             1  road  8, 11     [128, 64, 128]
"""
    assert call(capsys, list_datasets, word="Drawn") == (0, expected, "")


def end_of(labels: Labels | None) -> list[str]:
    """The lines from `ignored` on."""
    lines = list(describe("x", module(labels=labels), width=80))
    return lines[next(place for place, line in enumerate(lines) if line.startswith("ignored")) :]


def test_other_kinds_of_classes():
    assert end_of(None) == ["ignored  data.ignore_index", "classes  yours, in data.classes"]
    assert end_of(Labels((KnownClass("pet", (9, 9, 9), (255,)),))) == [
        "ignored  data.ignore_index",
        "classes  index  name  in masks  colour",
        "             1  pet   255       [9, 9, 9]",
    ]
    colours = KnownClass("road", (1, 2, 3), colors=((1, 2, 3), (4, 5, 6)))
    assert end_of(Labels((KnownClass("sky", (0, 0, 9)), colours), ((0, 0, 0),))) == [
        "ignored  [0, 0, 0]",
        "classes  index  name  in masks             colour",
        "             0  sky   [0, 0, 9]            [0, 0, 9]",
        "             1  road  [1, 2, 3] [4, 5, 6]  [1, 2, 3]",
    ]
    assert end_of(Labels((KnownClass("sky", (0, 0, 9)), KnownClass("road", (1, 2, 3)))))[:2] == [
        "ignored  nothing",
        "classes  index  name  in masks",
    ]


@pytest.mark.parametrize("width", [1, 20, 40, 60, 80, 120, 300])
def test_lines_fit_any_width(width):
    modules = {name: FORMATS[name] for name in published()} | {"drawn": module()}
    lines = [*overview(modules, width=width)]
    for name, item in modules.items():
        lines += describe(name, item, width=width)
    for line in lines:
        assert len(line) <= width or len(line.split()) <= 3, line  # what is longer is one long word behind its title


def test_wrapped_lines():
    assert wrap("aa  bb-cc dddddddddd ee", 8, first="- ", rest="    ") == [
        "- aa",
        "    bb-cc",
        "    dddddddddd",
        "    ee",
    ]


def test_the_table_of_the_readme(only):
    only(zebra=module(), ant=module(DRAWN._replace(title="Ants", archives=(), licence="CC0"), None))
    assert build_datasets_table() == (
        "| `format` | data set | classes | images | licence | get it |\n"
        "|---|---|---|---|---|---|\n"
        "| `ant` | [Ants](https://set.example/) | yours | train 12, val 3 | CC0 | by hand |\n"
        "| `zebra` | [Drawn: blocks of colour, in two shades \\| and a third](https://set.example/) | 2 | "
        "train 12, val 3 | free for research, and for whatever else comes to mind on a long evening | "
        "download, more than 2.5 MB |\n"
    )


@pytest.mark.parametrize("name", published())
def test_facts_are_of_the_right_form(name):
    about = FORMATS[name].ABOUT
    assert about.title and about.layout and about.licence and re.match(r"https?://[^ )#]+$", about.home)
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


def test_what_was_unpacked_by_hand_is_not_fetched(only, capsys, tmp_path):
    only(drawn=module(DRAWN._replace(images={"train": 1, "val": 1})))
    draw_pairs(tmp_path)
    expected = (0, f"{tmp_path}: all images of drawn are there; nothing to do\n", "")
    assert call(capsys, download_dataset, name="drawn", root=tmp_path) == expected
    assert not (tmp_path / STORE).exists()
    (tmp_path / STORE).mkdir()  # of a call that could not fetch it
    assert call(capsys, download_dataset, name="drawn", root=tmp_path) == expected


def test_a_download_ends_with_what_is_read(only, capsys, tmp_path):
    root = tmp_path / "R"
    with serve(root) as got:
        got.files = {"/list.txt": b"a"}
        about = DRAWN._replace(archives=(Archive(f"{got.url}/list.txt"),), images={"train": 1, "val": 1})
        only(drawn=module(about))
        status, out, err = call(capsys, download_dataset, name="drawn", root=root)
        assert (status, err) == (0, "") and out.splitlines()[-1] == (
            f"note: data.images: {root}/i does not exist; {root} holds: list.txt"
        )
        draw_pairs(root)
        (root / "list.txt").unlink()  # all images are there, but not all that was unpacked
        status, out, err = call(capsys, download_dataset, name="drawn", root=root)
    assert (status, err) == (0, "")
    assert (root / "list.txt").read_bytes() == b"a"
    assert out.splitlines()[-1] == f"{root}: read as data.format: drawn, it has train 1, val 1"


def test_names_that_cannot_be_fetched(only, capsys, tmp_path):
    only(drawn=module(DRAWN._replace(archives=(), by_hand="ask for a login")))
    for name, message in (
        ("drawm", "download: no data set 'drawm'; did you mean 'drawn'?"),
        ("folders", "download: no data set 'folders'; known: drawn"),
        ("drawn", "drawn: cannot be fetched without you; ask for a login; its page is https://set.example/"),
    ):
        assert call(capsys, download_dataset, name=name, root=tmp_path / "R") == (2, "", f"{message}\n")
    assert not (tmp_path / "R").exists()
