"""Files that come over a bad connection, from servers on this machine: what arrives is what was sent, or one line."""

import hashlib
import http.client
import socket
import ssl
from urllib.error import URLError
from urllib.request import Request

import pytest

from segtrain.commands.datasets.http import (
    CutError,
    SafeRedirects,
    UnknownHostError,
    fetch_file,
    file_name,
    readable_errors,
    show_decimal,
)
from segtrain.errors import DataError
from segtrain.formats.dataset_info import Archive
from tests.commands.datasets.file_server import BODY, HINT, NEW, Answer


def test_a_file_arrives_whole(got):
    assert got.fetch() == "its checksum is unknown, it has the size that the server announced"
    assert got.folder_holds() == {"x.bin": BODY}
    [(path, headers)] = got.requests
    assert path == "/set/x.bin" and headers["User-Agent"] == "segtrain (urllib)" and "Range" not in headers


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_its_checksum_is_compared(got, algorithm):
    right = hashlib.new(algorithm, BODY).hexdigest()
    got.files["/set/x.bin"] = NEW
    found = hashlib.new(algorithm, NEW).hexdigest()
    assert got.error(checksum=f"{algorithm}:{right}") == (
        f"URL/set/x.bin: the received file has {algorithm} {found}, but {right} was expected; it was removed; the "
        f"same command downloads it again"
    )
    assert got.folder_holds() == {}
    got.files["/set/x.bin"] = BODY
    assert got.fetch(checksum=f"{algorithm}:{right}") == f"its {algorithm} is correct"
    assert got.folder_holds() == {"x.bin": BODY} and got.asked == [None, None]


def test_a_server_that_tells_no_length(got):
    got.answers = [Answer(chunked=True, cut=70_000), Answer(chunked=True)]
    assert got.fetch() == "its checksum is unknown, it has the size that the server announced"  # with the second piece
    assert got.folder_holds() == {"x.bin": BODY} and got.asked == [None, "bytes=70000-"]
    (got.folder / "x.bin").unlink()
    got.answers = [Answer(chunked=True)]
    assert got.fetch() == "its checksum is unknown, the server announced no size"
    assert got.folder_holds() == {"x.bin": BODY}


def test_a_length_that_is_wrong(got):
    got.answers = [Answer(length=100_001)] * 2
    assert got.error(pauses_s=()) == (
        "URL/set/x.bin: the connection was interrupted; 100 kB of 100 kB are in R/x.bin.part; the same command "
        "continues from there"
    )
    (got.folder / "x.bin.part.json").unlink()
    got.answers = [Answer(length=99_999)]
    right, found = (hashlib.md5(body).hexdigest() for body in (BODY, BODY[:99_999]))
    assert f"has md5 {found}, but {right} was expected" in got.error(checksum=f"md5:{right}")


def test_answers_that_may_pass_are_waited_for(got, capsys):
    got.answers = [Answer(status=500), Answer(status=503), Answer(status=429)]
    got.fetch()
    assert got.folder_holds() == {"x.bin": BODY} and len(got.requests) == 4
    assert capsys.readouterr().out.splitlines() == [
        "x.bin: the server answers 500 Internal Server Error; trying again in 0 s",
        "x.bin: the server answers 503 Service Unavailable; trying again in 0 s",
        "x.bin: the server answers 429 Too Many Requests; trying again in 0 s",
    ]


def test_it_gives_up_where_nothing_comes(got):
    got.answers = [Answer(status=503)] * 9
    assert got.error() == "URL/set/x.bin: the server answers 503 Service Unavailable; ask its page"
    assert len(got.requests) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 416, 451, 501])
def test_answers_that_do_not_pass(got, status):
    got.answers = [Answer(status=status)]
    reason = http.client.responses[status]
    assert got.error() == f"URL/set/x.bin: the server answers {status} {reason}; ask its page"
    assert len(got.requests) == 1


def test_a_web_page_instead_of_an_archive(got):
    got.headers = {"Content-Type": "text/html; charset=utf-8"}
    got.files |= {"/x.tar.gz": b"<html>", "/x.txt": b"list"}
    assert got.error(path="/x.tar.gz") == (
        "URL/x.tar.gz: sends a web page instead of the file; the file has moved or needs a login; ask its page"
    )
    got.fetch(path="/x.txt")  # lists of names often come under a wrong type
    assert got.folder_holds()["x.txt"] == b"list"


