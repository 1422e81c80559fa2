import errno
import io
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from segtrain.images.reading import read_image
from segtrain.inference.predictor import Predictor
from segtrain.inference.task import Task
from tests.commands.serve.serving import THREE, Channels, decode, draw, encode, png, serving

IMAGE = draw(0)


def with_orientation(picture) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(picture, "JPEG", exif=exif)


def as_tiff(pixels) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, photometric="rgb", planarconfig="contig")
    return stream.getvalue()


def as_numpy(pixels) -> bytes:
    stream = io.BytesIO()
    np.save(stream, pixels)
    return stream.getvalue()


def numpy_error(content: bytes) -> str:
    """What NumPy says of an array that is broken: in part the words of Python, which change with its version."""
    try:
        np.load(io.BytesIO(content))
    except Exception as error:
        return str(error)


KINDS = {
    "turned.jpg": with_orientation(Image.fromarray(IMAGE)),
    "gray.png": encode(Image.fromarray(IMAGE[..., 0])),
    "rgba.png": encode(Image.fromarray(np.dstack([IMAGE, IMAGE[..., :1]]))),
    "cmyk.jpg": encode(Image.fromarray(IMAGE).convert("CMYK"), "JPEG"),
    "palette.gif": encode(Image.fromarray(IMAGE).quantize(16), "GIF"),
    "picture.webp": encode(Image.fromarray(IMAGE), "WEBP", lossless=True),
    "picture.bmp": encode(Image.fromarray(IMAGE), "BMP"),
    "picture.ppm": encode(Image.fromarray(IMAGE), "PPM"),
    "picture.tif": as_tiff(IMAGE),
    "array.npy": as_numpy(IMAGE),
}


def test_files_of_all_kinds_are_read_as_from_a_folder(tmp_path):
    (tmp_path / "server").mkdir()
    with serving(tmp_path / "server") as client:
        for name, content in KINDS.items():
            path = tmp_path / name
            path.write_bytes(content)
            expected = Predictor([Channels()]).predict(read_image(path))
            assert np.array_equal(decode(client.send(content).body), expected), name


def test_sixteen_bits_are_read_with_the_scale_of_the_task(tmp_path):
    deep = (IMAGE.astype(np.uint16) * 40).astype(np.uint16)
    with serving(tmp_path, Channels(THREE.model_copy(update={"scale": 10200.0}))) as client:
        assert np.array_equal(decode(client.send(as_tiff(deep)).body), Predictor([Channels()]).predict(IMAGE))
    with serving(tmp_path) as client:
        reply = client.send(as_tiff(deep))
    assert (reply.status, reply.json["error"][:47]) == (422, "the file has uint16 values from 0 to 10200; wri")


def huge_png() -> bytes:
    """The head of a PNG of 100,000 x 100,000 pixels: what a decompression bomb begins with."""
    content = bytearray(png(IMAGE))
    content[16:24] = (100_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


def many_bands() -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.zeros((20, 30, 40), np.uint8), photometric="minisblack", compression="zlib")
    return stream.getvalue()


