"""HTTP downloads: resumed where they were cut, and compared with their checksum.

What has arrived is NAME.part; NAME.part.json beside it notes which file of the server it is the start of. A later call
asks for the rest of that file only (RFC 9110: Range with If-Range), so that two versions are never glued together.
NAME itself exists once it is complete. Proxies are those of the environment: http_proxy, https_proxy, no_proxy.
"""

import hashlib
import json
import os
import re
import shutil
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from tqdm import tqdm

from segtrain.errors import DataError
from segtrain.formats.dataset_info import Archive

PAUSES_S = (2.0, 5.0, 15.0, 45.0)  # before the second, third, .. attempt that brings nothing
TIMEOUT_S = 60.0  # without a byte; the servers of old data sets are slow to answer
CHUNK_BYTES = 1 << 18
MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})  # answers after which it is worth trying again
WEAK = "W/"  # start of an ETag that does not promise the same bytes: it may not be sent as If-Range
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


class CutError(Exception):
    """The connection failed or ended too early; trying again may help."""


class UnknownHostError(CutError):
    """The address of the server is not found: without a connection, or for good."""


class PartNote(NamedTuple):
    """Which file a part is the start of: its address, its ETag or time of change ("": not told), its size (0: not
    told)."""

    url: str
    validator: str
    bytes: int


class SafeRedirects(HTTPRedirectHandler):
    """Redirects as urllib follows them, but never from https to what anyone on the way could change."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise DataError(f"{req.full_url}: sends on to {newurl}, which is not encrypted; that is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def file_name(url: str) -> str:
    """The last part of an address, which a file is saved as."""
    return PurePosixPath(unquote(urlsplit(url).path)).name


def is_archive(name: str) -> bool:
    """Whether a file of this name is to be unpacked."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def show_decimal(count: int) -> str:
    """A size in decimal units, as disks are sold: 19.3 GB, 967 MB, 12 bytes."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.{0 if count >= 100 * size else 1}f} {unit}"
    return f"{count} bytes"


def require_space(folder: Path, needed_bytes: int, what: str) -> None:
    """Raises DataError where the disk of `folder` has less than `needed_bytes` left; `what` they are needed for."""
    free = shutil.disk_usage(folder).free
    if needed_bytes > free:
        raise DataError(
            f"{folder}: {show_decimal(needed_bytes)} are needed {what}, but {show_decimal(free)} are free on its disk; "
            "make room, or choose a folder on another disk"
        )


def hash_file(path: Path, algorithm: str) -> str:
    """The hexadecimal md5, sha1 or sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


class Part:
    """What has arrived of a file, NAME.part, and what its server said of the whole."""

    def __init__(self, archive: Archive, target: Path):
        self.url, self.target = archive.url, target
        self.path = target.with_name(f"{target.name}.part")
        self.note_path = target.with_name(f"{target.name}.part.json")
        self.algorithm, _, self.expected = archive.checksum.partition(":")
        self.ended = False  # the server sent all, whether or not it had told the size
        self.size, self.note = 0, PartNote(self.url, "", 0)
        with suppress(OSError, ValueError, TypeError):
            self.note = PartNote(**json.loads(self.note_path.read_text(encoding="utf-8")))
            self.size = self.path.stat().st_size
        if self.note.url != self.url:
            self.restart()

    @property
    def complete(self) -> bool:
        """Whether all of it has arrived."""
        return self.ended or 0 < self.note.bytes == self.size

    def restart(self, validator: str = "", total_bytes: int = 0) -> None:
        """Forget what has arrived; the arguments, as PartNote has them, say what is to come."""
        self.note, self.size = PartNote(self.url, validator, total_bytes), 0
        self.path.write_bytes(b"")
        self.note_path.write_text(json.dumps(self.note._asdict()), encoding="utf-8")

    def finish(self) -> str:
        """Rename the complete file to its own name, and say what is known of it.

        Raises DataError, and removes the part, where its checksum is wrong: nothing of it can be trusted.
        """
        found = hash_file(self.path, self.algorithm) if self.expected else ""
        self.note_path.unlink()
        if found != self.expected:
            self.path.unlink()
            raise DataError(
                f"{self.url}: what came has {self.algorithm} {found}, but {self.expected} was expected; it is removed, "
                "and the same command fetches it anew"
            )
        os.replace(self.path, self.target)
        if self.expected:
            return f"its {self.algorithm} is right"
        told = "it has the size that the server told" if self.note.bytes else "the server told no size"
        return f"no checksum of it is known, {told}"


