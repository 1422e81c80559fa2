"""Damaged masks: read to class indices, or one line."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from segtrain.data.labels import build_decoder
from segtrain.formats.sample import Sample
from segtrain.images.reading import read_picture
from tests.formats.format_reading import data_config
from tests.fuzz.mutate import attack, mutate_bytes

MASK = np.random.default_rng(0).integers(0, 3, (24, 32), np.uint8)
COLORS = [[0, 0, 0], [200, 0, 0], [0, 200, 0]]
KINDS = ["gray.png", "palette.png", "rgb.png", "bits.png", "gray.tif", "float.tif", "palette.gif", "gray.bmp", "a.npy"]


def encode(kind: str) -> bytes:
    """A mask of 24 x 32 pixels and three classes."""
    file, picture = io.BytesIO(), Image.fromarray(MASK)
    if kind == "a.npy":
        np.save(file, MASK)
    elif kind == "float.tif":
        tifffile.imwrite(file, MASK.astype(np.float32), extratags=[(42113, "s", 0, "-9999", True)])
    elif kind == "bits.png":
        Image.fromarray(MASK > 1).save(file, "PNG")
    else:
        if kind.startswith("palette"):
            picture.putpalette(np.ravel(COLORS).tolist())
        elif kind.startswith("rgb"):
            picture = Image.fromarray(np.array(COLORS, np.uint8)[MASK])
        picture.save(file, {"tif": "TIFF"}.get(kind[-3:], kind[-3:].upper()))
    return file.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_masks(kind, tmp_path):
    whole, path = encode(kind), tmp_path / kind
    classes = ["a", "b", "c"]
    if kind.startswith("rgb"):
        classes = [{"name": name, "color": color} for name, color in zip(classes, COLORS, strict=True)]
    decoder = build_decoder(data_config(root=tmp_path, classes=classes))

    def use():
        read_picture(str(path), as_mask=True)
        mask = decoder.read(Sample("a", str(path), str(path)))
        assert mask.ndim == 2 and set(np.unique(mask)) <= {0, 1, 2, 255}

    path.write_bytes(whole)
    use()
    attack(150, lambda rng: path.write_bytes(mutate_bytes(whole, rng, head=120)), use, root=tmp_path, seed=kind)
