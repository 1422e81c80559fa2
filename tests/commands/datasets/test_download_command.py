"""A whole dataset is got from a server on this machine, in one call or in several, or one line says what is wrong."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from segtrain.commands.datasets.download_command import STORE, estimate_disk_bytes, fetch_dataset
from segtrain.errors import DataError
from segtrain.formats.dataset_info import About, Archive
from tests.bad_input import contents
from tests.commands.datasets.archives import pack
from tests.commands.datasets.file_server import BODY, Answer
from tests.conftest import PROJECT

IMAGES = {"set/images/a.jpg": BODY[:3_000], "set/images/b.jpg": BODY[3_000:5_000]}
MASKS = {"masks/a.png": b"\x89PNG" * 100}
ALL = IMAGES | {f"set/{name}": body for name, body in MASKS.items()} | {"set/list.txt": b"a\nb\n"}


@pytest.fixture
def got(got):
    """A server that has the three files of a dataset."""
    got.files = {"/images.zip": pack(".zip", IMAGES), "/masks.tgz": pack(".tgz", MASKS), "/list.txt": b"a\nb\n"}
    return got


@pytest.fixture
def about(got):
    """What a format says of it."""
    checksum = f"sha256:{hashlib.sha256(got.files['/images.zip']).hexdigest()}"
    return About(
        title="Drawn: two images",
        layout=("images/NAME.jpg", "masks/NAME.png"),
        images={"train": 2},
        license="CC0",
        home="https://set.example/",
        archives=(
            Archive(f"{got.url}/images.zip", checksum, 5_300),
            Archive(f"{got.url}/masks.tgz", folder="set"),
            Archive(f"{got.url}/list.txt", f"md5:{hashlib.md5(b'a%cb%c' % (10, 10)).hexdigest()}", 4, folder="set"),
        ),
        by_hand="data.root is the folder set",
    )


@pytest.fixture
def call(got, about, capsys):
    """Get the dataset into R: the lines that were printed, with R and URL for what differs from run to run."""

    def call(about=about, **arguments):
        fetch_dataset("drawn", about, got.folder, **{"pauses_s": ()} | arguments)
        text = capsys.readouterr().out.replace(str(got.folder), "R").replace(got.url, "URL")
        return re.sub(r"(free on the disk of R: ).+", r"\1N", text).splitlines()

    return call


@pytest.fixture
def error(got, call):
    """The message of a call that must fail."""

    def error(*arguments, **keywords):
        with pytest.raises(DataError) as caught:
            call(*arguments, **keywords)
        return str(caught.value).replace(str(got.folder), "R").replace(got.url, "URL")

    return error


def visible(folder) -> dict[str, bytes]:
    """The files of a folder without those of the download itself."""
    return {name: body for name, body in contents(folder).items() if not name.startswith(STORE)}


HINT = "download it by hand to R and run this again; its page is https://set.example/"


def test_everything_is_fetched_checked_and_unpacked(got, call):
    assert call() == [
        "drawn: Drawn: two images",
        "license: CC0; see https://set.example/",
        "  URL/images.zip (5.3 kB, sha256)",
        "  URL/masks.tgz (size unknown, no known checksum, into set/)",
        "  URL/list.txt (4 bytes, md5, into set/)",
        "to download: more than 5.3 kB; free on the disk of R: N",
        "images.zip: its sha256 is correct; 2 file(s) are in R",
        "masks.tgz: its checksum is unknown, it has the size that the server announced, the checksums inside are "
        "correct; "
        "1 file(s) are in R/set",
        "list.txt: its md5 is correct; 1 file(s) are in R/set",
        "then: data.root is the folder set",
    ]
    assert visible(got.folder) == ALL
    left = sorted(path.name for path in (got.folder / STORE).iterdir())  # the archives are gone
    assert left == ["images.zip.files.json", "list.txt.files.json", "masks.tgz.files.json"]


def test_a_second_call_does_nothing(got, call):
    call()
    before, count = contents(got.folder), len(got.requests)
    assert call() == [
        "drawn: Drawn: two images",
        "license: CC0; see https://set.example/",
        "R: all of its 3 file(s) have been downloaded and unpacked already; nothing to do",
    ]
    assert contents(got.folder) == before and len(got.requests) == count


@pytest.mark.parametrize("damage", ["gone", "another archive"])
def test_what_is_missing_is_fetched_again(got, about, call, damage):
    call()
    image, record = got.folder / "set/images/a.jpg", got.folder / STORE / "images.zip.files.json"
    if damage == "another archive":
        record.write_text(record.read_text().replace("sha256:", "md5:"))
    else:
        image.unlink()
    got.requests.clear()
    assert "  URL/images.zip (5.3 kB, sha256)" in call()
    assert visible(got.folder) == ALL and [path for path, _ in got.requests] == ["/images.zip"]


def test_a_file_that_became_shorter_is_not_replaced(got, call, error):
    call()
    (got.folder / "set/images/a.jpg").write_bytes(b"short")
    assert error() == (
        "R/set/images/a.jpg: exists, and images.zip contains a different one; move it elsewhere or choose another "
        "folder. Nothing was changed"
    )
    (got.folder / "set/images/a.jpg").unlink()
    got.requests.clear()
    call()  # the archive had been kept
    assert visible(got.folder) == ALL and got.requests == []


def test_a_call_that_fails_in_the_middle_is_taken_up(got, call, error):
    got.answers = [Answer(), Answer(cut=50)]
    assert error() == (
        f"URL/masks.tgz: the connection was interrupted; 50 bytes of {len(got.files['/masks.tgz'])} bytes are in "
        f"R/{STORE}/masks.tgz.part; the same command continues from there"
    )
    assert visible(got.folder) == IMAGES
    got.requests.clear()
    call()
    assert [path for path, _ in got.requests] == ["/masks.tgz", "/list.txt"] and got.asked == ["bytes=50-", None]
    assert visible(got.folder) == ALL


def test_a_file_that_is_gone(got, error):
    got.files.pop("/images.zip")
    assert error() == f"URL/images.zip: the server answers 404 Not Found; {HINT}"


@pytest.mark.parametrize("folder", ["", "set"])
def test_an_archive_of_the_user_is_taken(got, call, folder):
    own = got.folder / folder / "masks.tgz"
    own.parent.mkdir(parents=True)
    own.write_bytes(got.files.pop("/masks.tgz"))
    line = "is used as it is; its checksum is unknown, the checksums inside are correct; 1 file(s) are in R/set"
    assert f"masks.tgz: {own} {line}".replace(str(got.folder), "R") in call()
    assert visible(got.folder) == ALL | {str(own.relative_to(got.folder)): own.read_bytes()}


def test_a_wrong_archive_of_the_user_is_named(got, error):
    got.folder.mkdir()
    (got.folder / "images.zip").write_bytes(b"half")
    right, found = (hashlib.sha256(body).hexdigest() for body in (got.files["/images.zip"], b"half"))
    assert error() == (
        f"R/images.zip: has sha256 {found}, but {right} was expected; remove it, and the same command downloads it"
    )
    assert contents(got.folder) == {"images.zip": b"half"} and got.requests == []


def test_damage_that_only_the_checksums_inside_show(got, call, error):
    whole = got.files["/masks.tgz"]
    got.files["/masks.tgz"] = whole[:-8] + bytes(8)
    assert re.fullmatch(
        rf"R/{STORE}/masks.tgz: is damaged or truncated: CRC check failed .+; it was removed; the same command "
        f"downloads it again",
        error(),
    )
    assert visible(got.folder) == IMAGES
    got.files["/masks.tgz"] = whole
    call()
    assert visible(got.folder) == ALL

    (got.folder / "set/masks/a.png").unlink()
    (got.folder / "masks.tgz").write_bytes(whole[:-8])
    assert error().endswith("; remove it, and the same command downloads it")
    assert (got.folder / "masks.tgz").read_bytes() == whole[:-8]  # it is the user's


def test_a_single_file_is_not_written_over_another(got, error):
    (got.folder / "set").mkdir(parents=True)
    (got.folder / "set/list.txt").write_bytes(b"mine")
    right, found = (hashlib.md5(body).hexdigest() for body in (b"a\nb\n", b"mine"))
    text = f"R/set/list.txt: has md5 {found}, but {right} was expected; remove it, and the same command downloads it"
    assert error() == text
    assert (got.folder / "set/list.txt").read_bytes() == b"mine"


def test_a_set_that_nobody_may_fetch_for_you(about, error, got):
    closed = about._replace(archives=(), by_hand="ask for a login and unpack set.zip into data.root")
    assert error(closed) == (
        "drawn: cannot be downloaded automatically; ask for a login and unpack set.zip into data.root; its page is "
        "https://set.example/"
    )
    assert not got.folder.exists()


def test_a_disk_that_is_too_small(about, got, error):
    archives = (about.archives[0]._replace(bytes=10**18), *about.archives[1:])
    text = error(about._replace(archives=archives))
    assert text.startswith("R: 2000000 TB are needed to download and unpack drawn (estimated), but ")
    assert got.requests == []


ESTIMATES = {  # sizes of a.zip, b.zip and c.txt; what is there already; what is needed
    "an archive and what is in it": ((100, 0, 0), {}, 200),
    "the first is removed before the second comes": ((100, 30, 0), {}, 200),
    "what was in the first stays": ((100, 70, 0), {}, 240),
    "a file that is not unpacked": ((0, 0, 40), {}, 40),
    "a part of it": ((100, 0, 0), {f"{STORE}/a.zip.part": 80}, 120),
    "all of it": ((100, 0, 0), {f"{STORE}/a.zip": 100}, 100),
    "the user's own": ((100, 0, 0), {"a.zip": 100}, 100),
    "the user's own, where it is to be unpacked": ((0, 100, 0), {"deep/b.zip": 100}, 100),
}


@pytest.mark.parametrize("case", ESTIMATES)
def test_what_the_disk_needs(case, tmp_path):
    sizes, there, needed = ESTIMATES[case]
    for name, size in there.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    archives = [Archive(name, bytes=size) for name, size in zip(("a.zip", "b.zip", "c.txt"), sizes, strict=True)]
    archives[1] = archives[1]._replace(folder="deep")
    assert estimate_disk_bytes(archives, tmp_path) == needed


def test_a_root_that_is_a_file(got, error):
    got.folder.write_bytes(b"mine")
    assert error() == f"R/{STORE}: Not a directory"


STOPPED = """
import sys
from argparse import Namespace
from pathlib import Path
from segtrain.command import run_command
from segtrain.commands.datasets.download_command import main
from segtrain.formats import dataset_info
dataset_info.PUBLIC = Path(sys.argv[3])
(dataset_info.PUBLIC / "drawn.yml").write_text(
    "about: {title: Drawn, layout: [], images: {}, license: CC0, home: 'https://set.example/', "
    f"archives: [{{url: '{sys.argv[1]}'}}]}}\\ndata: {{format: folders}}"
)
sys.exit(run_command(main, Namespace(name="drawn", root=Path(sys.argv[2]))))
"""


def test_control_c_leaves_what_has_arrived(got, tmp_path):
    got.files["/big.zip"] = BODY
    got.answers = [Answer(cut=60_000, stall=True)]
    line = [sys.executable, "-c", STOPPED, f"{got.url}/big.zip", str(got.folder), str(tmp_path)]
    part = got.folder / STORE / "big.zip.part"
    with subprocess.Popen(line, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not (part.exists() and part.stat().st_size) and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    kept = f"the part received so far is kept in {got.folder / STORE}; the same command continues from there"
    assert err.splitlines() == [f"stopped; {kept}"]
    assert 0 < part.stat().st_size <= 60_000 and part.read_bytes() == BODY[: part.stat().st_size]
