"""Archives for the tests, good ones and bad ones."""

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile

PACK = {
    ".tar": bytes,
    ".tar.gz": gzip.compress,
    ".tgz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
}


def tar_of(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for info, body in members:
            archive.addfile(info, io.BytesIO(body))
    return packed.getvalue()


def member(name: str, body: bytes = b"", **facts: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(body)
    for key, value in facts.items():
        setattr(info, key, value)
    return info, body


def zip_of(entries: list[tuple[str, bytes, int]]) -> bytes:
    """Of names, contents and Unix modes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body, mode in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, body)
    return packed.getvalue()


def pack(suffix: str, files: dict[str, bytes]) -> bytes:
    """An archive with folders of its own, as tar and zip make them."""
    if suffix == ".zip":
        return zip_of([("set/", b"", stat.S_IFDIR | 0o755), *((name, body, 0o100644) for name, body in files.items())])
    folder = member("./set", type=tarfile.DIRTYPE)
    return PACK[suffix](tar_of([folder, *(member(f"./{name}", body) for name, body in files.items())]))
