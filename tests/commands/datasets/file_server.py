"""A web server on this machine for the tests of downloads, as bad as the real ones."""

import hashlib
import json
import threading
from collections.abc import Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from segtrain.commands.datasets.http import fetch_file, file_name
from segtrain.errors import DataError
from segtrain.formats.dataset_info import Archive

BODY = hashlib.shake_256(b"a dataset").digest(100_000)
NEW = hashlib.shake_256(b"its next version").digest(100_000)
HINT = "ask its page"
NOW = (0.0, 0.0, 0.0)  # attempts without pauses


class Answer(NamedTuple):
    """How one request is answered where not as it should be."""

    status: int = 0
    """Instead of the file."""
    location: str = ""
    """Where a redirect leads."""
    cut: int | None = None
    """The connection is closed after so many bytes of the body."""
    stall: bool = False
    """After `cut` bytes nothing comes any more, and the connection stays open."""
    length: int | None = None
    """Content-Length that is told."""
    shift: int = 0
    """By how many bytes the piece lies behind the one that was asked for."""
    chunked: bool = False
    """The body comes in chunks; no length is told."""


class FileServer:
    """`files` by path; `answers` are used up one a request; `requests` are (path, headers)."""

    def __init__(self, folder: Path):
        self.folder = folder
        """What `fetch` fetches into."""
        self.files: dict[str, bytes] = {"/set/x.bin": BODY}
        self.headers = {"ETag": '"1"'}
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.ranges = True
        """Whether the rest of a file can be asked for."""
        self.if_range = True
        """Whether If-Range is understood; a server that does not sends the rest of a file that has changed."""
        self.ended = threading.Event()
        self.url = ""

    @property
    def asked(self) -> list[str | None]:
        """The Range of each request."""
        return [headers.get("Range") for _, headers in self.requests]

    def fetch(
        self, *, checksum: str = "", path: str = "/set/x.bin", pauses_s: Sequence[float] = NOW, timeout_s: float = 5.0
    ) -> str:
        """Fetch a file into the folder: how it was checked."""
        archive = Archive(f"{self.url}{path}", checksum)
        found, proof = fetch_file(archive, self.folder, hint=HINT, pauses_s=pauses_s, timeout_s=timeout_s)
        assert found == self.folder / file_name(path)
        return proof

    def error(self, **arguments: object) -> str:
        """The message of a fetch that must fail, with R for the folder and URL for the server."""
        with pytest.raises(DataError) as error:
            self.fetch(**arguments)
        return str(error.value).replace(str(self.folder), "R").replace(self.url, "URL")

    def folder_holds(self) -> dict[str, bytes]:
        """The files of the folder."""
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def leave(self, part: bytes, **note: object) -> None:
        """Leave behind what a call that was killed leaves."""
        self.folder.mkdir()
        (self.folder / "x.bin.part").write_bytes(part)
        (self.folder / "x.bin.part.json").write_text(json.dumps(note))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        files: FileServer = self.server.files
        files.requests.append((self.path, dict(self.headers)))
        self.close_connection = True
        answer = files.answers.pop(0) if files.answers else Answer()
        if answer.stall and answer.cut is None:
            files.ended.wait(10)
            return
        body, status, headers = files.files.get(self.path, b""), 200 if self.path in files.files else 404, {}
        wanted = self.headers["Range"]
        same = not files.if_range or self.headers["If-Range"] in (None, *files.headers.values())
        if wanted and files.ranges and same and status == 200:
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) + answer.shift
            status = 206 if start < len(body) else 416
            end = f"{start}-{len(body) - 1}" if status == 206 else "*"
            headers["Content-Range"] = f"bytes {end}/{len(body)}"
            body = body[start:]
        if answer.status:
            status, body = answer.status, b"no"
        self.send_response(status)
        if status in (200, 206):
            headers |= files.headers
        if answer.location:
            headers["Location"] = answer.location
        length = len(body) if answer.length is None else answer.length
        headers |= {"Transfer-Encoding": "chunked"} if answer.chunked else {"Content-Length": str(length)}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.send(body if answer.cut is None else body[: answer.cut], answer)

    def send(self, body: bytes, answer: Answer) -> None:
        if answer.chunked:
            end = b"0\r\n\r\n" if answer.cut is None else b""
            body = b"%x\r\n%s\r\n" % (len(body), body) + end
        self.wfile.write(body)
        if answer.stall:
            self.server.files.ended.wait(10)


@contextmanager
def serve(folder: Path):
    """A FileServer that is asked whatever proxy this machine has."""
    files = FileServer(folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "*")
        server.files, server.daemon_threads = files, True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        files.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield files
        finally:
            files.ended.set()
            server.shutdown()
            thread.join()