def fetch_file(
    archive: Archive, folder: Path, *, hint: str, pauses_s: Sequence[float] = PAUSES_S, timeout_s: float = TIMEOUT_S
) -> tuple[Path, str]:
    """Fetch a file into `folder`, going on with what an earlier call left there: its path, and how it was checked.

    After a failure that may pass it is tried again, at most len(pauses_s) times in a row without a new byte. `hint` is
    the end of messages: what else can be done. Raises DataError where it cannot be had, where the disk is too small,
    and where its size or checksum is wrong.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / file_name(archive.url)
    if target.exists():
        return target, "it was fetched and checked before"
    part, attempt = Part(archive, target), 0
    furthest = part.size
    if part.size:
        tqdm.write(f"{target.name}: {show_decimal(part.size)} are here already")
    with tqdm(desc=target.name, unit="B", unit_scale=True, initial=part.size, disable=None) as bar:
        while not part.complete:
            try:
                receive(part, bar, hint=hint, timeout_s=timeout_s)
            except CutError as cut:
                attempt = 0 if part.size > furthest else attempt
                furthest = max(furthest, part.size)
                if attempt == len(pauses_s) or (isinstance(cut, UnknownHostError) and not part.size):
                    raise DataError(f"{part.url}: {cut}; {what_is_there(part) or hint}") from cut
                there = f"; {show_decimal(part.size)} are here" if part.size else ""
                tqdm.write(f"{target.name}: {cut}{there}; trying again in {pauses_s[attempt]:g} s")
                time.sleep(pauses_s[attempt])
                attempt += 1
    return target, part.finish()


def what_is_there(part: Part) -> str:
    """How much of a file has arrived, and that it is not lost; "" where nothing has."""
    total = f" of {show_decimal(part.note.bytes)}" if part.note.bytes else ""
    there = f"{show_decimal(part.size)}{total} are in {part.path}; the same command goes on from there"
    return there if part.size else ""


def receive(part: Part, bar: tqdm, *, hint: str, timeout_s: float) -> None:
    """Ask for what is missing of a file and keep what comes.

    Raises CutError where trying again may help, DataError where it does not.
    """
    headers = {"User-Agent": "segtrain (urllib)", "Accept-Encoding": "identity"}
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if part.note.validator and not part.note.validator.startswith(WEAK):
            headers["If-Range"] = part.note.validator
    with readable_errors(part.url, hint=hint, timeout_s=timeout_s):
        try:
            response = build_opener(SafeRedirects).open(Request(part.url, headers=headers), timeout=timeout_s)
        except HTTPError as error:
            if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not part.size:
                raise
            response = error
    with response:
        begin(part, response, hint=hint)
        bar.total = part.note.bytes or None
        bar.update(part.size - bar.n)
        with part.path.open("ab") as file:
            while not part.complete:
                with readable_errors(part.url, hint=hint, timeout_s=timeout_s):
                    block = response.read1(CHUNK_BYTES)
                if not block:
                    break
                file.write(block)
                part.size += len(block)
                bar.update(len(block))
    if part.note.bytes and part.size < part.note.bytes:
        raise CutError("the connection was cut")
    part.ended = True


def begin(part: Part, response: HTTPResponse | HTTPError, *, hint: str) -> None:
    """Make the part ready for an answer: it goes on where the answer is the rest of the same file, else starts anew."""
    if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # nothing is left to send, or it became shorter
        if response.headers["Content-Range"] != f"bytes */{part.size}":
            part.restart()
            raise CutError("the file on the server is shorter than what was here")
        part.note = part.note._replace(bytes=part.size)
        return
    if response.headers.get_content_type() == "text/html" and is_archive(part.target.name):
        raise DataError(f"{part.url}: sends a web page instead of the file; it has moved, or wants a login; {hint}")
    told = response.headers["ETag"] or ""
    if not told or told.startswith(WEAK):
        told = response.headers["Last-Modified"] or told
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        span = re.match(r"bytes (\d+)-\d+/(\d+)", response.headers["Content-Range"] or "")
        old = part.note
        same = span and int(span[1]) == part.size and int(span[2]) == (old.bytes or int(span[2]))
        if not same or (told and old.validator and told != old.validator):
            part.restart()
            raise CutError("the server sent a piece of another file than the one that was begun")
        part.note = old._replace(bytes=int(span[2]))
    else:
        if part.size:
            tqdm.write(f"{part.target.name}: the server begins anew: its file has changed, or it cannot go on")
        length = response.headers["Content-Length"] or ""
        part.restart(told, int(length) if length.isdecimal() else 0)
    require_space(part.path.parent, max(part.note.bytes - part.size, 0), f"for {part.target.name}")


@contextmanager
def readable_errors(url: str, *, hint: str, timeout_s: float) -> Iterator[None]:
    """What urllib raises as CutError where it may pass, else as DataError."""
    try:
        yield
    except HTTPError as error:
        error.close()
        answer = f"the server answers {error.code} {error.reason}"
        if error.code in MAY_PASS:
            raise CutError(answer) from error
        raise DataError(f"{url}: {answer}; {hint}") from error
    except HTTPException as error:
        raise CutError("the connection was cut") from error
    except OSError as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise DataError(f"{url}: its certificate is not valid: {reason.verify_message}; {hint}") from error
        if isinstance(reason, socket.gaierror):
            host = urlsplit(url).hostname
            raise UnknownHostError(f"no address is known for {host} (no connection, or a proxy to be set?)") from error
        if isinstance(reason, TimeoutError):
            raise CutError(f"not a byte came for {timeout_s:g} s") from error
        raise CutError(f"the connection failed: {reason}") from error
