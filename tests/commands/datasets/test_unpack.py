"""Archives of strangers: whole ones are unpacked byte for byte, all others leave the folder as it was."""

import gzip
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from segtrain.commands.datasets.unpack import DamagedError, unpack
from segtrain.errors import DataError
from tests.bad_input import contents
from tests.commands.datasets.archives import PACK, member, pack, tar_of, zip_of

FILES = {"set/images/a.jpg": bytes(range(256)) * 40, "set/masks/a.png": b"\x89PNG" * 300, "set/empty.txt": b""}


@pytest.fixture
def given(tmp_path):
    """Write an archive beside the folder R, which has a file of the user: (archive, R)."""

    def given(suffix: str, packed: bytes) -> tuple[Path, Path]:
        archive, folder = tmp_path / f"x{suffix}", tmp_path / "R"
        archive.write_bytes(packed)
        folder.mkdir(exist_ok=True)
        (folder / "mine.txt").write_bytes(b"mine")
        return archive, folder

    return given


MINE = {"mine.txt": b"mine"}


def message(archive: Path, folder: Path, kind: type[Exception] = DataError) -> str:
    """The error of an archive that must not change a byte below or beside the folder."""
    before = contents(folder.parent)
    with pytest.raises(kind) as error:
        unpack(archive, folder)
    assert contents(folder.parent) == before and sorted(path.name for path in folder.iterdir()) == sorted(
        {name.split("/")[0] for name in contents(folder)}
    )
    return str(error.value).replace(str(folder.parent), "..")


@pytest.mark.parametrize("suffix", [".zip", *PACK])
def test_every_byte_comes_out(suffix, given):
    archive, folder = given(suffix, pack(suffix, FILES))
    assert unpack(archive, folder) == {name: len(body) for name, body in FILES.items()}
    assert contents(folder) == FILES | MINE and sorted(os.listdir(folder)) == ["mine.txt", "set"]
    places = {path: path.stat().st_ino for path in folder.rglob("*")}
    unpack(archive, folder)  # once more: what is there is left
    assert {path: path.stat().st_ino for path in folder.rglob("*")} == places


def test_a_folder_that_is_not_there_yet(given, tmp_path):
    archive, _ = given(".zip", pack(".zip", FILES))
    unpack(archive, tmp_path / "deep/er")
    assert contents(tmp_path / "deep/er") == FILES


@pytest.mark.parametrize(
    "name", ["../evil", "set/../../evil", "/evil", "C:/evil", "..\\evil", "\\evil", "set/..", ".."]
)
@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz"])
def test_paths_outside_are_refused(name, suffix, given):
    packed = zip_of([("a", b"1", 0o100644), (name, b"evil", 0o100644)])
    if suffix != ".zip":
        packed = PACK[suffix](tar_of([member("a", b"1"), member(name, b"evil")]))
    assert message(*given(suffix, packed)) == (
        f"../x{suffix}: contains {name!r}, a path outside its folder; nothing was unpacked"
    )


@pytest.mark.parametrize("target", ["../mine.txt", "/etc/hostname", "../../R/mine.txt", "mine.txt", "set", "set/a"])
def test_links_are_refused(target, given):
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        packed = tar_of([member("set/a", b"1"), member("l", type=kind, linkname=target)])
        assert message(*given(".tar", packed)) == "../x.tar: contains 'l', a link; nothing was unpacked"
    packed = zip_of([("set/a", b"1", 0o100644), ("l", target.encode(), stat.S_IFLNK | 0o777)])
    assert message(*given(".zip", packed)) == "../x.zip: contains 'l', a link; nothing was unpacked"


def test_nothing_is_written_through_a_link(given):
    packed = tar_of([member("d", type=tarfile.SYMTYPE, linkname=".."), member("d/evil", b"evil")])
    assert "contains 'd', a link" in message(*given(".tar", packed))


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_refused(kind, given):
    packed = tar_of([member("a", b"1"), member("dev", type=kind)])
    assert message(*given(".tar", packed)) == "../x.tar: contains 'dev', a device; nothing was unpacked"


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_devices_in_a_zip_are_refused(kind, given):
    packed = zip_of([("a", b"1", 0o100644), ("dev", b"", kind | 0o644)])
    assert message(*given(".zip", packed)) == "../x.zip: contains 'dev', a device; nothing was unpacked"


