"""Shaping of a prediction before it is written: pixels without data, small regions, simplified outlines."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from segtrain.commands.predict.geotiff import no_class
from segtrain.commands.predict.result import Result
from segtrain.commands.predict.sieve import sieve_labels
from segtrain.errors import DataError, name_some, reason_of
from segtrain.images.bands import read_nodata
from segtrain.images.georeference import Georeference
from segtrain.inference.task import Task

IN_THE_IMAGE = frozenset({"geojson", "geopackage"})  # kinds whose coordinates are those of the image


@dataclass(frozen=True)
class Shaping:
    """What is done to each result.

    `min_area_px` is the smallest allowed number of pixels in a region, see sieve_labels. `simplify_px` is how far
    outlines may move, see simplify_rings. `georeferences` are those of the images that have one.
    """

    min_area_px: int = 0
    simplify_px: float = 0.0
    georeferences: Mapping[Path, Georeference] = field(default_factory=dict)

    def apply(self, result: Result) -> Result:
        """The shaped result. Raises DataError if the image file cannot be read again."""
        georeference, nodata = self.georeferences.get(result.path), None
        if georeference is not None:
            nodata = _read_nodata(result.path, result.task)
        labels = result.labels
        if self.min_area_px > 1:
            labels = sieve_labels(labels, self.min_area_px, nodata=nodata)
        if nodata is not None:
            labels = hide_nodata(labels, nodata, result.task)
        shaped = {"labels": labels, "nodata": nodata, "georeference": georeference, "simplify_px": self.simplify_px}
        return replace(result, **shaped)


def hide_nodata(labels: np.ndarray, nodata: np.ndarray, task: Task) -> np.ndarray:
    """The labels of a PredictedImage, with no class where `nodata`, bool HW, is true."""
    if labels.ndim == 3:
        return labels * ~nodata
    value = no_class(task)
    hidden = labels.astype(labels.dtype if value < 256 else np.int32)  # a copy
    hidden[nodata] = value
    return hidden


def _read_nodata(path: Path, task: Task) -> np.ndarray | None:
    try:
        return read_nodata(str(path), channels=task.channels, bands=task.bands)
    except (OSError, ValueError, RuntimeError, LookupError) as error:
        raise DataError(f"{path}: cannot be read again to find its pixels without data: {reason_of(error)}") from error


def explain_georeferences(found: Mapping[Path, Georeference], kinds: Iterable[str]) -> list[str]:
    """Notes about images whose outputs are not located as a user might expect, one for each reason."""
    vectors = not IN_THE_IMAGE.isdisjoint(kinds)
    paths: dict[str, list[str]] = {}
    for path, georeference in found.items():
        place, fault = georeference.place, georeference.fault
        if not georeference.tags:
            reason = f"the georeference cannot be used ({fault}); class indices are written as PNG, outlines in pixels"
        elif not vectors:
            continue
        elif place is None:
            reason = f"the georeference is not a grid ({fault}); outlines are in pixels; use gdalwarp to make a grid"
        elif not place.epsg:
            reason = "the georeference has no EPSG code; outlines use its coordinates, and GeoJSON names no system"
        elif not place.unit_m:
            reason = f"EPSG:{place.epsg} is not in meters or feet, as far as the file says; outlines have no area_m2"
        else:
            continue
        paths.setdefault(reason, []).append(str(path))
    return [f"{name_some(names)}: {reason}" for reason, names in paths.items()]
