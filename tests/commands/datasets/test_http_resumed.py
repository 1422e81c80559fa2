"""A download that was cut goes on where it ended, and never with another version of the file."""

import hashlib

import pytest

from tests.commands.datasets.file_server import BODY, NEW, Answer


def test_a_cut_connection_is_taken_up_again(got, capsys):
    got.answers = [Answer(cut=30_000), Answer(cut=1), Answer(cut=60_000)]
    assert got.fetch(checksum=f"md5:{hashlib.md5(BODY).hexdigest()}", pauses_s=(0.0,)) == "its md5 is correct"
    assert got.folder_holds() == {"x.bin": BODY}
    assert got.asked == [None, "bytes=30000-", "bytes=30001-", "bytes=90001-"]
    assert [headers.get("If-Range") for _, headers in got.requests] == [None, '"1"', '"1"', '"1"']
    assert capsys.readouterr().out.splitlines() == [
        "x.bin: the connection was interrupted; 30.0 kB are here; trying again in 0 s",
        "x.bin: the connection was interrupted; 30.0 kB are here; trying again in 0 s",
        "x.bin: the connection was interrupted; 90.0 kB are here; trying again in 0 s",
    ]


def test_a_later_call_goes_on(got, capsys):
    got.answers = [Answer(cut=30_000), Answer(cut=0)]
    assert got.error(pauses_s=(0.0,)) == (
        "URL/set/x.bin: the connection was interrupted; 30.0 kB of 100 kB are in R/x.bin.part; the same command "
        "continues from there"
    )
    assert got.folder_holds()["x.bin.part"] == BODY[:30_000]
    capsys.readouterr()
    got.fetch(checksum=f"sha1:{hashlib.sha1(BODY).hexdigest()}")
    assert got.folder_holds() == {"x.bin": BODY} and got.asked[-1] == "bytes=30000-"
    assert capsys.readouterr().out == "x.bin: 30.0 kB are already here\n"
    count = len(got.requests)
    assert got.fetch() == "already downloaded and checked" and len(got.requests) == count


def test_all_had_arrived_before_the_call_was_killed(got):
    got.leave(BODY, url=f"{got.url}/set/x.bin", validator='"1"', bytes=100_000)
    got.fetch(checksum=f"md5:{hashlib.md5(BODY).hexdigest()}")
    assert got.folder_holds() == {"x.bin": BODY} and got.requests == []


VALIDATORS = {
    "an ETag": ({"ETag": '"1"', "Last-Modified": "Mon, 05 Jan 2015 00:00:00 GMT"}, '"1"'),
    "a time": ({"Last-Modified": "Mon, 05 Jan 2015 00:00:00 GMT"}, "Mon, 05 Jan 2015 00:00:00 GMT"),
    "a weak ETag beside a time": (
        {"ETag": 'W/"1"', "Last-Modified": "Mon, 05 Jan 2015 00:00:00 GMT"},
        "Mon, 05 Jan 2015 00:00:00 GMT",
    ),
    "a weak ETag alone": ({"ETag": 'W/"1"'}, None),
    "nothing": ({}, None),
}


@pytest.mark.parametrize("case", VALIDATORS)
def test_what_tells_one_version_from_another(case, got):
    got.headers, told = VALIDATORS[case]
    got.answers = [Answer(cut=500)]
    got.fetch()
    assert got.folder_holds() == {"x.bin": BODY} and got.asked == [None, "bytes=500-"]
    assert got.requests[1][1].get("If-Range") == told


CHANGES = {
    "another ETag": {"headers": {"ETag": '"2"'}},
    "another ETag, and If-Range is ignored": {"headers": {"ETag": '"2"'}, "if_range": False},
    "another size, and nothing else tells": {"headers": {}, "if_range": False, "body": NEW[:99_999]},
    "shorter than what is here, and nothing else tells": {"headers": {}, "if_range": False, "body": NEW[:400]},
    "a weak ETag, which If-Range may not hold": {"first": {"ETag": 'W/"1"'}, "headers": {"ETag": 'W/"2"'}},
    "the server knows no ranges": {"ranges": False},
}


