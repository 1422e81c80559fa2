"""From files to files: images, videos and large TIFFs through a Predictor."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from segtrain.data.reading import read_image
from segtrain.errors import ConfigError, DataError
from segtrain.infer import Predictor
from segtrain.prediction import raster
from segtrain.prediction.files import file_name_of, is_video, refuse_clashes
from segtrain.prediction.kinds import DEFAULT, WITH_PROBABILITIES
from segtrain.prediction.movies import SUFFIX as MOVIE_SUFFIX
from segtrain.prediction.movies import find_movies, predict_movie
from segtrain.prediction.outputs import Outputs, Report
from segtrain.prediction.pages import count_pictures
from segtrain.prediction.pipeline import THREADS, Source, image_source, predict_stream
from segtrain.prediction.result import list_suffixes
from segtrain.prediction.submission import Sheet, name_unasked, plain_sheet, read_sample
from segtrain.task import Task

IN_ROWS = ("index", "color", "overlay")  # what a TIFF that is predicted in rows can be written as


def predict_files(
    predictor: Predictor,
    images: dict[Path, Path],
    output: Path,
    *,
    kinds: Sequence[str] | None = None,
    sample: Path | None = None,
    fps: float | None = None,
) -> Report:
    """Predict images and videos as find_images gives them; write `kinds` (kinds.KINDS) for each, and manifest.csv.

    An image that cannot be predicted is noted in the report and in the manifest. Videos become NAME_overlay.mp4, and
    with `fps` so do folders of images, FOLDER_overlay.mp4; of their frames `kinds` are written only where given.

    Args:
        kinds: None is DEFAULT for images and nothing for frames.
        sample: a sample submission; rle.csv is written as it asks for.
        fps: frames in a second of the videos that folders become; None takes images one by one.

    Raises DataError where two images would write one file, for a sample that does not fit and where something cannot be
    written, and ConfigError for a table of runs that a video would have to be in.
    """
    movies = find_movies(images, with_folders=fps is not None)
    pictures = {path: name for path, name in images.items() if not is_video(path)}
    stills = pictures if fps is None else {}
    chosen = tuple(kinds or (DEFAULT if stills else ()))
    targets = [(path, output / name, list_suffixes(chosen, predictor.task)) for path, name in pictures.items()]
    refuse_clashes(targets + [(movie.path, output / movie.name, [MOVIE_SUFFIX]) for movie in movies])
    sheet, notes = _choose_sheet(images, chosen, sample, predictor.task)
    outputs = Outputs(predictor.task, images, output, kinds=chosen, sheet=sheet)
    outputs.report.notes += notes
    with outputs:
        for path, name in _predict_stills(predictor, stills, outputs).items():
            _predict_large(predictor, path, name, outputs)
        for movie in movies:
            predict_movie(predictor, movie, outputs, fps=fps, with_files=bool(kinds or sheet))
    return outputs.report


def _choose_sheet(
    images: dict[Path, Path], kinds: Sequence[str], sample: Path | None, task: Task
) -> tuple[Sheet | None, list[str]]:
    """The table of runs that is asked for, and what is to be said about it."""
    if sample is None and "rle" not in kinds:
        return None, []
    if video := next(filter(is_video, images), None):
        raise ConfigError(f"{video}: a table of runs has a row for each image, and a video none; predict them apart")
    names = [file_name_of(path, name) for path, name in images.items()]
    if sample is None:
        return plain_sheet(names, task), []
    sheet = read_sample(sample, names, task)
    note = name_unasked(sample, sheet, names)
    return sheet, [note] if note else []


def _predict_stills(predictor: Predictor, stills: dict[Path, Path], outputs: Outputs) -> dict[Path, Path]:
    """Predict images one by one; those that are too large for that come back."""
    large: dict[Path, Path] = {}
    notes: list[str] = []

    def read(path: Path) -> np.ndarray:
        image = read_image(path, **predictor.task.image_options)
        if (count := count_pictures(path)) > 1 and predictor.task.channels in (1, 3) and not predictor.task.bands:
            notes.append(f"{path}: holds {count} pictures, the first is predicted; save them one by one for all")
        return image

    def sources() -> Iterator[Source]:
        for path, name in stills.items():
            if raster.is_large(path):
                large[path] = name
            else:
                yield image_source(path, name, partial(read, path))

    with ThreadPoolExecutor(THREADS) as readers, ThreadPoolExecutor(THREADS) as writers:
        wanted = bool(WITH_PROBABILITIES & set(outputs.kinds))
        stream = predict_stream(
            predictor, sources(), outputs.handle, with_probabilities=wanted, readers=readers, writers=writers
        )
        bar = tqdm(total=len(stills), desc="predicting", unit=" images", disable=None, leave=False)
        with bar, closing(stream):
            for source, written in stream:
                outputs.report.images += not isinstance(written, DataError)
                outputs.add(source.path, written)
                bar.update()
    outputs.report.notes += sorted(notes)
    return large


def _predict_large(predictor: Predictor, path: Path, name: Path, outputs: Outputs) -> None:
    """A TIFF that is read and written in rows, always in tiles."""
    if predictor.options.tile_px is None:
        predictor = Predictor(predictor.networks, replace(predictor.options, tile_px=raster.TILE_PX))
        outputs.report.notes.append(f"{path}: large, so predicted in tiles as with --tile {raster.TILE_PX}")
    if beyond := [kind for kind in outputs.kinds if kind not in IN_ROWS]:
        outputs.report.notes.append(f"{path}: too large for {', '.join(beyond)}; {name}.tif holds its classes")
    with_overlay = "overlay" in outputs.kinds
    try:
        done = raster.predict_raster(predictor, path, outputs.output / name, with_overlay=with_overlay)
    except DataError as error:
        return outputs.add(path, error)
    files = [file.relative_to(outputs.output).as_posix() for file in done.files]
    outputs.report.images += 1
    outputs.manifest.add(path, (done.height, done.width), files, done.counts / (done.height * done.width))
