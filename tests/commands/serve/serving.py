"""A server of this process for the tests, and networks that show what it does."""

import io
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from uvicorn import Server

from segtrain.commands.serve.listen import build_server, open_socket
from segtrain.commands.serve.receive import RequestLimits
from segtrain.commands.serve.service import Service
from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from segtrain.inference.task import Task

THREE = Task(mode="multiclass", names=["red", "green", "blue"], colors=[(200, 0, 0), (0, 200, 0), (0, 0, 200)])
LAYERS = Task(mode="multilabel", names=["red", "a/b"], colors=[(0, 0, 0), *THREE.colors[:2]], thresholds=[0.5, 0.5])
PATIENCE_S = 20.0


class Channels:
    """A network that gives a pixel the class of its brightest channel, or in multilabel those of all bright ones."""

    device = torch.device("cpu")
    input_size = None
    batch_size = None
    gives_labels = False

    def __init__(self, task: Task = THREE):
        self.task = task

    def probabilities(self, images: Tensor) -> Tensor:
        """See Network."""
        shares = images[:, : self.task.outputs].float() / 255
        return shares.softmax(1) if self.task.mode == "multiclass" else shares


class Gate(Channels):
    """The same, but it waits until `opened`; `sizes` are the images of each batch, `entered` tells of the first one."""

    def __init__(self):
        super().__init__()
        self.sizes: list[int] = []
        self.entered = threading.Event()
        self.opened = threading.Event()

    def probabilities(self, images: Tensor) -> Tensor:
        """See Network."""
        self.sizes.append(len(images))
        self.entered.set()
        assert self.opened.wait(PATIENCE_S)
        return super().probabilities(images)


class Picky(Channels):
    """The same, but it fails at images that have a white pixel in the corner."""

    def probabilities(self, images: Tensor) -> Tensor:
        """See Network."""
        if (images[:, :, 0, 0] == 255).all(1).any():
            raise RuntimeError("a white corner")
        return super().probabilities(images)


class Reply(NamedTuple):
    """Status, headers in lower case, and body of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class Client:
    """Requests to a server at 127.0.0.1."""

    def __init__(self, port: int, service: Service, server: Server):
        self.port = port
        self.service = service
        self.server = server

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        """One request over a connection of its own; names of headers are written with _ for -."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def send(self, content: bytes, *, output: str = "index") -> Reply:
        """POST an image."""
        return self.ask("POST", f"/predict?output={output}", content)

    def say(self, content: bytes) -> bytes:
        """Send these bytes, whatever they are: all that comes back until the server ends the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as connection:
            connection.sendall(content)
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))


@contextmanager
def serving(folder: Path, network: Any = None, *, batch_size: int = 4, **limits: Any) -> Iterator[Client]:
    """A server with one network, or with a Predictor; it keeps files in `folder`."""
    network = network or Channels()
    predictor = network if isinstance(network, Predictor) else Predictor([network], InferOptions(batch_size=batch_size))
    service = Service(predictor, names=["street-1"], limits=RequestLimits(**limits), folder=folder)
    listener = open_socket("127.0.0.1", 0)
    server = build_server(service, address="127.0.0.1")
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield Client(listener.getsockname()[1], service, server)
    finally:
        server.should_exit = True
        thread.join()
        service.batcher.close()
        listener.close()
    assert not list(folder.iterdir()), "files of requests were left behind"


def draw(seed: int, *, height: int = 20, width: int = 30) -> np.ndarray:
    """Noise, HWC uint8 RGB."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encode(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """A picture as the bytes of a file."""
    stream = io.BytesIO()
    picture.save(stream, format=kind, **options)
    return stream.getvalue()


def png(pixels: np.ndarray) -> bytes:
    """HW or HWC uint8 pixels as a PNG."""
    return encode(Image.fromarray(pixels))


def decode(content: bytes) -> np.ndarray:
    """The pixels of a picture as they are in its file."""
    return np.asarray(Image.open(io.BytesIO(content)))
