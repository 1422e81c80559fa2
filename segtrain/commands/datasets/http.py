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
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from tqdm import tqdm

from segtrain.errors import DataError
from segtrain.formats.dataset_info import Archive

PAUSES_S = (2.0, 5.0, 15.0, 45.0)  # before the second, third, .. attempt that brings nothing
TIMEOUT_S = 60.0  # without a byte; the servers of old datasets are slow to answer
CHUNK_BYTES = 1 << 18
MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})  # answers after which it is worth trying again
WEAK = "W/"  # start of an ETag that does not promise the same bytes: it may not be sent as If-Range
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


class CutError(Exception):
    """The connection failed or ended too early; trying again may help."""


class UnknownHostError(CutError):
    """The address of the server is not found: without a connection, or for good."""


class SafeRedirects(HTTPRedirectHandler):
    """Redirects as urllib follows them, but never from https to what anyone on the way could change."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise DataError(
                f"{req.full_url}: redirects to {newurl}, which is not encrypted; segtrain does not follow it"
            )
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


def check_sum(path: Path, checksum: str, whose: str, hint: str) -> str:
    """Say that a file has the checksum `md5:..`, `sha1:..` or `sha256:..`; "" where none is known. Raises DataError
    where it has another: `whose` begins the line, `hint` ends it."""
    algorithm, _, expected = checksum.partition(":")
    if not expected:
        return ""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected:
        raise DataError(f"{whose} {algorithm} {found}, but {expected} was expected; {hint}")
    return f"its {algorithm} is correct"


class Part:
    """What has arrived of a file, NAME.part, and what its server said of the whole: `validator`, its ETag or time of
    change ("": not told), and `bytes`, its size (0: not told)."""

    def __init__(self, archive: Archive, target: Path):
        self.url, self.checksum, self.target = archive.url, archive.checksum, target
        self.path = target.with_name(f"{target.name}.part")
        self.note_path = target.with_name(f"{target.name}.part.json")
        self.ended = False  # the server sent all, whether or not it had told the size
        try:
            note = json.loads(self.note_path.read_text(encoding="utf-8"))
            if note["url"] != self.url:
                raise ValueError("it is the start of another file")
            self.validator, self.bytes, self.size = note["validator"], note["bytes"], self.path.stat().st_size
        except (OSError, ValueError, TypeError, KeyError):
            self.restart()

    @property
    def complete(self) -> bool:
        """Whether all of it has arrived."""
        return self.ended or 0 < self.bytes == self.size

    @property
    def there(self) -> str:
        """How much has arrived, and that it is not lost; "" where nothing has."""
        total = f" of {show_decimal(self.bytes)}" if self.bytes else ""
        there = f"{show_decimal(self.size)}{total} are in {self.path}; the same command continues from there"
        return there if self.size else ""

    def restart(self, validator: str = "", count: int = 0) -> None:
        """Forget what has arrived; `validator` and `count`, its bytes, say what is to come."""
        self.validator, self.bytes, self.size = validator, count, 0
        self.path.write_bytes(b"")
        note = {"url": self.url, "validator": validator, "bytes": count}
        self.note_path.write_text(json.dumps(note), encoding="utf-8")

    def finish(self) -> str:
        """Rename the complete file to its own name, and say what is known of it.

        Raises DataError, and removes the part, where its checksum is wrong: nothing of it can be trusted.
        """
        self.note_path.unlink()
        hint = "it was removed; the same command downloads it again"
        try:
            right = check_sum(self.path, self.checksum, f"{self.url}: the received file has", hint)
        except DataError:
            self.path.unlink()
            raise
        os.replace(self.path, self.target)
        told = "it has the size that the server announced" if self.bytes else "the server announced no size"
        return right or f"its checksum is unknown, {told}"


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
        return target, "already downloaded and checked"
    part, attempt = Part(archive, target), 0
    furthest = part.size
    if part.size:
        tqdm.write(f"{target.name}: {show_decimal(part.size)} are already here")
    with tqdm(desc=target.name, unit="B", unit_scale=True, initial=part.size, disable=None) as bar:
        while not part.complete:
            try:
                receive(part, bar, hint=hint, timeout_s=timeout_s)
            except CutError as cut:
                attempt = 0 if part.size > furthest else attempt
                furthest = max(furthest, part.size)
                if attempt == len(pauses_s) or (isinstance(cut, UnknownHostError) and not part.size):
                    raise DataError(f"{part.url}: {cut}; {part.there or hint}") from cut
                there = f"; {show_decimal(part.size)} are here" if part.size else ""
                tqdm.write(f"{target.name}: {cut}{there}; trying again in {pauses_s[attempt]:g} s")
                time.sleep(pauses_s[attempt])
                attempt += 1
    return target, part.finish()


def receive(part: Part, bar: tqdm, *, hint: str, timeout_s: float) -> None:
    """Ask for what is missing of a file and keep what comes.

    Raises CutError where trying again may help, DataError where it does not.
    """
    headers = {"User-Agent": "segtrain (urllib)", "Accept-Encoding": "identity"}
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if part.validator and not part.validator.startswith(WEAK):
            headers["If-Range"] = part.validator
    with readable_errors(part.url, hint=hint, timeout_s=timeout_s):
        try:
            response = build_opener(SafeRedirects).open(Request(part.url, headers=headers), timeout=timeout_s)
        except HTTPError as error:
            if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not part.size:
                raise
            response = error
    with response:
        begin(part, response, hint=hint)
        bar.total = part.bytes or None
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
    if part.bytes and part.size < part.bytes:
        raise CutError("the connection was interrupted")
    part.ended = True


def begin(part: Part, response: HTTPResponse | HTTPError, *, hint: str) -> None:
    """Make the part ready for an answer: it goes on where the answer is the rest of the same file, else starts anew."""
    if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # nothing is left to send, or it became shorter
        if response.headers["Content-Range"] != f"bytes */{part.size}":
            part.restart()
            raise CutError("the file on the server is shorter than the part received before")
        part.bytes = part.size
        return
    if response.headers.get_content_type() == "text/html" and is_archive(part.target.name):
        raise DataError(
            f"{part.url}: sends a web page instead of the file; the file has moved or needs a login; {hint}"
        )
    told = response.headers["ETag"] or ""
    if not told or told.startswith(WEAK):
        told = response.headers["Last-Modified"] or told
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        piece = re.match(r"bytes (\d+)-\d+/(\d+)", response.headers["Content-Range"] or "")
        start, total = map(int, piece.groups()) if piece else (-1, 0)
        if start != part.size or part.bytes not in (0, total) or (told and part.validator not in ("", told)):
            part.restart()
            raise CutError("the server sent part of a different file")
        part.bytes = total
    else:
        if part.size:
            tqdm.write(
                f"{part.target.name}: starting again: the file on the server has changed, or the server cannot resume"
            )
        length = response.headers["Content-Length"] or ""
        part.restart(told, int(length) if length.isdecimal() else 0)
    require_space(part.path.parent, max(part.bytes - part.size, 0), f"for {part.target.name}")


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
        raise CutError("the connection was interrupted") from error
    except OSError as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise DataError(f"{url}: its certificate is not valid: {reason.verify_message}; {hint}") from error
        if isinstance(reason, socket.gaierror):
            host = urlsplit(url).hostname
            raise UnknownHostError(
                f"the address of {host} cannot be found (no connection, or is a proxy needed?)"
            ) from error
        if isinstance(reason, TimeoutError):
            raise CutError(f"no data received for {timeout_s:g} s") from error
        raise CutError(f"the connection failed: {reason}") from error
