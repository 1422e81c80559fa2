"""Videos and folders of frames: an overlay video of each."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from tqdm import tqdm

from segtrain.commands.predict.inputs import is_video
from segtrain.commands.predict.kinds import WITH_PROBABILITIES
from segtrain.commands.predict.outputs import Outputs, Written
from segtrain.commands.predict.pipeline import THREADS, Source, helping_threads, image_source, predict_stream
from segtrain.commands.predict.result import Result
from segtrain.commands.predict.video import VideoReader, VideoWriter
from segtrain.errors import DataError
from segtrain.images.reading import read_image
from segtrain.inference.predictor import Predictor

SUFFIX = "_overlay.mp4"


class Movie(NamedTuple):
    """A video file (`frames` is None) or a folder of frames in their order, file -> name of what is written for it.
    `name` is that of the overlay video, without SUFFIX."""

    path: Path
    name: Path
    frames: dict[Path, Path] | None


def find_movies(images: dict[Path, Path], *, with_folders: bool) -> list[Movie]:
    """The videos among images as find_images gives them; where asked, each folder of them too."""
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


def natural_order(name: str) -> list[tuple[int, str]]:
    """A key that sorts frame2 before frame10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)]


def predict_movie(predictor: Predictor, movie: Movie, outputs: Outputs, *, fps: float | None, with_files: bool) -> None:
    """Write the overlay video, `fps` frames a second where it is made from a folder; `with_files` also the kinds of
    `outputs` for each frame.

    Frames of a folder that cannot be predicted are left out, and noted; so is a file that ends early. Raises DataError
    where something cannot be written.
    """
    with ExitStack() as stack:
        if movie.frames is None:
            try:
                video = stack.enter_context(closing(VideoReader(movie.path, predictor.task)))
            except DataError as error:
                return outputs.add(movie.path, error)
            sources, total, fps, missing = video.sources(movie.name), video.count, video.fps, video.missing
        else:
            sources, total, missing = _frames(movie.frames, predictor), len(movie.frames), lambda: None
        target = outputs.output / f"{movie.name}{SUFFIX}"
        track = stack.enter_context(_Track(outputs, target, fps=fps, with_files=with_files))
        stream = predict_stream(
            predictor,
            sources,
            track.handle,
            with_probabilities=with_files and bool(WITH_PROBABILITIES & set(outputs.kinds)),
            readers=stack.enter_context(helping_threads(THREADS if movie.frames else 1, predictor.device)),
            writers=stack.enter_context(helping_threads(1, predictor.device)),
        )
        bar = tqdm(total=total or None, desc=movie.path.name, unit=" frames", disable=None, leave=False)
        with bar, closing(stream):
            for source, written in stream:
                bar.update()
                track.add(source, written)
        track.finish(movie.path, missing())


def _frames(frames: dict[Path, Path], predictor: Predictor) -> Iterator[Source]:
    for path, name in frames.items():
        yield image_source(path, name, partial(read_image, path, **predictor.task.image_options))


class _Track:
    """An overlay video on its way, and the sum of what its frames show. As a context it leaves nothing half written."""

    def __init__(self, outputs: Outputs, target: Path, *, fps: float, with_files: bool):
        self.outputs = outputs
        self.target = target
        self.fps = fps
        self.with_files = with_files
        self.writer: VideoWriter | None = None
        self.shares = np.zeros(len(outputs.task.names))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer:
            self.writer.discard()

    def handle(self, result: Result) -> Written | DataError:
        """Add a frame to the video; called for one after the other. Raises DataError where it cannot be written."""
        if self.writer is None:
            self.writer = VideoWriter(self.target, fps=self.fps, size=result.size)
        height, width = self.writer.size
        if result.size != (height, width):
            found = f"is {result.size[1]} x {result.size[0]} pixels, the video {width} x {height}"
            return DataError(f"{result.path}: {found}; frames of a video have one size")
        self.writer.write(result.overlay)
        self.shares += result.shares
        return self.outputs.handle(result) if self.with_files else []

    def add(self, source: Source, written: Written | DataError) -> None:
        """What came of a frame."""
        failed = isinstance(written, DataError)
        self.outputs.report.frames += not failed
        if failed or self.with_files:
            self.outputs.add(source.path, written)

    def finish(self, path: Path, missing: str | None) -> None:
        """Give the video its name and note it; `missing` says what it lacks."""
        if missing:
            self.outputs.report.failures.append(missing)
        if self.writer is None:
            return
        self.writer.finish()
        name = self.target.relative_to(self.outputs.output).as_posix()
        shares = self.shares / self.writer.frames
        self.outputs.manifest.add(path, self.writer.size, [name], shares, error=missing or "")
