import re
import signal
import socket
import threading
import time
from _thread import interrupt_main
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from segtrain.command import run_command
from segtrain.commands.serve import command
from segtrain.commands.serve.listen import is_loopback, open_socket
from segtrain.commands.serve.receive import RequestLimits
from segtrain.errors import ConfigError
from segtrain.inference.predictor import Predictor
from tests.commands.serve.serving import PATIENCE_S, Gate, decode, draw, encode, png, serving


def wait_for(condition) -> None:
    """Until something is true that another thread does."""
    for _ in range(round(PATIENCE_S / 0.005)):
        if condition():
            return
        time.sleep(0.005)
    raise TimeoutError


def test_two_hundred_clients_at_once_all_get_their_own_answer(tmp_path):
    images = [draw(seed, width=20 + 10 * (seed % 3)) for seed in range(200)]
    with serving(tmp_path) as client, ThreadPoolExecutor(200) as pool:
        start = threading.Barrier(200)

        def ask(image):
            start.wait(PATIENCE_S)
            return client.send(png(image))

        replies = list(pool.map(ask, images))
        health = client.ask("GET", "/health").json
    assert [reply.status for reply in replies] == [200] * 200
    assert all(
        np.array_equal(decode(reply.body), image.argmax(2)) for image, reply in zip(images, replies, strict=True)
    )
    assert health["images"] == 200 and health["waiting"] == 0 and health["batches"] < 150


def test_requests_are_batched_and_more_than_fit_are_told_to_come_again(tmp_path):
    network = Gate()
    with serving(tmp_path, network, max_waiting=5) as client, ThreadPoolExecutor(5) as pool:
        jobs = [pool.submit(client.send, png(draw(0)))]
        assert network.entered.wait(PATIENCE_S)
        jobs += [pool.submit(client.send, png(draw(seed))) for seed in range(1, 5)]
        wait_for(lambda: client.service.waiting == 5 and len(client.service.batcher._waiting) == 4)
        refused = client.send(png(draw(9)))
        assert (refused.status, refused.headers["retry-after"]) == (503, "2")
        assert refused.json == {"error": "5 images are already waiting; try again in 2 seconds"}
        assert client.ask("GET", "/health").json["waiting"] == 5  # answered while a batch is computed
        network.opened.set()
        for seed, job in enumerate(jobs):
            assert np.array_equal(decode(job.result().body), draw(seed).argmax(2))
        assert network.sizes == [1, 4]
        assert client.send(png(draw(9))).status == 200


def test_bytes_that_are_no_request(tmp_path):
    with serving(tmp_path) as client:
        for content in (b"\0\xff garbage\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"):
            assert client.say(content).startswith(b"HTTP/1.1 400 "), content
        wrong = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n"
        assert client.say(wrong).startswith(b"HTTP/1.1 400 ")
        long = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000
        assert client.say(long).startswith(b"HTTP/1.1 400 ")
        assert client.ask("GET", "/health").status == 200


def test_a_request_that_stops_half_way_is_ended(tmp_path):
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    with serving(tmp_path, patience_s=0.2, bytes_per_s=1e6) as client:
        assert client.say(b"") == b""  # says nothing
        assert client.say(b"GET / HTTP/1.1\r\nHos") == b""
        reply = client.say(head + b"half")
        assert reply.startswith(b"HTTP/1.1 408 ")
        assert reply.endswith(b'{"error":"the request did not arrive completely within 0.201 seconds"}')
        assert client.ask("GET", "/health").json["waiting"] == 0


def test_bytes_that_drip_do_not_hold_a_connection(tmp_path):
    with (
        serving(tmp_path, patience_s=0.2, bytes_per_s=1e9) as client,
        socket.create_connection(("127.0.0.1", client.port), timeout=PATIENCE_S) as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            for _ in range(round(PATIENCE_S / 0.02)):
                connection.sendall(b"X: y\r\n")
                time.sleep(0.02)


def test_a_client_that_goes_away_frees_its_place(tmp_path):
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf"
    with serving(tmp_path, max_waiting=1) as client:
        with socket.create_connection(("127.0.0.1", client.port), timeout=PATIENCE_S) as connection:
            connection.sendall(head)
            wait_for(lambda: client.service.waiting == 1)
            assert client.send(png(draw(0))).status == 503
        wait_for(lambda: client.service.waiting == 0)
        assert client.send(png(draw(0))).status == 200


def test_an_answer_that_is_not_taken_is_thrown_away(tmp_path):
    content = encode(Image.fromarray(draw(0, height=1500, width=1500)), "BMP")
    head = f"POST /predict?output=overlay HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
    with (
        serving(tmp_path, patience_s=0.5, bytes_per_s=1e9) as client,
        socket.socket() as connection,
    ):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # much less than the answer
        connection.settimeout(PATIENCE_S)
        connection.connect(("127.0.0.1", client.port))
        connection.sendall(head.encode() + content)
        reply = connection.recv(1000)
        wait_for(lambda: not client.server.server_state.connections)
        reply += b"".join(iter(lambda: connection.recv(1 << 20), b""))
    assert reply.startswith(b"HTTP/1.1 200 OK")
    length = int(re.search(rb"content-length: (\d+)", reply)[1])
    assert 0 < len(reply) < length


def test_one_connection_may_carry_many_requests(tmp_path):
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with serving(tmp_path) as client:
        assert client.say(request * 3 + last).count(b"HTTP/1.1 200 OK") == 4


def options_of(*arguments):
    parser = ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--port", 70000), "--port 70000: a port is between 0 and 65535"),
        (("--host", "a..b"), "--host a..b: is not a known host name"),
        (("--batch-size", 0), "--batch-size 0: must be at least 1"),
    ],
)
def test_wrong_flags_are_told_before_a_model_is_loaded(arguments, text, capsys):
    assert run_command(command.main, options_of("no/such/run", *arguments)) == 2
    assert capsys.readouterr().err == f"{text}\n"


