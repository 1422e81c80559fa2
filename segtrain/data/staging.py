"""Copies of images and masks on a fast disk: `data.cache: folder`."""

import os
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from segtrain.data.dataset import read_sample
from segtrain.data.labels import Decoder
from segtrain.errors import DataError
from segtrain.files import container_of, explained_write, read_content, replacing, split_window, window_path
from segtrain.formats.sample import Sample


class Staging:
    """Reads samples from copies of their files, which are made at the first read. A file that changes is copied again;
    masks in annotation files are not copied."""

    def __init__(self, folder: Path):
        self.folder = folder

    def read(self, sample: Sample, decoder: Decoder, image_options: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """The image and mask as from read_sample. Raises DataError with the original file, and if the folder cannot be
        written."""
        originals = [sample.image, *([] if "\t" in sample.mask else filter(None, sample.mask.split("\n")))]
        copies = {original: self._copy(original) for original in originals}
        mask = "\n".join(copies.get(file, file) for file in sample.mask.split("\n"))
        try:
            return read_sample(sample._replace(image=copies[sample.image], mask=mask), decoder, image_options)
        except DataError as error:
            text = str(error)
            for original, copy in copies.items():
                text = text.replace(copy, original)
            raise DataError(text) from error

    def _copy(self, path: str) -> str:
        path, window = split_window(path)
        copy = self._copy_whole(path)
        return copy if window is None else window_path(copy, window)

    def _copy_whole(self, path: str) -> str:
        try:
            state = os.stat(container_of(path))
            text = f"{os.path.abspath(path)}:{state.st_size}:{state.st_mtime_ns}"
            digest = blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
            copy = self.folder / digest[:3] / f"{digest[3:]}{os.path.splitext(path)[1]}"
            if copy.exists():
                return str(copy)
            content = read_content(path)
        except OSError:
            return path  # which is told when it is read
        with explained_write(copy), replacing(copy, shared=True) as temporary:
            temporary.write_bytes(content)
        return str(copy)
