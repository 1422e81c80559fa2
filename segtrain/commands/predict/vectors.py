"""Vector files of one prediction: GeoJSON and GeoPackage, in the coordinates of the image if it has a georeference.

GeoJSON: RFC 7946, with the member `crs` of the GeoJSON specification of 2008, which GDAL and QGIS read and write for
other coordinate systems. GeoPackage: OGC 12-128r18, with the table layer_styles, in which QGIS stores styles.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from segtrain.commands.predict.polygons import Region, classes_drawn
from segtrain.errors import DataError, reason_of
from segtrain.files import explained_write, replacing
from segtrain.images.georeference import Georeference, Place
from segtrain.inference.task import Task

LAYER = "prediction"
AT_ONCE = 10_000  # regions that are kept in memory before they are written
FRACTION_DIGITS = 6  # of a pixel, in GeoJSON
WGS84 = 4326
NO_SYSTEM = 'LOCAL_CS["Undefined Cartesian SRS"]'  # in a GeoPackage, GDAL writes it as srs_id -1


def build_geojson(regions: Iterable[Region], task: Task, georeference: Georeference | None = None) -> Iterator[str]:
    """The text of a FeatureCollection with a Polygon for each region, in parts. The properties are `class`, `index`,
    `area_px` and, if the unit of the coordinate system is a length, `area_m2`; both areas are those of the pixels.
    Coordinates are those of the image's place, or else pixels rather than degrees."""
    place = georeference and georeference.place
    yield f'{{"type":"FeatureCollection",{_crs_member(place)}"features":['
    digits = _digits(place)
    names = classes_drawn(task)
    for number, region in enumerate(regions):
        rings = [_to_map(ring, place).round(digits).tolist() if place else ring.tolist() for ring in region.rings]
        feature = {
            "type": "Feature",
            "properties": {"class": names[region.index], **_numbers_of(region, place)},
            "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]] for ring in rings]},
        }
        yield ("," if number else "") + "\n" + json.dumps(feature, separators=(",", ":"))
    yield "\n]}\n"


def write_geojson(path: Path, regions: Iterable[Region], task: Task, georeference: Georeference | None) -> None:
    """Write the text of build_geojson. Raises DataError if the file cannot be written."""
    with explained_write(path), replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(build_geojson(regions, task, georeference))