def test_a_disk_that_is_too_small(got):
    got.answers = [Answer(length=10**18)]
    message = got.error()
    assert message.startswith("R: 1000000 TB are needed for x.bin, but ")
    assert message.endswith(" are free on its disk; make room, or choose a folder on another disk")


def test_nobody_listens(got):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(DataError, match=rf"^http://127.0.0.1:{port}/x: the connection failed: .+; ask its page$"):
        fetch_file(Archive(f"http://127.0.0.1:{port}/x"), got.folder, hint=HINT, pauses_s=())


def test_no_connection_at_all(got, monkeypatch, capsys):
    def getaddrinfo(*_: object):
        raise socket.gaierror(-2, "Name or service not known")

    got.answers = [Answer(cut=500)]
    got.error(pauses_s=())
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        text = "URL/set/x.bin: the address of 127.0.0.1 cannot be found (no connection, or is a proxy needed?)"
        assert got.error() == f"{text}; 500 bytes of 100 kB are in R/x.bin.part; the same command continues from there"
        assert len(capsys.readouterr().out.splitlines()) == 4  # in the middle of a file it may come back
        (got.folder / "x.bin.part.json").unlink()
        assert got.error() == f"{text}; ask its page"
        assert capsys.readouterr().out == ""
    got.fetch()
    assert got.folder_holds() == {"x.bin": BODY}


FAILURES = {
    "a name that is not found": (
        URLError(socket.gaierror(-2, "Name or service not known")),
        UnknownHostError,
        "the address of a.example cannot be found (no connection, or is a proxy needed?)",
    ),
    "a time that is over": (URLError(TimeoutError("timed out")), CutError, "no data received for 60 s"),
    "a proxy that refuses": (
        URLError(OSError("Tunnel connection failed: 403 Forbidden")),
        CutError,
        "the connection failed: Tunnel connection failed: 403 Forbidden",
    ),
    "an answer that is none": (http.client.BadStatusLine("hi"), CutError, "the connection was interrupted"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failures_in_words(case):
    failure, kind, text = FAILURES[case]
    with pytest.raises(kind) as error, readable_errors("https://a.example/x.zip", hint=HINT, timeout_s=60):
        raise failure
    assert str(error.value) == text


def test_a_certificate_that_is_not_valid():
    failure = ssl.SSLCertVerificationError()
    failure.verify_message = "Hostname mismatch"
    with pytest.raises(DataError) as error, readable_errors("https://a.example/x.zip", hint=HINT, timeout_s=60):
        raise URLError(failure)
    assert str(error.value) == (
        "https://a.example/x.zip: its certificate is not valid: Hostname mismatch; ask its page"
    )


def test_redirects_are_followed(got):
    got.answers = [Answer(status=302, location="/elsewhere/file.bin")]
    got.files["/elsewhere/file.bin"] = NEW
    got.fetch()
    assert got.folder_holds() == {"x.bin": NEW}  # under the name that was asked for


def test_redirects_from_https_to_http_are_refused():
    follow = SafeRedirects().redirect_request
    secure = Request("https://a.example/x.zip")
    with pytest.raises(DataError) as error:
        follow(secure, None, 302, "Found", {}, "http://b.example/x.zip")
    assert str(error.value) == (
        "https://a.example/x.zip: redirects to http://b.example/x.zip, which is not encrypted; segtrain does not "
        "follow it"
    )
    for asked, new in ((secure, "https://b.example/x.zip"), (Request("http://a.example"), "http://b.example/x.zip")):
        assert follow(asked, None, 302, "Found", {}, new).full_url == new


def test_the_proxy_of_the_environment_is_asked(got, monkeypatch):
    monkeypatch.setenv("http_proxy", got.url)
    monkeypatch.setenv("no_proxy", "")
    got.files["http://a.example/x.bin"] = NEW
    fetch_file(Archive("http://a.example/x.bin"), got.folder, hint=HINT)
    assert got.folder_holds() == {"x.bin": NEW}


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (967_382_037, "967 MB"),
        (19_173_078, "19.2 MB"),
        (19_336_861_798, "19.3 GB"),
        (2 * 10**14, "200 TB"),
    ],
)
def test_sizes_in_words(count, text):
    assert show_decimal(count) == text


def test_names_of_files():
    assert file_name("https://a.example/b/My%20set.tar.gz?download=1#top") == "My set.tar.gz"