@pytest.mark.parametrize("case", CHANGES)
def test_two_versions_are_never_glued_together(case, got):
    got.answers = [Answer(cut=500)]
    got.headers = CHANGES[case].get("first", got.headers)
    got.error(pauses_s=())
    new = CHANGES[case].get("body", NEW)
    got.files["/set/x.bin"] = new
    got.headers = CHANGES[case].get("headers", got.headers)
    got.if_range, got.ranges = CHANGES[case].get("if_range", True), CHANGES[case].get("ranges", True)
    got.fetch()
    assert got.folder_holds() == {"x.bin": new} and got.asked[1] == "bytes=500-"


def test_where_nothing_tells_versions_apart_the_checksum_does(got):
    got.headers, got.answers = {}, [Answer(cut=500)]
    got.error(pauses_s=())
    got.files["/set/x.bin"] = NEW
    right, glued = (hashlib.md5(body).hexdigest() for body in (NEW, BODY[:500] + NEW[500:]))
    assert f"has md5 {glued}, but {right} was expected" in got.error(checksum=f"md5:{right}")
    got.fetch(checksum=f"md5:{right}")
    assert got.folder_holds() == {"x.bin": NEW}


def test_the_address_has_changed(got):
    got.leave(NEW[:500], url="http://elsewhere/x.bin", validator='"1"', bytes=100_000)
    got.fetch()
    assert got.folder_holds() == {"x.bin": BODY} and got.asked == [None]


@pytest.mark.parametrize("note", ["", "[]", '{"url": 1}'])
def test_a_note_that_says_nothing(note, got):
    got.leave(NEW[:500])
    (got.folder / "x.bin.part.json").write_text(note)
    got.fetch()
    assert got.folder_holds() == {"x.bin": BODY} and got.asked == [None]


def test_nothing_is_left_to_be_sent(got):
    got.leave(BODY, url=f"{got.url}/set/x.bin", validator='"1"', bytes=0)
    got.fetch(checksum=f"md5:{hashlib.md5(BODY).hexdigest()}")
    assert got.folder_holds() == {"x.bin": BODY} and got.asked == ["bytes=100000-"]


def test_more_has_arrived_than_there_is(got):
    got.leave(BODY + b"x", url=f"{got.url}/set/x.bin", validator='"1"', bytes=100_000)
    got.fetch(checksum=f"md5:{hashlib.md5(BODY).hexdigest()}")
    assert got.folder_holds() == {"x.bin": BODY} and got.asked == ["bytes=100001-", None]


def test_another_piece_than_the_one_that_was_asked_for(got, capsys):
    got.answers = [Answer(cut=500), Answer(shift=1)]
    got.fetch()
    assert got.folder_holds() == {"x.bin": BODY} and got.asked == [None, "bytes=500-", None]
    assert capsys.readouterr().out.splitlines()[1] == (
        "x.bin: the server sent part of a different file; trying again in 0 s"
    )


def test_a_redirect_keeps_the_range(got):
    got.answers = [Answer(cut=500), Answer(status=302, location="/set/x.bin")]
    got.fetch()
    assert got.folder_holds() == {"x.bin": BODY} and got.asked == [None, "bytes=500-", "bytes=500-"]


def test_a_server_that_falls_silent(got):
    got.answers = [Answer(stall=True), Answer(stall=True, cut=20_000)]
    assert got.error(timeout_s=0.1, pauses_s=()) == "URL/set/x.bin: no data received for 0.1 s; ask its page"
    assert got.error(timeout_s=0.1, pauses_s=()) == (
        "URL/set/x.bin: no data received for 0.1 s; 20.0 kB of 100 kB are in R/x.bin.part; the same command "
        "continues from there"
    )
    assert got.folder_holds()["x.bin.part"] == BODY[:20_000]
