"""Demo datasets: street scenes, and orthophotos of towns, that are drawn, not downloaded.

Labels are exact, as every shape is painted on image and mask by one call. In the street scenes the class road includes
sidewalks and curbs, tree its trunk, pole lamps and signs with what they carry. The hood of the camera's car, litter
bins and a line around poles and people belong to no class: 255.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import tifffile

from segtrain.commands.demo import street
from segtrain.commands.demo.painter import Painter, develop, draw_sky
from segtrain.commands.demo.town import PIXEL_M, draw_town
from segtrain.errors import DataError
from segtrain.files import workshop

DRAWING = 2  # goes up with every change of what is drawn, so that an older set is not taken for this one
Thing = tuple[float, Callable[[Painter], None]]  # how far ahead its far end is, in meters, and what draws it


def draw_scene(rng: np.random.Generator, height: int = 192, width: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """A street scene: image, (height, width, 3) uint8 RGB, and mask, (height, width) uint8, 0..6 or 255."""
    painter = Painter(rng, height, width)
    kerb_m = rng.uniform(3.8, 6.5)
    things, shadows = [], []
    for side in (-1, 1):
        place_buildings(painter, side, kerb_m + rng.uniform(2.6, 5.5), things, shadows)
        place_furniture(painter, side, kerb_m, things, shadows)
        place_traffic(painter, side, kerb_m, things, shadows)
    draw_sky(painter)
    street.draw_skyline(painter)
    street.draw_ground(painter, kerb_m, shadows)
    for _, draw in sorted(things, key=lambda thing: -thing[0]):
        draw(painter)
    if rng.random() < 0.18:
        street.draw_bonnet(painter)
    return develop(painter)


def cast_shadow(painter: Painter, left: float, right: float, near: float, far: float, height_m: float) -> np.ndarray:
    """The outline on the ground, (8, 3) in meters, of a box and its shadow."""
    foot = np.array([[left, 0, near], [right, 0, near], [right, 0, far], [left, 0, far]])
    return np.concatenate([foot, foot + painter.sun * height_m])


def place_buildings(painter: Painter, side: int, front_m: float, things: list[Thing], shadows: list) -> None:
    """A row of houses with gaps between some of them."""
    rng = painter.rng
    near, storeys = rng.uniform(0, 6), rng.uniform(1.6, 5)
    while near < 80:
        far = near + rng.uniform(8, 22)
        height_m = 3.2 * max(1, round(storeys + rng.normal(0, 1))) + rng.uniform(0.3, 1)
        setback_m = front_m + max(0, rng.normal(0, 1.2))
        draw = partial(street.draw_building, side=side, front_m=setback_m, near=near, far=far, height_m=height_m)
        things.append((far, draw))
        shadows.append(cast_shadow(painter, side * setback_m, side * (setback_m + 8), near, far, height_m * 0.7))
        near = far + (rng.uniform(3, 12) if rng.random() < 0.35 else 0)


def place_furniture(painter: Painter, side: int, kerb_m: float, things: list[Thing], shadows: list) -> None:
    """Trees, poles and litter bins along the kerb."""
    rng = painter.rng
    edge = side * (kerb_m + 0.7)
    if rng.random() < 0.62:
        spacing_m, tree_m = rng.uniform(9, 20), rng.uniform(4.5, 8.5)
        for z in np.arange(rng.uniform(7, 16), 60, spacing_m) + rng.normal(0, 1, 1):
            height_m = tree_m * rng.uniform(0.8, 1.2)
            things.append((z, partial(street.draw_tree, x=edge + side * 0.4, z=z, height_m=height_m)))
            canopy = cast_shadow(painter, edge - 1, edge + 1, z - 1, z + 1, height_m * 0.6)
            shadows.append(canopy[4:] + (canopy[:4] - canopy[:4].mean(axis=0)) * 0.6)
    for z in np.arange(rng.uniform(7, 15), 20, rng.uniform(8, 14)):
        kind = rng.choice(["lamp", "light", "sign"], p=[0.5, 0.2, 0.3])
        things.append((z, partial(street.draw_pole, x=edge, z=z, kind=kind)))
        shadows.append(cast_shadow(painter, edge - 0.08, edge + 0.08, z, z + 0.16, 5))
    if rng.random() < 0.4:
        z = rng.uniform(5, 20)
        things.append((z, partial(street.draw_bin, x=edge + side * 0.5, z=z)))


def place_traffic(painter: Painter, side: int, kerb_m: float, things: list[Thing], shadows: list) -> None:
    """Parked and moving cars on one half of the road, people on its pavement and now and then on the road."""
    rng = painter.rng
    parked, moving = side * (kerb_m - 1.1), side * max(kerb_m * 0.34, 1.3)
    lanes = [(parked, rng.uniform(5, 14), 0.6)] if kerb_m > 4.6 else []
    for x, first, density in [*lanes, (moving, rng.uniform(7, 18), 0.4)]:
        for z in np.arange(first, 30, 7.0):
            if rng.random() < density:
                draw = partial(street.draw_car, x=x + rng.normal(0, 0.12), z=z, oncoming=side < 0)
                things.append((z, draw))
                shadows.append(cast_shadow(painter, x - 0.9, x + 0.9, z, z + 4.3, 1.0))
    for _ in range(rng.poisson(3.2)):
        on_road = rng.random() < 0.15
        x = side * (rng.uniform(0, kerb_m) if on_road else kerb_m + rng.uniform(0.5, 2.5))
        z = rng.uniform(5, 10)
        things.append((z, partial(street.draw_person, x=x, z=z)))
        shadows.append(cast_shadow(painter, x - 0.15, x + 0.15, z - 0.1, z + 0.1, 1.7))


def draw_demo(
    root: Path, *, train: int = 160, val: int = 40, height: int = 192, width: int = 256, seed: int = 0
) -> None:
    """Draw street scenes: root/{train,val}/{images,masks}/0000.png, ...; masks hold class indices, 255 ignored.

    A scene depends on seed, split and index alone. Raises DataError as draw_once does.
    """
    contents = f"{train} train, {val} val scenes, {width} x {height}, seed {seed}, drawing {DRAWING}\n"
    scenes = [("train", 0, index) for index in range(train)] + [("val", 1, index) for index in range(val)]

    def draw(folder: Path) -> None:
        for name, split, index in scenes:
            image, mask = draw_scene(np.random.default_rng([seed, split, index]), height, width)
            write_png(folder / name / "images" / f"{index:04d}.png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            write_png(folder / name / "masks" / f"{index:04d}.png", mask)

    files = [f"{name}/{kind}/{index:04d}.png" for name, _, index in scenes for kind in ("images", "masks")]
    draw_once(root, contents, files, draw)


def draw_town_set(root: Path, *, labeled: int = 8, side: int = 640, seed: int = 0) -> None:
    """Draw orthophotos of towns as GeoTIFFs: root/images/town0.tif, ..., their masks of 0 and 255 in root/masks, and
    one of twice the width without a mask in root/new.

    Raises DataError as draw_once does.
    """
    contents = f"{labeled} towns, {side} x {side}, seed {seed}, drawing {DRAWING}\n"
    pairs = [(f"images/town{index}.tif", f"masks/town{index}.tif") for index in range(labeled)]
    new = f"new/town{labeled}.tif"

    def draw(folder: Path) -> None:
        for index, (image_file, mask_file) in enumerate(pairs):
            image, mask = draw_town(np.random.default_rng([seed, index]), side, side)
            write_ortho(folder / image_file, image, index)
            write_ortho(folder / mask_file, mask, index)
        write_ortho(folder / new, draw_town(np.random.default_rng([seed, labeled]), side, 2 * side)[0], labeled)

    draw_once(root, contents, [*(file for pair in pairs for file in pair), new], draw)


def draw_once(root: Path, contents: str, files: list[str], draw: Callable[[Path], None]) -> None:
    """Have a set drawn into a folder that appears as root when it is complete. One that was drawn before with the same
    contents, which root/demo.txt states, is left as it is.

    Raises DataError where root is anything else, or cannot be written.
    """
    root = Path(root)
    if not root.exists():
        try:
            root.parent.mkdir(parents=True, exist_ok=True)
            with workshop(root, beside=root.parent) as folder:
                draw(folder / "set")
                (folder / "set" / "demo.txt").write_text(contents)
                os.rename(folder / "set", root)
        except OSError as error:
            if not root.exists():  # else another process was quicker
                raise DataError(f"{root}: the demo dataset cannot be written there: {error}") from error
    note = root / "demo.txt"
    if not (note.is_file() and note.read_text() == contents and all((root / file).is_file() for file in files)):
        what = f"exists and is not this demo dataset ({contents.strip()})"
        raise DataError(f"{root}: {what}; move it elsewhere or choose another folder")


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write HW or HWC pixels, colors as BGR. Encoded and written apart: on a full disk cv2.imwrite returns False,
    write_bytes says why."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


def write_ortho(path: Path, pixels: np.ndarray, index: int) -> None:
    """Write HW or HWC RGB pixels as a tiled GeoTIFF in UTM zone 33 north (EPSG:32633), each index in another place.

    The tags are those of the GeoTIFF standard, https://docs.ogc.org/is/19-008r4/19-008r4.html: ModelPixelScale,
    ModelTiepoint, and GeoKeyDirectory with GTModelType projected, GTRasterType area, ProjectedCRS, meters."""
    path.parent.mkdir(parents=True, exist_ok=True)
    corner = (0.0, 0.0, 0.0, 390_000.0 + 1000 * index, 5_820_000.0, 0.0)
    keys = (1, 1, 0, 4, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633, 3076, 0, 1, 9001)
    tags = [
        (33550, "d", 3, (PIXEL_M, PIXEL_M, 0.0), True),
        (33922, "d", 6, corner, True),
        (34735, "H", len(keys), keys, True),
    ]
    photometric = "rgb" if pixels.ndim == 3 else "minisblack"
    options = {"tile": (256, 256), "compression": "deflate", "metadata": None, "extratags": tags}
    tifffile.imwrite(path, pixels, photometric=photometric, **options)
