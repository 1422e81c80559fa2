"""Movies: videos and folders of frames, and an overlay video of each."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from segtrain.commands.predict.pipeline import THREADS, ImageSource, image_source, predict_stream
from segtrain.commands.predict.result import Result
from segtrain.commands.predict.shaping import Shaping
from segtrain.commands.predict.writer import Writer, Written
from segtrain.errors import DataError
from segtrain.files import explained_write, natural_order, replacing
from segtrain.images.reading import read_image
from segtrain.inference.inputs import is_video
from segtrain.inference.predictor import Predictor
from segtrain.inference.task import Task

os.environ.setdefault(
    "OPENCV_FFMPEG_LOGLEVEL", "-8"
)  # otherwise it prints details about broken files; read at first use

SUFFIX = "_overlay.mp4"
CODEC = "mp4v"  # MPEG-4 part 2, which every build of OpenCV writes
UNKNOWN_FPS = 25.0  # for files that do not say
MISSING_FRAMES = 2  # the count in a header may be too large by so many frames, or by 1 %


class Movie(NamedTuple):
    """A video file (`frames` is None), or a folder of frames: `frames` maps each file, in order, to the name of its
    outputs. `name` is the name of the overlay video without SUFFIX."""

    path: Path
    name: Path
    frames: dict[Path, Path] | None


def find_movies(images: dict[Path, Path], *, with_folders: bool) -> list[Movie]:
    """The videos among the results of find_images and, with `with_folders`, each folder of images."""
    movies = [Movie(path, name, None) for path, name in images.items() if is_video(path)]
    folders: dict[Path, dict[Path, Path]] = {}
    for path, name in images.items():
        if with_folders and not is_video(path):
            folders.setdefault(path.parent, {})[path] = name
    for folder, frames in folders.items():
        ordered = dict(sorted(frames.items(), key=lambda item: natural_order(item[0].name)))
        own_name = next(iter(frames.values())).parent.parent / folder.resolve().name
        movies.append(Movie(folder, own_name, ordered))
    return movies


def predict_movie(
    predictor: Predictor, movie: Movie, writer: Writer, *, fps: float | None, with_files: bool, shaping: Shaping
) -> None:
    """Write the overlay video, with `fps` frames per second if it is made from a folder, and with `with_files` also the
    kinds of `writer` for each frame. All of them show the frames after `shaping`.

    Frames of a folder that cannot be predicted are skipped and reported, as is a video file that is truncated. Raises
    DataError if something cannot be written.
    """
    with ExitStack() as stack:
        if movie.frames is None:
            try:
                video = VideoReader(movie.path, predictor.task)
            except DataError as error:
                return writer.add(movie.path, error)
            sources, total, fps, missing = video.sources(movie.name), video.count, video.fps, video.missing
        else:
            options, total, missing = predictor.task.image_options, len(movie.frames), lambda: None
            frames = movie.frames.items()
            sources = (image_source(path, name, partial(read_image, path, **options)) for path, name in frames)
        track = _Track(writer, f"{movie.name.as_posix()}{SUFFIX}", fps, with_files, stack)
        stream = predict_stream(
            predictor,
            sources,
            lambda result: track.handle(shaping.apply(result)),
            with_probabilities=writer.with_probabilities,
            with_uncertainty=writer.with_uncertainty,
            readers=THREADS if movie.frames else 1,
            writers=1,
        )
        bar = tqdm(total=total or None, desc=movie.path.name, unit=" frames", disable=None, leave=False)
        with bar, closing(stream):
            for source, written in stream:
                bar.update()
                writer.report.frames += writer.add(source.path, written)
        reason = missing()
    if reason:
        writer.report.failures.append(reason)
    if track.frames:
        writer.manifest.add(movie.path, track.size, [track.name], track.shares / track.frames, error=reason or "")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence OpenCV's log: the errors below say the same."""
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)


