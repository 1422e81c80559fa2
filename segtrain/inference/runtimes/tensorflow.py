"""TensorFlow's ways, which SavedModel and TFLite share: channels last, one signature, and talk that is silenced (also
OpenVINO's)."""

import io
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from torch import Tensor

SIGNATURE = "serving_default"  # what TensorFlow calls the one that a model is for


def to_channels_last(pixels: Tensor) -> Tensor:
    """(N, C, H, W) to (N, H, W, C); without channels as it is."""
    return pixels.permute(0, 2, 3, 1) if pixels.ndim == 4 else pixels


def to_channels_first(pixels: Tensor) -> Tensor:
    """(N, H, W, C) to (N, C, H, W); without channels as it is."""
    return pixels.permute(0, 3, 1, 2) if pixels.ndim == 4 else pixels


@contextmanager
def silent() -> Iterator[None]:
    """Without what TensorFlow's libraries write past Python to stdout and stderr, and without their own warnings.

    It is for the whole process: not for what runs beside other threads.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    try:
        with tempfile.TemporaryFile() as sink, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, number in zip(kept, (1, 2), strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