@pytest.mark.parametrize(
    ("flag", "value"), [("--max-mb", 0), ("--max-mb", "nan"), ("--max-megapixels", -1), ("--max-megapixels", "inf")]
)
def test_limits_are_numbers_above_0(flag, value, capsys):
    with pytest.raises(SystemExit):
        options_of("no/such/run", flag, value)
    assert capsys.readouterr().err.endswith(f"argument {flag}: '{value}' is not a number greater than 0\n")


def test_what_has_to_be_installed(monkeypatch, capsys):
    monkeypatch.setattr(command, "REQUIRED", ("uvicorn", "no_such_server"))
    assert run_command(command.main, options_of("no/such/run")) == 2
    expected = 'serve needs no_such_server; in the segtrain folder, run: pip install -e ".[serve]"\n'
    assert capsys.readouterr().err == expected


def test_a_port_that_is_taken_is_told_before_a_model_is_loaded(capsys):
    with open_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert run_command(command.main, options_of("no/such/run", "--port", port)) == 2
    assert capsys.readouterr().err == f"--host 127.0.0.1 --port {port}: cannot listen there: Address already in use\n"


def test_addresses_that_cannot_be_had():
    with pytest.raises(ConfigError, match=r"^--host 256\.0\.0\.1 --port 0: cannot listen there: "):
        open_socket("256.0.0.1", 0)


def test_only_this_machine_reaches_a_server_unless_told_otherwise():
    assert options_of("run").host == "127.0.0.1"
    assert (options_of("run").max_mb, options_of("run").max_megapixels) == (32, 16)
    with open_socket("127.0.0.1", 0) as local, open_socket("0.0.0.0", 0) as open_to_all:
        assert is_loopback(local) and not is_loopback(open_to_all)


def test_time_for_a_request_grows_with_its_length():
    assert RequestLimits().allowed_s(0) == 30 and RequestLimits().allowed_s(1_000_000) == 40


class Ended(threading.Thread):
    """Looks at what a server prints, and does something to it once it has an address."""

    def __init__(self, capsys, act):
        super().__init__()
        self.out = self.err = ""
        self._capsys = capsys
        self._act = act

    def read(self) -> None:
        part = self._capsys.readouterr()
        self.out, self.err = self.out + part.out, self.err + part.err

    def run(self) -> None:
        while not (found := re.search(r"http://[0-9.]+:(\d+) ", self.out)):
            time.sleep(0.01)
            self.read()
        try:
            self._act(int(found[1]))
        except BaseException:
            interrupt_main(signal.SIGTERM)  # or the test would never end
            raise


def serve_until_ended(capsys, act, *arguments) -> tuple[int, Ended]:
    """The exit status of the command, and what it printed."""
    thread = Ended(capsys, act)
    thread.start()
    status = run_command(command.main, options_of(*arguments, "--port", 0, "--device", "cpu"))
    thread.join()
    thread.read()
    return status, thread


def is_gone(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_after_the_answers_that_are_under_way(trained, capsys, number):
    image = trained.parent.parent / "street" / "val" / "images" / "000.png"
    content = image.read_bytes()
    head = (
        f"POST /predict HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    replies = []

    def act(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
            connection.sendall(head.encode())
            replies.append(connection.recv(1 << 16))  # it waits for the image
            interrupt_main(number)
            wait_for(lambda: is_gone(port))
            connection.sendall(content)
            replies.append(b"".join(iter(lambda: connection.recv(1 << 16), b"")))

    before = signal.getsignal(number)
    status, printed = serve_until_ended(capsys, act, trained)
    assert status == 128 + number and signal.getsignal(number) is before
    assert re.fullmatch(r"street-1: http://127\.0\.0\.1:\d+ \(press Ctrl-C to stop\)\n", printed.out)
    assert printed.err == "stopped; images predicted: 1\n"
    assert replies[0] == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert replies[1].startswith(b"HTTP/1.1 200 OK")
    mask = decode(replies[1].split(b"\r\n\r\n", 1)[1])
    assert np.array_equal(mask, Predictor.load(trained, device="cpu").predict(np.asarray(Image.open(image))))


def test_a_server_for_everybody_says_so_and_a_signal_at_once_ends_it(trained, capsys):
    status, printed = serve_until_ended(
        capsys, lambda port: interrupt_main(signal.SIGTERM), trained, "--host", "0.0.0.0"
    )
    assert status == 143
    assert printed.err == (
        "warning: --host 0.0.0.0: everyone who can reach this machine can use the model; there is no password and no "
        "encryption\nstopped; images predicted: 0\n"
    )
