"""Prediction job: images, videos and large TIFFs, predicted from files to files. Several processes share the inputs;
the first one writes the tables and has the complete report."""

from collections.abc import Container, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import compress
from pathlib import Path

import numpy as np
from tqdm import tqdm

from segtrain.commands.predict import raster
from segtrain.commands.predict.cvat import require_xml
from segtrain.commands.predict.movies import SUFFIX as MOVIE_SUFFIX
from segtrain.commands.predict.movies import Movie, find_movies, predict_movie
from segtrain.commands.predict.outputs import (
    DEFAULT,
    DEFAULTS,
    OF_FILES,
    Wanted,
    list_targets,
    require_output,
    require_vectors,
)
from segtrain.commands.predict.pipeline import THREADS, image_source, predict_stream
from segtrain.commands.predict.result import Result, file_name_of, list_suffixes
from segtrain.commands.predict.shaping import Shaping, explain_georeferences
from segtrain.commands.predict.submission import Sheet, plain_sheet, read_sheet
from segtrain.commands.predict.tables import build_tables
from segtrain.commands.predict.writer import Report, Writer, Written
from segtrain.distributed import rank, size
from segtrain.errors import ConfigError, DataError, is_out_of_memory, name_some
from segtrain.files import TooLongName
from segtrain.images.georeference import Georeference, read_georeference
from segtrain.images.reading import count_pictures, read_image
from segtrain.inference.inputs import is_video
from segtrain.inference.predictor import Predictor
from segtrain.inference.task import Task
from segtrain.inference.uncertainty import Meter

# The outputs of a TIFF that is predicted in rows.
IN_ROWS = ("index", "color", "overlay", "geojson", "geopackage")


def predict_files(predictor: Predictor, images: dict[Path, Path], output: Path, wanted: Wanted = DEFAULTS) -> Report:
    """Predict the images and videos that find_images returned. Write the wanted files for each, and manifest.csv.

    An image that cannot be predicted is listed in the report and in the manifest. Each video gets an overlay video,
    NAME_overlay.mp4, as does each folder of images with `wanted.fps`, FOLDER_overlay.mp4. Other files of their frames
    are written only if `wanted.kinds` is given. Files of earlier predictions stay in the folder, unless they have the
    same name as a new one; then they are replaced, and a note says so.

    Raises DataError if two images would write the same file, if the output folder has files but no manifest, if a
    sample submission does not fit and if something cannot be written. Raises ConfigError for outputs that a video or
    this model does not have.
    """
    require_output(output)
    _require_possible(predictor, images, wanted.kinds or (), ranked=wanted.ranked)
    movies = find_movies(images, with_folders=wanted.fps is not None)
    pictures = {path: name for path, name in images.items() if not is_video(path)}
    stills = pictures if wanted.fps is None else {}
    chosen = tuple(wanted.kinds or (DEFAULT if stills else ()))
    require_vectors(chosen, wanted.simplify_px)
    large, georeferences = _read_headers(stills)
    shaping = Shaping(wanted.min_area_px, wanted.simplify_px, georeferences)
    sheet, notes = _choose_sheet(images, chosen, wanted.sample, predictor.task)
    tables = build_tables(predictor.task, output, replace(wanted, kinds=chosen), sheet=sheet)
    targets = [(path, name, _suffixes(path, chosen, predictor.task, large, shaping)) for path, name in pictures.items()]
    targets += [(movie.path, movie.name, [MOVIE_SUFFIX]) for movie in movies]
    files = list_targets(targets, output=output, tables=[name for table in tables for name in table.files])
    listed = [path for path in images if chosen or tables or is_video(path)] + [movie.path for movie in movies]
    options = {"kinds": chosen, "tables": tables, "files": files, "with_uncertainty": wanted.ranked}
    writer = Writer(predictor.task, listed, output, **options)
    writer.report.notes += [*notes, *explain_georeferences(shaping.georeferences, chosen)]
    with writer.writing():
        _predict_stills(predictor, {path: stills[path] for path in _own(stills) if path not in large}, writer, shaping)
        for path in _own(path for path in stills if path in large):
            _predict_large(predictor, path, stills[path], writer, shaping)
        for movie in _own(movies):
            _predict_frames(predictor, movie, writer, shaping, fps=wanted.fps, with_files=bool(wanted.kinds or tables))
    return writer.report


def _require_possible(predictor: Predictor, images: dict[Path, Path], kinds: Sequence[str], *, ranked: bool) -> None:
    """Raises ConfigError for kinds that videos or the model do not have, and DataError for image names that are not
    allowed in XML."""
    if ranked and predictor.gives_labels:
        raise ConfigError("--rank needs probabilities, but a model gives only labels; export it without --labels")
    if "values" in kinds and predictor.task.mask_values is None:
        reason = "the model does not know the values of its masks, because it is an older export or not from segtrain"
        raise ConfigError(f"--save values: {reason}; export it again, or write --save index for class indices")
    of_files = [kind for kind in kinds if kind in OF_FILES]
    if of_files and (video := next(filter(is_video, images), None)):
        fix = f"extract them (ffmpeg -i {video.name} frames/%06d.png) and predict the folder"
        raise ConfigError(f"{video}: --save {of_files[0]} needs image files, but video frames are not files; {fix}")
    for path, name in images.items() if "cvat" in kinds else ():
        require_xml(file_name_of(path, name), what=f"{str(path)!a}")


