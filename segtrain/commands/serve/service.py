"""Service: the models of a running server, the images that it deals with, and the counts of both."""

import asyncio
import base64
import io
import secrets
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from segtrain.commands.predict.result import Result, encode_files, encode_jpeg, list_suffixes
from segtrain.commands.serve.batcher import Batcher
from segtrain.commands.serve.receive import RequestLimits, check_length, read_upload, receive_file
from segtrain.inference.predictor import Predictor
from segtrain.inference.task import Task
from segtrain.visualize import show_color, to_rgb

OUTPUTS = ("index", "color", "overlay", "geojson", "json")  # all but the last are words of predict.py's --save
MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".geojson": "application/geo+json"}
RETRY_AFTER_S = 2
UPLOAD_NAME = Path("image")  # the names that clients give their files do not matter


class Service:
    """A Predictor that answers requests.

    Args:
        predictor: used by no one else from here on; `batcher.close` ends the thread that does.
        names: of the models, for people.
        limits: what clients may ask for.
        folder: where the files of requests lie while they are read.
    """

    def __init__(self, predictor: Predictor, *, names: Sequence[str], limits: RequestLimits, folder: Path):
        self.batcher = Batcher(predictor, max_pixels=limits.max_pixels)
        self.limits = limits
        self.waiting = 0
        self._names = list(names)
        self._predictor = predictor
        self._task = predictor.task
        self._device = str(predictor.device)
        self._folder = folder
        # As many images in memory as two batches have: one is computed, one is read or written.
        self._in_memory = asyncio.Semaphore(2 * predictor.options.batch_size)

    async def health(self, _: Request) -> Response:
        """The answer to /health."""
        counts = {"images": self.batcher.images, "batches": self.batcher.batches, "waiting": self.waiting}
        return JSONResponse({"status": "ok", "models": self._names, "device": self._device, **counts})

    async def model(self, _: Request) -> Response:
        """The answer to /model."""
        limits = {"max_bytes": self.limits.max_bytes, "max_pixels": self.limits.max_pixels}
        classes = list_classes(self._task)
        return JSONResponse({"models": self._names, "mode": self._task.mode, "classes": classes, **limits})

    async def predict(self, request: Request) -> Response:
        """The answer to a request with an image, as its `output` says. Raises HTTPException for what is refused."""
        output = request.query_params.get("output", OUTPUTS[0])
        if output not in OUTPUTS:
            raise HTTPException(400, f"there is no output '{output[:40]}'; use one of {', '.join(OUTPUTS)}")
        check_length(request, self.limits.max_bytes)
        with self._slot(), self._file() as path:
            path = await receive_file(request, path, self.limits)
            async with self._in_memory:
                image = await asyncio.to_thread(read_upload, path, self._predictor, self.limits.max_pixels)
                labels = await asyncio.wrap_future(self.batcher.submit(image))
                result = Result(path, UPLOAD_NAME, self._task, image, labels)
                return await asyncio.to_thread(_summarize if output == "json" else _answer, result, output)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if self.waiting >= self.limits.max_waiting:
            busy = f"{self.waiting} images are already waiting; try again in {RETRY_AFTER_S} seconds"
            raise HTTPException(503, busy, headers={"Retry-After": str(RETRY_AFTER_S)})
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    @contextmanager
    def _file(self) -> Iterator[Path]:
        """A path that is free, and deleted afterwards, also with the suffix that receive_file may add."""
        path = self._folder / secrets.token_hex(8)
        try:
            yield path
        finally:
            for left in (path, path.with_suffix(".npy")):
                left.unlink(missing_ok=True)


def list_classes(task: Task) -> list[dict[str, str]]:
    """Name and color, as #rrggbb, of each of task.names."""
    pairs = zip(task.names, task.name_colors, strict=True)
    return [{"name": name, "color": show_color(color)} for name, color in pairs]


def _answer(result: Result, kind: str) -> Response:
    """The file of this kind; a ZIP where it is several."""
    suffixes, contents = list_suffixes([kind], result.task), encode_files(result, kind)
    if len(contents) == 1:
        return Response(contents[0], media_type=MEDIA_TYPES[PurePath(f"image{suffixes[0]}").suffix])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for suffix, content in zip(suffixes, contents, strict=True):
            archive.writestr(f"{result.name}{suffix}", content)
    return Response(packed.getvalue(), media_type="application/zip")


def _summarize(result: Result, _: str) -> Response:
    """All that the page shows: size, classes with their shares of the pixels, pictures as data: addresses."""
    height, width = result.size
    shares = zip(list_classes(result.task), result.shares.tolist(), strict=True)
    pictures = {
        "image": Response(encode_jpeg(to_rgb(result.image)), media_type="image/jpeg"),
        "color": _answer(result, "color"),
        "index": _answer(result, "index"),
    }
    content = {"width": width, "height": height, "classes": [{**entry, "share": share} for entry, share in shares]}
    for name, picture in pictures.items():
        content[name] = f"data:{picture.media_type};base64,{base64.b64encode(picture.body).decode()}"
    return JSONResponse(content)