def write_geopackage(
    path: Path, regions: Iterable[Region], task: Task, georeference: Georeference | None, *, image: Path
) -> None:
    """Write a layer of polygons with the columns of build_geojson and, for QGIS, the class colors. Raises DataError if
    the file cannot be written."""
    import pyogrio

    place = georeference and georeference.place
    waiting, names = iter(regions), classes_drawn(task)
    with explained_write(path), replacing(path) as temporary:
        temporary.unlink(missing_ok=True)  # of a process that was killed; GDAL would append to it
        temporary.touch()  # unlike GDAL, this says why a file cannot be written
        temporary.unlink()
        try:
            system = _system_of(place, image)
            chunk = list(islice(waiting, AT_ONCE))
            _add_polygons(temporary, chunk, names, place, system, append=False)
            while chunk := list(islice(waiting, AT_ONCE)):
                _add_polygons(temporary, chunk, names, place, system, append=True)
            _add_style(temporary, task)
        except (pyogrio.errors.CRSError, pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise DataError(f"{path}: cannot be written: {reason_of(error)}") from error


def _to_map(points: np.ndarray, place: Place | None) -> np.ndarray:
    """Points (N, 2) in pixels as coordinates, float64. Most images are mirrored by this, so points are reversed where
    needed: the outline of a region stays counterclockwise with y pointing up."""
    if place is None:
        return points.astype(np.float64)
    moved = points @ place.matrix[:, :2].T + place.matrix[:, 2]
    return moved[::-1] if np.linalg.det(place.matrix[:, :2]) < 0 else moved


def _numbers_of(region: Region, place: Place | None) -> dict[str, Any]:
    numbers: dict[str, Any] = {"index": region.index, "area_px": region.area_px}
    if place is not None and place.unit_m:
        pixel_m2 = abs(float(np.linalg.det(place.matrix[:, :2]))) * place.unit_m**2
        numbers["area_m2"] = float(f"{region.area_px * pixel_m2:.9g}")
    return numbers


def _digits(place: Place | None) -> int:
    """The decimal places that give coordinates to a millionth of a pixel."""
    if place is None:
        return 0
    smallest = min(np.hypot(*place.matrix[:, :2]))
    return max(FRACTION_DIGITS + math.ceil(-math.log10(smallest)), 0)


def _crs_member(place: Place | None) -> str:
    if place is None or not place.epsg:
        return ""
    # GDAL reads coordinates as x and y, whatever the axis order of the system; for WGS 84, CRS84 has that order.
    name = "OGC:1.3:CRS84" if place.epsg == WGS84 else f"EPSG::{place.epsg}"
    return f'"crs":{{"type":"name","properties":{{"name":"urn:ogc:def:crs:{name}"}}}},'


def _system_of(place: Place | None, image: Path) -> str:
    """The coordinate system in WKT: from its EPSG code or, if the image has a system without a code, as GDAL reads it.
    NO_SYSTEM for a code that EPSG does not have."""
    if place is None:
        return NO_SYSTEM
    import rasterio.crs
    import rasterio.errors

    try:
        if place.epsg:
            return rasterio.crs.CRS.from_epsg(place.epsg).to_wkt()
        with rasterio.open(image) as file:
            return file.crs.to_wkt() if file.crs else NO_SYSTEM
    except (rasterio.errors.RasterioError, rasterio.errors.CRSError):
        return NO_SYSTEM


def _add_polygons(
    path: Path, regions: Sequence[Region], names: dict[int, str], place: Place | None, system: str, *, append: bool
) -> None:
    import pyogrio
    import shapely

    rings = [_to_map(ring, place) for region in regions for ring in region.rings]
    lengths, owners = [len(ring) for ring in rings], [len(region.rings) for region in regions]
    points = np.concatenate([np.zeros((0, 2)), *rings])
    closed = shapely.linearrings(points, indices=np.repeat(np.arange(len(rings)), lengths))
    polygons = shapely.polygons(closed, indices=np.repeat(np.arange(len(regions)), owners))
    numbers = [_numbers_of(region, place) for region in regions]
    columns = {"class": np.array([names[region.index] for region in regions], object)}
    for name, dtype in (("index", np.int32), ("area_px", np.int64), ("area_m2", np.float64)):
        if name != "area_m2" or (place is not None and place.unit_m):
            columns[name] = np.array([row[name] for row in numbers], dtype)
    geometry = {"geometry": shapely.to_wkb(polygons), "geometry_type": "Polygon", "crs": system}
    data = {"field_data": list(columns.values()), "fields": list(columns)}
    pyogrio.raw.write(path, **geometry, **data, layer=LAYER, driver="GPKG", encoding="UTF-8", append=append)


def _add_style(path: Path, task: Task) -> None:
    """Add the class colors, in the table that QGIS reads when it opens the file."""
    import pyogrio

    style = {
        "f_table_catalog": "",
        "f_table_schema": "",
        "f_table_name": LAYER,
        "f_geometry_column": "geom",
        "styleName": "classes",
        "styleQML": _style_qml(task),
        "styleSLD": "",
    }
    columns = [*(np.array([text], object) for text in style.values()), np.array([True])]
    data = {"field_data": columns, "fields": [*style, "useAsDefault"]}
    pyogrio.raw.write(path, None, **data, layer="layer_styles", driver="GPKG", encoding="UTF-8")


def _style_qml(task: Task) -> str:
    """A categorized renderer of QGIS for the column `index`."""
    categories, symbols = [], []
    for number, (index, name) in enumerate(classes_drawn(task).items()):
        red, green, blue = task.name_colors[index]
        label = quoteattr(name)
        categories.append(f'<category value="{index}" symbol="{number}" label={label} render="true" type="long"/>')
        options = {"color": f"{red},{green},{blue},255", "style": "solid", "outline_color": "35,35,35,255"}
        options |= {"outline_style": "solid", "outline_width": "0.1", "outline_width_unit": "MM"}
        given = "".join(f'<Option name="{key}" type="QString" value="{value}"/>' for key, value in options.items())
        layer = f'<layer class="SimpleFill" enabled="1" pass="0"><Option type="Map">{given}</Option></layer>'
        symbols.append(f'<symbol name="{number}" type="fill" alpha="0.6">{layer}</symbol>')
    renderer = f"<categories>{''.join(categories)}</categories><symbols>{''.join(symbols)}</symbols>"
    head = '<!DOCTYPE qgis PUBLIC "http://mrcc.com/qgis.dtd" "SYSTEM">'
    return f'{head}<qgis styleCategories="Symbology"><renderer-v2 type="categorizedSymbol" attr="index">{renderer}' + (
        "</renderer-v2></qgis>"
    )