def _read_headers(stills: Iterable[Path]) -> tuple[set[Path], dict[Path, Georeference]]:
    """The images that are too large for memory, and the georeferences of images that have one."""
    with ThreadPoolExecutor(THREADS) as readers:
        large = set(compress(stills, readers.map(raster.is_large, stills)))
        found = zip(stills, readers.map(read_georeference, map(str, stills)), strict=True)
        return large, {path: georeference for path, georeference in found if georeference is not None}


def _suffixes(path: Path, kinds: Sequence[str], task: Task, large: Container[Path], shaping: Shaping) -> list[str]:
    """The suffixes of the files of an image."""
    if path in large:  # its class indices are always written, with the class colors
        kinds = ["index", *(kind for kind in kinds if kind in IN_ROWS and kind not in ("index", "color"))]
    georeference = shaping.georeferences.get(path)
    return list_suffixes(kinds, task, in_tiff=path in large or bool(georeference and georeference.tags))


def _own(items: Iterable) -> list:
    """The items of this process, if there are several."""
    return list(items)[rank() :: size()]


def _choose_sheet(
    images: dict[Path, Path], kinds: Sequence[str], sample: Path | None, task: Task
) -> tuple[Sheet | None, list[str]]:
    """The wanted table of run lengths, if any, and notes about it."""
    if sample is None and "rle" not in kinds:
        return None, []
    if video := next(filter(is_video, images), None):
        raise ConfigError(f"{video}: a table of run lengths has rows for images only; predict videos without it")
    names = [file_name_of(path, name) for path, name in images.items()]
    if sample is None:
        return plain_sheet(names, task), []
    sheet = read_sheet(sample, names, task)
    asked = {image for image, _ in sheet.keys}
    missing = [name for name in names if name not in asked]
    note = f"{sample}: has no rows for {len(missing)} of {len(names)} images: {name_some(missing)}"
    return sheet, [note] if missing else []


def _predict_stills(predictor: Predictor, stills: dict[Path, Path], writer: Writer, shaping: Shaping) -> None:
    """Predict images as a whole."""
    notes: list[str] = []

    def read(path: Path) -> np.ndarray:
        image = read_image(path, **predictor.task.image_options)
        if (count := count_pictures(path)) > 1 and predictor.task.channels in (1, 3) and not predictor.task.bands:
            notes.append(
                f"{path}: contains {count} images, of which the first is predicted; save them as separate files"
            )
        return image

    def handle(result: Result) -> Written | DataError:
        try:
            shaped = shaping.apply(result)
        except DataError as error:
            return error
        return writer.handle(shaped)

    sources = (image_source(path, name, partial(read, path)) for path, name in stills.items())
    bar = tqdm(total=len(stills), desc="predicting", unit=" images", disable=True if rank() else None, leave=False)
    wanted = {"with_probabilities": writer.with_probabilities, "with_uncertainty": writer.with_uncertainty}
    stream = predict_stream(predictor, sources, handle, **wanted)
    with bar, closing(stream):
        for source, written in stream:
            writer.report.images += writer.add(source.path, written)
            bar.update()
    writer.report.notes += sorted(notes)


def _predict_frames(
    predictor: Predictor, movie: Movie, writer: Writer, shaping: Shaping, *, fps: float | None, with_files: bool
) -> None:
    """A video, or a folder that becomes one."""
    try:
        predict_movie(predictor, movie, writer, fps=fps, with_files=with_files, shaping=shaping)
    except TooLongName as error:
        writer.add(movie.path, error)


def _predict_large(predictor: Predictor, path: Path, name: Path, writer: Writer, shaping: Shaping) -> None:
    """A TIFF that is read and written in rows, always in tiles."""
    if predictor.options.tile_px is None:
        predictor = Predictor(predictor.networks, replace(predictor.options, tile_px=raster.TILE_PX))
        writer.report.notes.append(f"{path}: is large, so it is predicted in tiles, as with --tile {raster.TILE_PX}")
    if beyond := [kind for kind in writer.kinds if kind not in IN_ROWS]:
        writer.report.notes.append(f"{path}: is too large for {', '.join(beyond)}; see {name}.tif for its classes")
    options = {"kinds": writer.kinds, "shaping": shaping}
    options["meter"] = meter = Meter(predictor.task.mode) if writer.with_uncertainty else None
    try:
        size, files, shares = raster.predict_raster(predictor, path, writer.output / name, **options)
    except DataError as error:
        return writer.add(path, error)
    except ConfigError as error:
        return writer.add(path, DataError(f"{path}: is too large to be predicted without tiles: {error}"))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = "there is not enough memory, even with tiles; write a smaller --tile or --batch-size"
        return writer.add(path, DataError(f"{path}: {reason}"))
    names = [file.relative_to(writer.output).as_posix() for file in files]
    writer.report.images += 1
    writer.add_large(path, name, size, names, shares, uncertainty=meter and meter.uncertainty)