@pytest.mark.parametrize("suffix", [".zip", *PACK])
def test_cut_off_archives(suffix, given):
    packed = pack(suffix, FILES)
    end = len(packed.rstrip(b"\0")) if suffix == ".tar" else len(packed)  # a tar ends with blocks of zeros
    blocks = range(0, end + 512, 512) if suffix == ".tar" else ()
    for cut in sorted({0, 1, 9, 100, end // 3, end // 2, end - 100, end - 9, end - 1, *blocks}):
        text = message(*given(suffix, packed[:cut]), DamagedError)
        assert text.startswith(f"../x{suffix}: is damaged or truncated: "), cut


@pytest.mark.parametrize("suffix", [".zip", ".tgz", ".tar.bz2", ".tar.xz"])
def test_damaged_archives(suffix, given):
    packed = bytearray(pack(suffix, {"noise": os.urandom(5_000)}))
    packed[len(packed) // 2] ^= 1
    message(*given(suffix, bytes(packed)), DamagedError)


def test_a_damaged_header_in_a_tar(given):
    packed = bytearray(pack(".tar", FILES))
    packed[packed.index(b"./set/masks/a.png")] ^= 1  # tarfile would take it for the end of the archive
    assert message(*given(".tar", bytes(packed)), DamagedError) == (
        "../x.tar: is damaged or truncated: it has no end mark (bad checksum)"
    )


@pytest.mark.parametrize("suffix", [".zip", *PACK])
def test_a_web_page_is_no_archive(suffix, given):
    message(*given(suffix, b"<html>" * 1_000), DamagedError)


def test_more_bytes_than_the_disk_has(given):
    info, _ = member("big", size=10**18)
    text = message(*given(".tgz", gzip.compress(info.tobuf() + bytes(1024))))
    assert text.startswith("../R/.x.tgz.unpacking: 1000000 TB are needed for big of x.tgz, but ")

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("big", b"1")
        archive.filelist[0].file_size = 10**18
    text = message(*given(".zip", packed.getvalue()))
    assert text.startswith("../R/.x.zip.unpacking: 1000000 TB are needed to unpack x.zip, but ")


def test_a_zip_with_a_password(given):
    packed = bytearray(zip_of([("a", b"1", 0o100644)]))
    packed[6] |= 1
    packed[packed.index(b"PK\1\2") + 8] |= 1
    text = message(*given(".zip", bytes(packed)))
    assert text.startswith("../x.zip: cannot be unpacked here: ") and text.endswith("; unpack it by hand")


def test_a_file_and_a_folder_of_one_name(given):
    packed = tar_of([member("a", b"1"), member("a/b", b"2")])
    assert message(*given(".tar", packed)) == "../x.tar: contains a file in the place of a folder, or the reverse: a/b"


def test_another_file_is_never_replaced(given):
    archive, folder = given(".zip", pack(".zip", FILES))
    (folder / "set/images").mkdir(parents=True)
    (folder / "set/images/a.jpg").write_bytes(FILES["set/images/a.jpg"][:-1] + b"x")
    assert message(archive, folder) == (
        "../R/set/images/a.jpg: exists, and x.zip contains a different one; move it elsewhere or choose another "
        "folder. Nothing was changed"
    )
    (folder / "set/images/a.jpg").unlink()
    (folder / "set/images/a.jpg").symlink_to("nowhere")
    with pytest.raises(DataError, match="exists, and x"):
        unpack(archive, folder)


def test_a_file_where_a_folder_belongs(given):
    archive, folder = given(".zip", pack(".zip", FILES))
    (folder / "set").write_bytes(b"mine")
    assert message(archive, folder) == (
        "../R/set: is a file, but a folder in x.zip; move it elsewhere. Nothing was changed"
    )


def test_what_is_there_is_joined(given):
    archive, folder = given(".tgz", pack(".tgz", FILES))
    (folder / "set/images").mkdir(parents=True)
    (folder / "set/images/own.jpg").write_bytes(b"own")
    (folder / "set/images/a.jpg").write_bytes(FILES["set/images/a.jpg"])
    unpack(archive, folder)
    assert contents(folder) == FILES | MINE | {"set/images/own.jpg": b"own"}


def test_a_folder_that_is_a_link_of_the_user(given, tmp_path):
    archive, folder = given(".zip", pack(".zip", FILES))
    (tmp_path / "disk").mkdir()
    (folder / "set").symlink_to(tmp_path / "disk")
    unpack(archive, folder)
    assert contents(tmp_path / "disk") == {name.removeprefix("set/"): body for name, body in FILES.items()}
    assert (folder / "set").is_symlink()


def test_what_a_killed_call_left_is_cleared_away(given):
    archive, folder = given(".zip", pack(".zip", FILES))
    (folder / ".x.zip.unpacking/set").mkdir(parents=True)
    (folder / ".x.zip.unpacking/set/half.jpg").write_bytes(b"half")
    unpack(archive, folder)
    assert contents(folder) == FILES | MINE
