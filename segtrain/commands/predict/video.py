"""Video files: frames in, overlays out."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from segtrain.commands.predict.pipeline import Source
from segtrain.errors import DataError
from segtrain.files import explained_write, temporary_name
from segtrain.inference.task import Task

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # it would explain broken files at length; read when first used

CODEC = "mp4v"  # MPEG-4 part 2, which every build of OpenCV writes
UNKNOWN_FPS = 25.0  # of files that do not say
MISSING_FRAMES = 2  # that the count in a header may be off, or one hundredth of it


@contextmanager
def _quiet() -> Iterator[None]:
    """What OpenCV logs about a file that it cannot open is said by us."""
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)


class VideoReader:
    """The frames of a video file in their order. Close it.

    `fps`; `size`, height and width; `count`, the frames that the file says it has, 0 where it does not. Raises
    DataError for a file without a frame, and for a task whose images are no pictures of 8 bits.
    """

    def __init__(self, path: Path, task: Task):
        self.path = path
        self.task = task
        if task.bands or task.channels not in (1, 3) or (task.scale or 0) > 255:
            raise DataError(f"{path}: a video has three channels of 8 bits, which are not the images of this model")
        with _quiet():
            self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        self._first = self._decode()
        if self._first is None:
            self.close()
            raise DataError(f"{path}: cannot be read as a video; is the file complete?")
        self.size = self._first.shape[:2]
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= 1000 else UNKNOWN_FPS
        self.count = max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        self.frames = 0
        self._ended = False

    def sources(self, name: Path) -> Iterator[Source]:
        """Frames as NAME/000000 and so on, to be read in this order, one at a time; the last may be past the end."""
        place = 0
        while not self._ended:
            frame = name / f"{place:06d}"
            yield Source(self.path, frame, frame.as_posix(), self.size, self._read)
            place += 1

    def missing(self) -> str | None:
        """A line about a file that ended early; None for one that did not."""
        if self.count - self.frames <= max(MISSING_FRAMES, self.count // 100):
            return None
        return f"{self.path}: ends after {self.frames} of {self.count} frames; is the file complete?"

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def _read(self) -> np.ndarray | None:
        pixels, self._first = (self._decode() if self._first is None else self._first), None
        if self._ended or pixels is None:
            self._ended = True
            return None
        self.frames += 1
        if pixels.shape[:2] != self.size:
            raise DataError(f"{self.path}: frame {self.frames - 1} is of another size than the first")
        if self.task.channels == 1:
            pixels = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
        return pixels if self.task.scale is None else pixels.astype(np.float32) / np.float32(self.task.scale)

    def _decode(self) -> np.ndarray | None:
        there, pixels = self._capture.read()
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if there else None


class VideoWriter:
    """An MP4 file that grows frame by frame, and is there under its name once it is finished.

    Of sides with an odd number of pixels the last row or column is left out, as the codec wants it. Raises DataError
    where it cannot be written.
    """

    def __init__(self, path: Path, *, fps: float, size: tuple[int, int]):
        self.path = path
        self.size = size
        self.frames = 0
        self._temporary = temporary_name(path)
        with explained_write(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._temporary.touch()
        code = cv2.VideoWriter_fourcc(*CODEC)
        with _quiet():
            self._writer = cv2.VideoWriter(str(self._temporary), cv2.CAP_FFMPEG, code, fps, (size[1], size[0]))
        if not self._writer.isOpened():
            self.discard()
            raise DataError(f"{path}: OpenCV cannot write a video of {size[1]} x {size[0]} pixels at {fps:g} fps here")

    def write(self, picture: np.ndarray) -> None:
        """Add a frame, HWC uint8 RGB of the size of the video."""
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def finish(self) -> None:
        """Close the file and give it its name. Raises DataError where its end could not be written: OpenCV says nothing
        about a full disk."""
        self._writer.release()
        with _quiet():
            written = cv2.VideoCapture(str(self._temporary), cv2.CAP_FFMPEG)
        frames = written.get(cv2.CAP_PROP_FRAME_COUNT) if written.isOpened() else 0
        written.release()
        if frames != self.frames:
            raise DataError(f"{self.path}: cannot be written as a whole; is the disk full?")
        with explained_write(self.path):
            self._temporary.replace(self.path)

    def discard(self) -> None:
        """Leave nothing behind."""
        self._writer.release()
        with suppress(OSError):
            self._temporary.unlink()
