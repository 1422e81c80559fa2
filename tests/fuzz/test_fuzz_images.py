"""Damaged images of every type: read, or one line."""

import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from segtrain.images.reading import count_pictures, image_size, read_image
from tests.fuzz.mutate import attack, mutate_bytes

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


def encode(kind: str) -> bytes:
    """An image of 24 x 32 pixels."""
    file, picture = io.BytesIO(), Image.fromarray(PIXELS)
    if kind == "npy":
        np.save(file, PIXELS)
    elif kind == "deep.tif":
        tifffile.imwrite(file, PIXELS.astype(np.uint16).repeat(2, 2), photometric="minisblack", planarconfig="contig")
    elif kind == "deep.png":
        file.write(imagecodecs.png_encode(PIXELS.astype(np.uint16) * 200))
    elif kind == "tiled.tif":
        tifffile.imwrite(file, PIXELS, tile=(16, 16), compression="zlib", photometric="rgb")
    elif kind == "palette.png":
        picture.quantize(9).save(file, "PNG")
    elif kind == "frames.gif":
        picture.save(file, "GIF", save_all=True, append_images=[picture.rotate(90)])
    else:
        exif = Image.Exif()
        exif[0x0112] = 6
        form = {
            "jpg": "JPEG",
            "png": "PNG",
            "bmp": "BMP",
            "webp": "WEBP",
            "tif": "TIFF",
            "ppm": "PPM",
            "jp2": "JPEG2000",
        }
        picture.save(file, form[kind], **({"exif": exif} if kind in ("jpg", "png", "webp", "tif") else {}))
    return file.getvalue()


KINDS = [
    "jpg",
    "png",
    "palette.png",
    "deep.png",
    "frames.gif",
    "bmp",
    "webp",
    "tif",
    "tiled.tif",
    "deep.tif",
    "ppm",
    "jp2",
    "npy",
]


@pytest.mark.parametrize("kind", KINDS)
def test_images(kind, tmp_path):
    whole, path = encode(kind), tmp_path / f"a.{kind.rpartition('.')[2]}"
    options = {"channels": 6, "scale": 255.0} if kind == "deep.tif" else {"scale": 255.0} if "deep" in kind else {}

    def use():
        count_pictures(path)
        size = image_size(path)
        assert read_image(path, **options).shape[:2] == size or kind == "frames.gif"

    path.write_bytes(whole)
    use()
    attack(150, lambda rng: path.write_bytes(mutate_bytes(whole, rng, head=120)), use, root=tmp_path, seed=kind)
