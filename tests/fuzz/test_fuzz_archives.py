"""Damaged and hostile archives: unpacked into their folder, or one line."""

import shutil
import stat
import tarfile

import pytest

from segtrain.commands.datasets.unpack import unpack
from tests.commands.datasets.archives import PACK, member, pack, tar_of, zip_of
from tests.fuzz.mutate import attack, mutate_bytes

FILES = {"set/images/a.jpg": bytes(range(256)) * 4, "set/masks/a.png": b"\x89PNG" * 30, "set/empty.txt": b""}
NAMES = ["../up", "/tmp/up", "a/../../up", "C:\\up", "\\\\host\\up", ".", "..", "", "a", "set", "set/images/a.jpg/b"]
NAMES += ["n" * 300, "d/" * 200 + "a", "a\x01b", "\x1b[31m", "two\nlines", "é", "CON", "a:b", " ", "set/../set/a"]
TYPES = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, b"Z"]
MODES = [stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o666, stat.S_IFIFO, stat.S_IFDIR | 0o755, 0, 0o100000]


def hostile(suffix: str, rng) -> bytes:
    """An archive with an entry of a name, a type or a size that it must not have."""
    name = rng.choice(NAMES)
    if suffix == ".zip":
        return zip_of([("set/a", b"a", 0o100644), (name, b"b" * 9, rng.choice([0o100644, *MODES])), ("set/c", b"c", 0)])
    facts = {"type": rng.choice(TYPES), "linkname": rng.choice(NAMES)} if rng.random() < 0.6 else {}
    entries = [member("set/a", b"a"), member(name, b"b" * 9 if not facts else b"", **facts), member("set/c", b"c")]
    return PACK[suffix](tar_of(entries))


@pytest.mark.parametrize("suffix", [".zip", *PACK])
def test_archives(suffix, tmp_path):
    archive, folder = tmp_path / f"x{suffix}", tmp_path / "R"
    whole = pack(suffix, FILES)

    def damage(rng):
        shutil.rmtree(folder, ignore_errors=True)
        archive.write_bytes(hostile(suffix, rng) if rng.random() < 0.4 else mutate_bytes(whole, rng))

    def use():
        try:
            files = unpack(archive, folder)
        finally:
            assert not list(folder.glob(".*"))
        assert all((folder / name).stat().st_size == size for name, size in files.items())

    attack(50, damage, use, root=tmp_path, may_write=(folder,), seed=suffix)
