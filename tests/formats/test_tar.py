"""WebDataset's shards."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from segtrain.formats import tar
from tests.formats.format_reading import decoded, reader
from tests.formats.format_trees import error_of, names

CLASSES = ["sky", "road"]


def encode(values, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(values, np.uint8)).save(buffer, kind)
    return buffer.getvalue()


PHOTO = encode(np.full((1, 2, 3), 90), "JPEG")
TIFF = encode(np.full((1, 2, 3), 90), "TIFF")


def mask(number: int, kind: str = "PNG") -> bytes:
    return encode([[number % 2, 255]], kind)


def pack(path, files: dict[str, bytes], form=tarfile.GNU_FORMAT):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def shard(*numbers: int) -> dict[str, bytes]:
    return {
        f"{number:03}.{ext}": content
        for number in numbers
        for ext, content in (("jpg", PHOTO), ("png", mask(number)), ("json", b"{}"))
    }


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("folder", ["", "a/" * 20 + "b" * 90 + "/", "ü/"])
def test_every_kind_of_tar_is_read(form, folder, tmp_path):
    files = {f"{folder}{name}": content for name, content in shard(0, 1).items()}
    pack(tmp_path / "train-0.tar", files, form)
    pack(tmp_path / "val-0.tar", shard(3), form)
    assert decoded(tmp_path, "tar", classes=CLASSES) == {
        "train": {f"train-0/{folder}000": [[0, 255]], f"train-0/{folder}001": [[1, 255]]},
        "val": {"val-0/003": [[1, 255]]},
    }


def test_a_tar_of_version_7_is_read(tmp_path):
    pack(tmp_path / "0.tar", shard(0, 1))
    content = bytearray((tmp_path / "0.tar").read_bytes())
    for start in range(0, len(content), 512):
        if content[start + 257 : start + 262] == b"ustar":
            content[start + 257 : start + 265] = bytes(8)
            content[start + 148 : start + 156] = b" " * 8
            content[start + 148 : start + 155] = b"%06o\0" % sum(content[start : start + 512])
    (tmp_path / "0.tar").write_bytes(content)
    assert {name for split in names(reader("tar")(tmp_path)).values() for name in split} == {"0/000", "0/001"}


def test_files_of_a_sample_may_lie_apart_and_be_of_any_type(tmp_path):
    files = {"1.image.tif": TIFF, "2.image.tif": TIFF, "2.mask.tif": mask(2, "TIFF"), "1.mask.tif": mask(1, "TIFF")}
    pack(tmp_path / "train" / "0.tar", files)
    pack(tmp_path / "valid" / "0.tar", files)
    both = {"1": [[1, 255]], "2": [[0, 255]]}
    assert decoded(tmp_path, "tar", classes=CLASSES) == {
        split: {f"{folder}/0/{name}": values for name, values in both.items()}
        for split, folder in (("train", "train"), ("val", "valid"))
    }


def test_shards_are_named_by_globs_and_numbers(tmp_path):
    for number in range(12):
        pack(tmp_path / f"s-{number:03}.tar", shard(number))
    read = reader("tar")
    shards = {"train": "s-{008..010}.tar", "val": ["s-01[1].tar", "s-000.tar"]}
    assert names(read(tmp_path, shards=shards)) == {
        "train": ["s-008/008", "s-009/009", "s-010/010"],
        "val": ["s-011/011", "s-000/000"],
    }
    assert {split: len(found) for split, found in read(tmp_path).items()} == {"train": 10, "val": 2}
    assert error_of(read, tmp_path, shards="s-{010..012}.tar") == "data.shards: R/s-012.tar does not exist"


def test_what_is_wrong_with_an_archive_is_told(tmp_path):
    read, path = reader("tar"), tmp_path / "0.tar"
    assert error_of(read, tmp_path) == (
        "data.root: R contains no .tar files; write data.shards, like {train: train-*.tar}"
    )
    pack(path, shard(0, 1))
    whole = path.read_bytes()
    for content, text in (
        (whole[:1100], "ends in the middle of 000.jpg; is the file complete?"),
        (whole[:300], "is not a tar archive; is the file complete?"),
        (b"\x1f\x8b" + whole, "is compressed, so files cannot be read in random order; decompress it"),
        (whole[:512] + b"?" * 5120, "is not a valid tar archive from byte 1536 on"),
        (bytes(10240), "contains no images"),
    ):
        path.write_bytes(content)
        assert error_of(read, tmp_path).removeprefix("R/0.tar: ") == text


def test_images_and_masks_that_cannot_be_told_apart_are_told(tmp_path):
    read, path = reader("tar"), tmp_path / "0.tar"
    pack(path, {"0.jpg": PHOTO, "0.a.png": mask(0), "0.b.png": mask(0)})
    assert error_of(read, tmp_path) == (
        "R/0.tar: 0 has .jpg, .a.png, .b.png; write which are the image and the mask, like data.image_ext: jpg and "
        "data.mask_ext: png"
    )
    assert names(read(tmp_path, mask_ext="b.png", image_ext="jpg", shards={"train": "0.tar"})) == {"train": ["0/0"]}
    pack(path, shard(0) | {"1.jpg": PHOTO})
    assert error_of(read, tmp_path) == "R/0.tar: 1 has no mask .png, only .jpg; write its extension in data.mask_ext"
    pack(path, shard(0))
    with tarfile.open(path, "a") as archive:
        archive.addfile(tarfile.TarInfo("000.png"))
    assert error_of(read, tmp_path) == "R/0.tar: contains 000.png twice"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("000.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "x.jpg"
        archive.addfile(link)
    assert error_of(read, tmp_path) == "R/0.tar: 000.jpg is a link; pack the file itself (tar -h)"


def test_a_broken_image_is_named_with_its_archive(tmp_path):
    pack(tmp_path / "0.tar", {"0.jpg": PHOTO, "0.png": mask(0)[:40], "1.jpg": PHOTO, "1.png": mask(1)})
    with pytest.raises(Exception, match=r"0\.tar!\d+\+40/0\.png: is not an image of a supported type"):
        decoded(tmp_path, "tar", classes=CLASSES)


@pytest.mark.parametrize(("field", "size"), [(b"0000000012\0 ", 10), (b"\x80" + bytes(7) + b"\0\0\1\0", 256)])
def test_sizes_are_octal_or_binary(field, size):
    assert tar._number(field) == size
