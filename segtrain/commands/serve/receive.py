"""Receiver: from a request to an image, within limits that are checked before each step."""

import asyncio
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from segtrain.errors import DataError, is_out_of_files
from segtrain.images.bands import is_tiff
from segtrain.images.reading import TYPES, image_size, read_image
from segtrain.inference.predictor import Predictor

MEGABYTE = 1_000_000
NUMPY_HEAD = b"\x93NUMPY"
COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class RequestLimits:
    """Bounds of what clients may ask for.

    Args:
        max_bytes: length of a request's body.
        max_pixels: height times width of an image, and of all images of one batch together.
        max_waiting: requests for a prediction that are dealt with at one time; more are told to come again.
        patience_s: seconds that a client has for the head of a request, and beside those for what it sends and takes.
        bytes_per_s: the slowest way to send a request or to take an answer.
    """

    max_bytes: int = 32 * MEGABYTE
    max_pixels: int = 16 * MEGABYTE
    max_waiting: int = 256
    patience_s: float = 30.0
    bytes_per_s: float = 100_000.0

    def allowed_s(self, count: int) -> float:
        """Seconds within which a client must have sent or taken `count` bytes."""
        return self.patience_s + count / self.bytes_per_s


def check_length(request: Request, max_bytes: int) -> None:
    """Raises HTTPException where a request does not say how long its body is, or it is empty or too long."""
    length = request.headers.get("content-length")
    if length is None or "transfer-encoding" in request.headers:
        raise HTTPException(411, "the request does not declare its length; send Content-Length")
    if int(length) > max_bytes:
        raise HTTPException(
            413, f"the request has {_millions(int(length))} MB; at most {_millions(max_bytes)} are accepted"
        )
    if int(length) == 0:
        raise HTTPException(400, "the request is empty; send an image as the body or as a file in a form")


async def receive_file(request: Request, path: Path, limits: RequestLimits) -> Path:
    """Write the image file of a request, its whole body or the first file of a form, to `path`; .npy is added to that
    where it is one. Raises HTTPException for what is not there in time or holds no file."""
    allowed_s = limits.allowed_s(int(request.headers["content-length"]))
    try:
        async with asyncio.timeout(allowed_s):
            if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
                await _write_form(request, path)
            else:
                with path.open("wb") as file:
                    async for chunk in request.stream():
                        file.write(chunk)
    except TimeoutError as error:
        late = f"the request did not arrive completely within {allowed_s:.3g} seconds"
        raise HTTPException(408, late, headers={"Connection": "close"}) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the connection was closed before the request was complete") from error
    except OSError as error:
        if is_out_of_files(error):
            raise
        raise HTTPException(507, f"the server cannot store the image: {error.strerror}") from error
    with path.open("rb") as file:
        is_numpy = file.read(len(NUMPY_HEAD)) == NUMPY_HEAD
    return path.rename(path.with_suffix(".npy")) if is_numpy else path


async def _write_form(request: Request, path: Path) -> None:
    async with request.form(max_files=1, max_fields=8) as form:
        uploads = [part for part in form.values() if isinstance(part, UploadFile)]
        if not uploads:
            raise HTTPException(400, "the form contains no file; send one like curl -F image=@photo.jpg")
        with path.open("wb") as file:
            while chunk := await uploads[0].read(COPY_BYTES):
                file.write(chunk)


def read_upload(path: Path, predictor: Predictor, max_pixels: int) -> np.ndarray:
    """The image in a file that a client sent, as read_image gives it for the predictor's task.

    Raises HTTPException for what is not an image, has too many pixels, or is not what the model takes.
    """
    try:
        check_size(path, predictor, max_pixels)
        return read_image(path, **predictor.task.image_options)
    except HTTPException:
        raise
    except Exception as error:
        if is_out_of_files(error):
            raise
        raise _refusal(error, path, max_pixels) from error


def _refusal(error: Exception, path: Path, max_pixels: int) -> HTTPException:
    """What a client is told of an image that cannot be read."""
    if not isinstance(error, DataError):  # decoders raise anything at bytes that are made to confuse them
        return HTTPException(422, f"the file cannot be read as an image: {type(error).__name__}")
    if isinstance(error.__cause__, UnidentifiedImageError):
        return HTTPException(415, f"the file is not an image of a supported type: {', '.join((*TYPES, 'NumPy'))}")
    if isinstance(error.__cause__, Image.DecompressionBombError):
        many = f"the image has far more than the {_millions(max_pixels)} million pixels that are accepted"
        return HTTPException(413, many)
    return HTTPException(422, f"the file {str(error).removeprefix(f'{path}: ')}")


def check_size(path: Path, predictor: Predictor, max_pixels: int) -> None:
    """Raises HTTPException where what the head of an image file announces is too much to be decoded or predicted."""
    height, width = image_size(path)
    pixels, task = predictor.count_pixels((height, width)), predictor.task
    if pixels > max_pixels:
        padded = " when prepared for the network" if pixels > height * width else ""
        found = f"the image has {width} x {height} pixels, {_millions(pixels)} million{padded}"
        raise HTTPException(413, f"{found}; at most {_millions(max_pixels)} million are accepted")
    if not is_tiff(str(path)):
        return
    # A compressed TIFF of a few bytes may have any number of bands, in tiles of any size, and all are unpacked.
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        values = max(series.size, math.prod(series.keyframe.chunks))
    most = max_pixels * max(task.channels, *(task.bands or []), 4)
    if values > most:
        raise HTTPException(
            413, f"the TIFF decompresses to {_millions(values)} million values; at most {_millions(most)} are accepted"
        )


def _millions(number: int) -> str:
    return f"{number / MEGABYTE:.4g}"
