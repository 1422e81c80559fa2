import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from segtrain.commands.export import hub
from segtrain.commands.export.graph import ExportError
from tests.commands.export.hub_export import CAMVID, export, train


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return train(tmp_path_factory.mktemp("hub") / "run", data=CAMVID)


@pytest.fixture(scope="module")
def folder(run) -> Path:
    return export(run, run.parent / "hub", license="cc-by-4.0")


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's API as a commit of small files needs; `asked` has what was sent."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked[self.path] = body
        answers = {
            "/api/repos/create": {"url": f"{self.server.url}/me/street", "name": "me/street"},
            "/api/validate-yaml": {"errors": [], "warnings": []},
        }
        if self.path.endswith("/preupload/main"):
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            answers[self.path] = {"files": files}
        if "/commit/" in self.path:
            answers[self.path] = {"commitUrl": f"{self.server.url}/me/street/commit/1", "commitOid": "1"}
        self.answer(answers[self.path])

    def do_GET(self):
        self.answer({"id": "me/street", "sha": "0", "siblings": []})

    def do_HEAD(self):
        self.answer({})

    def answer(self, content: dict) -> None:
        data = json.dumps(content).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked, server.status, server.url = {}, 200, f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    yield server
    server.shutdown()
    server.server_close()


def test_push(run, folder, server, capsys):
    hub.publish(folder, "me/street")
    created = json.loads(server.asked["/api/repos/create"])
    assert created["name"] == "street" and created["organization"] == "me" and created["visibility"] == "private"
    commit = [json.loads(line) for line in server.asked["/api/models/me/street/commit/main"].splitlines()]
    sent = {item["value"]["path"]: base64.b64decode(item["value"]["content"]) for item in commit[1:]}
    assert sent == {path.name: path.read_bytes() for path in folder.iterdir()}
    captured = capsys.readouterr()
    assert captured.out == f"pushed: {server.url}/me/street/commit/1\n" and captured.err == ""


def test_a_push_that_is_refused(run, folder, server):
    server.status = 403
    with pytest.raises(ExportError) as error:
        hub.publish(folder, "me/street")
    assert str(error.value).startswith("--push me/street: refused: ") and "403" in str(error.value)
    assert str(error.value).endswith(f"; the folder {folder} is complete; push it later") and "\n" not in str(
        error.value
    )


def test_a_push_without_a_token_writes_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no" / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(ExportError) as error:
        export(run, tmp_path / "hub", push="me/street")
    expected = "--push me/street: no Hugging Face token is set; run `hf auth login`, or set HF_TOKEN"
    assert str(error.value) == expected and not (tmp_path / "hub").exists()


def test_a_push_without_a_network(run, folder, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(ExportError) as error:
        hub.publish(folder, "me/street")
    kept = f"the folder {folder} is complete; push it later"
    assert str(error.value) == f"--push me/street: {server.url} cannot be reached; {kept}"