TYPES = "PNG, JPEG, BMP, TIFF, GIF, WEBP, PPM, JPEG2000, AVIF, NumPy"
REFUSED = {
    "text": (b"hello", 415, f"the file is not an image of a supported type: {TYPES}"),
    "page": (
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        415,
        f"the file is not an image of a supported type: {TYPES}",
    ),
    "program": (b"%!PS-Adobe-3.0 EPSF-3.0\n", 415, f"the file is not an image of a supported type: {TYPES}"),
    "head alone": (b"\x89PNG\r\n\x1a\n", 415, f"the file is not an image of a supported type: {TYPES}"),
    "garbage": (
        b"BM" + bytes(range(256)),
        422,
        "the file cannot be read as an image: Truncated File Read; is the file complete?",
    ),
    "truncated": (
        png(draw(0, height=200, width=200))[:50_000],
        422,
        "the file cannot be read as an image: image file is truncated; is the file complete?",
    ),
    "bomb": (huge_png(), 413, "the image has far more than the 16 million pixels that are accepted"),
    "empty": (b"", 400, "the request is empty; send an image as the body or as a file in a form"),
    "array": (
        as_numpy(np.zeros((4, 5, 7), np.uint8)),
        422,
        "the file has 7 channels, but data.channels is 3; data.bands: [1, 2, 3] selects the first",
    ),
    "odd array": (
        as_numpy(IMAGE).replace(b"}", b"("),
        422,
        f"the file cannot be read as a NumPy array: {numpy_error(as_numpy(IMAGE).replace(b'}', b'('))}",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_image_is_refused(client, name):
    content, status, text = REFUSED[name]
    reply = client.send(content)
    assert (reply.status, reply.json) == (status, {"error": text})
    assert client.send(png(IMAGE)).status == 200


@pytest.mark.parametrize("opener", [(Path, "open"), (Image, "open")])
def test_a_server_with_too_many_open_files_is_not_the_fault_of_the_image(client, monkeypatch, opener):
    def fail(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(*opener, fail)
        reply = client.send(png(IMAGE))
    text = "the server has too many files open; send the image again later"
    assert (reply.status, reply.json) == (503, {"error": text})
    assert client.send(png(IMAGE)).status == 200


def test_a_tiff_may_not_unpack_to_more_than_an_image(tmp_path):
    with serving(tmp_path, max_pixels=2048) as client:
        reply = client.send(many_bands())
        text = "the TIFF decompresses to 0.024 million values; at most 0.008192 are accepted"
        assert (reply.status, reply.json["error"]) == (413, text)
        assert client.send(as_tiff(IMAGE)).status == 200


def test_images_and_requests_have_a_largest_size(tmp_path):
    with serving(tmp_path, max_pixels=1024, max_bytes=3000) as client:
        assert client.send(png(IMAGE)).status == 200
        for shape, size, pixels in (((32, 64), "64 x 32", 0.002048), ((1, 999), "999 x 1", 0.032768)):
            reply = client.send(png(np.zeros((*shape, 3), np.uint8)))
            padded = " when prepared for the network" if shape[0] == 1 else ""
            text = f"the image has {size} pixels, {pixels:.4g} million{padded}; at most 0.001024 million are accepted"
            assert (reply.status, reply.json["error"]) == (413, text)
        reply = client.send(bytes(3001))
        assert (reply.status, reply.json["error"]) == (413, "the request has 0.003001 MB; at most 0.003 are accepted")
        assert client.send(bytes(20_000_000)).status == 413  # the answer is there though the request was not read


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (b"--x\r\n", "multipart/form-data", "Missing boundary in multipart."),
        (b"hello", "multipart/form-data; boundary=x", "Invalid multipart data."),
        (
            b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\nhello\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            "the form contains no file; send one like curl -F image=@photo.jpg",
        ),
    ],
)
def test_forms_without_a_file(client, body, kind, text):
    reply = client.ask("POST", "/predict", body, Content_Type=kind)
    assert (reply.status, reply.json) == (400, {"error": text})


def test_a_request_says_how_long_it_is(client):
    for head in (b"", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"):
        reply = client.say(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + head + b"\r\n0\r\n\r\n"
        )
        assert reply.startswith(b"HTTP/1.1 411 ")
        assert json.loads(reply.split(b"\r\n\r\n")[1]) == {
            "error": "the request does not declare its length; send Content-Length"
        }


def test_binary_and_other_channels(tmp_path):
    task = Task(mode="binary", names=["background", "car"], colors=[(0, 0, 0), (9, 9, 9)], channels=4, thresholds=[0.5])
    four = np.dstack([IMAGE, IMAGE[..., :1]])
    with serving(tmp_path, Channels(task)) as client:
        mask = decode(client.send(as_numpy(four)).body)
        reply = client.send(png(IMAGE))
    assert np.array_equal(mask, IMAGE[..., 0] >= 127.5)
    assert reply.json == {"error": "the file has 3 channels, but data.channels is 4"}
