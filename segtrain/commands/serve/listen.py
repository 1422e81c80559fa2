"""Listener: the socket, the patience with clients, and the end."""

import asyncio
import functools
import ipaddress
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from segtrain.command import Stopped, tell
from segtrain.commands.serve.app import build_app
from segtrain.commands.serve.receive import RequestLimits
from segtrain.commands.serve.service import Service
from segtrain.errors import OUT_OF_FILES, ConfigError, is_out_of_files
from segtrain.files import workshop
from segtrain.inference.predictor import Predictor

GRACE_S = 30  # for answers that are on their way when the server is stopped
MARGIN_S = 1.0  # for the answer that a request did not come in time


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises ConfigError where the address is not available."""
    if not 0 <= port <= 65535:
        raise ConfigError(f"--port {port}: a port is between 0 and 65535")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=1024)
    except UnicodeError as error:
        raise ConfigError(f"--host {host}: is not a known host name") from error
    except OSError as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno)
        raise ConfigError(f"--host {host} --port {port}: cannot listen there: {reason}") from error


def is_loopback(listener: socket.socket) -> bool:
    """True for a socket that only this machine reaches."""
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def serve(predictor: Predictor, listener: socket.socket, *, names: Sequence[str], limits: RequestLimits) -> None:
    """Answer requests until SIGINT or SIGTERM, then those that are under way, then raise Stopped."""
    host, port = listener.getsockname()[:2]
    with workshop(Path("segtrain-serve"), beside=Path(tempfile.gettempdir())) as folder:
        service = Service(predictor, names=names, limits=limits, folder=folder)
        try:
            server = build_server(service, address=host if is_loopback(listener) else None)
            with _noting_signals(server) as signals:
                shown = f"[{host}]" if ":" in host else host
                print(f"{', '.join(names)}: http://{shown}:{port} (press Ctrl-C to stop)", flush=True)
                server.run(sockets=[listener])
        finally:
            service.batcher.close()
    if signals:
        raise Stopped(signals[0], f"stopped; images predicted: {service.batcher.images}")


@contextmanager
def _noting_signals(server: uvicorn.Server) -> Iterator[list[int]]:
    """The numbers of SIGINT and SIGTERM as they come. uvicorn hands on those that end it; one that comes before uvicorn
    looks for them ends it too."""
    signals: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        signals.append(number)
        server.should_exit = True

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _OutOfFiles(logging.Filter):
    """Tells once that no file can be opened, or no connection: asyncio logs it, with a traceback, for each client that
    waits, and then answers them in turn."""

    told = False

    def filter(self, record: logging.LogRecord) -> bool:
        """False for such a record, which is then not shown."""
        out = record.exc_info is not None and is_out_of_files(record.exc_info[1])
        if out and not self.told:
            self.told = True
            tell(f"warning: {OUT_OF_FILES}")
        return not out


_OUT_OF_FILES_FILTER = _OutOfFiles()


def build_server(service: Service, *, address: str | None) -> uvicorn.Server:
    """The server of a service, to be run with a socket."""
    for name in ("uvicorn.error", "python_multipart"):
        logging.getLogger(name).setLevel(logging.ERROR)  # tracebacks; what clients send wrong is told to them alone
    for name in ("asyncio", "uvicorn.error"):
        logging.getLogger(name).addFilter(_OUT_OF_FILES_FILTER)
    config = uvicorn.Config(
        build_app(service, address=address),
        http=functools.partial(PatientProtocol, limits=service.limits),
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    return uvicorn.Server(config)


class PatientProtocol(H11Protocol):
    """A connection that is ended where its client does not send a request, or take an answer, within the limits."""

    def __init__(self, *arguments: Any, limits: RequestLimits, **keywords: Any):
        super().__init__(*arguments, **keywords)
        self._limits = limits
        self._sending: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Wait for the first request."""
        transport.set_write_buffer_limits(high=0)  # pause_writing is then called for anything that is not taken
        super().connection_made(transport)
        self._wait(self._limits.patience_s)

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a request."""
        before = self.conn.their_state
        if self._sending is None:
            self._wait(self._limits.patience_s)
        super().data_received(data)
        if self.conn.their_state is not before:
            is_body = self.conn.their_state is h11.SEND_BODY
            self._wait(self._limits.allowed_s(self._limits.max_bytes) + MARGIN_S if is_body else None)

    def pause_writing(self) -> None:
        """Wait for the client to take what is sent."""
        super().pause_writing()
        allowed_s = self._limits.allowed_s(self.transport.get_write_buffer_size())
        self._taking = self.loop.call_later(allowed_s, self.transport.abort)

    def resume_writing(self) -> None:
        """All is taken."""
        super().resume_writing()
        if self._taking is not None:
            self._taking.cancel()

    def connection_lost(self, error: Exception | None) -> None:
        """Wait no more."""
        super().connection_lost(error)
        self.resume_writing()
        self._wait(None)

    def _wait(self, seconds: float | None) -> None:
        """Give the client so long from now on; None waits for nothing."""
        if self._sending is not None:
            self._sending.cancel()
        self._sending = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)