class VideoReader:
    """The frames of a video file in order. The file is closed when the reader is garbage-collected.

    `fps` are the frames per second, `size` is height and width, `count` the number of frames in the header, 0 if it has
    none. Raises DataError for a file without frames, and for a task whose images are not 8-bit pictures.
    """

    def __init__(self, path: Path, task: Task):
        self.path = path
        self.task = task
        if task.bands or task.channels not in (1, 3) or (task.scale or 0) > 255:
            raise DataError(f"{path}: this model needs other images than a video has, which are RGB in 8 bits")
        with _quiet():
            self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        self._first = self._decode()
        if self._first is None:
            raise DataError(f"{path}: cannot be read as a video; is the file complete?")
        self.size = self._first.shape[:2]
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= 1000 else UNKNOWN_FPS
        self.count = max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        self.frames = 0
        self._ended = False

    def sources(self, name: Path) -> Iterator[ImageSource]:
        """Frames named NAME/000000 and so on, to be read in this order, one at a time. The last may be past the end."""
        index = 0
        while not self._ended:
            yield ImageSource(self.path, name / f"{index:06d}", self.size, self._read)
            index += 1

    def missing(self) -> str | None:
        """An error message if the file is truncated, otherwise None."""
        if self.count - self.frames <= max(MISSING_FRAMES, self.count // 100):
            return None
        return f"{self.path}: ends after {self.frames} of {self.count} frames; is the file complete?"

    def _read(self) -> np.ndarray | None:
        pixels, self._first = (self._decode() if self._first is None else self._first), None
        self._ended = pixels is None
        if self._ended:
            return None
        self.frames += 1
        if pixels.shape[:2] != self.size:
            raise DataError(f"{self.path}: frame {self.frames - 1} has another size than the first frame")
        if self.task.channels == 1:
            pixels = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
        return pixels if self.task.scale is None else pixels.astype(np.float32) / np.float32(self.task.scale)

    def _decode(self) -> np.ndarray | None:
        there, pixels = self._capture.read()
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if there else None


@dataclass
class _Track:
    """An overlay video that is being written, and the sum of the class shares of its frames. `stack` closes it; the
    file gets its name when the stack ends without an error."""

    writer: Writer
    name: str
    fps: float
    with_files: bool
    stack: ExitStack
    frames: int = 0
    size: tuple[int, int] = (0, 0)
    shares: NDArray | float = 0.0
    video: cv2.VideoWriter | None = None

    def handle(self, result: Result) -> Written | DataError:
        """Add the next frame to the video. Raises DataError if it cannot be written."""
        if self.video is None:
            self.size = result.size
            self.video = self.stack.enter_context(self._writing(self.writer.output / self.name))
        height, width = self.size
        if result.size != self.size:
            found = f"is {result.size[1]} x {result.size[0]} pixels, but the video is {width} x {height}"
            return DataError(f"{result.path}: {found}; resize it to that size")
        self.video.write(cv2.cvtColor(result.overlay, cv2.COLOR_RGB2BGR))
        self.frames += 1
        self.shares += result.shares
        return self.writer.handle(result) if self.with_files else []

    @contextmanager
    def _writing(self, path: Path) -> Iterator[cv2.VideoWriter]:
        """An MP4 file. The codec drops the last row or column if their number is odd. OpenCV does not report a full
        disk, so the frames are counted at the end."""
        height, width = self.size
        with explained_write(path), replacing(path) as temporary:
            temporary.touch()  # unlike OpenCV, this says why a file cannot be written
            code = cv2.VideoWriter_fourcc(*CODEC)
            with _quiet():
                video = cv2.VideoWriter(str(temporary), cv2.CAP_FFMPEG, code, self.fps, (width, height))
            if not video.isOpened():
                raise DataError(f"{path}: OpenCV cannot write a video of {width} x {height} pixels at {self.fps:g} fps")
            try:
                yield video
            finally:
                video.release()
            with _quiet():
                written = cv2.VideoCapture(str(temporary), cv2.CAP_FFMPEG)
            frames = written.get(cv2.CAP_PROP_FRAME_COUNT) if written.isOpened() else 0
            written.release()
            if frames != self.frames:
                raise DataError(f"{path}: could not be written completely; is the disk full?")
