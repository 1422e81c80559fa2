"""Planted datasets: a small clean set, what is found in it, and the fixes done to it."""

from pathlib import Path

import numpy as np
from PIL import Image

from segtrain.commands.check.command import FIXES, find_all
from segtrain.commands.check.dataset_report import DatasetReport, gather
from segtrain.commands.check.finding import Finding
from segtrain.commands.check.fixes import make_change
from segtrain.commands.check.source import Source, from_experiment, from_folders
from tests.conftest import draw_sample

# Behind the shipped config.yml, which a test reads from the project's folder.
CLEAN = [
    "data.classes=[sky, road, car]",
    "transforms.train=[{RandomCrop: {height: 64, width: 64}}]",
    "loss={CrossEntropyLoss: 1.0}",
]


def draw_clean(root: Path, *, train: int = 8, val: int = 4) -> Path:
    """train/ and val/, each with images/NNN.png and masks/NNN.png of 80 x 64: blocks of 16 pixels of values 0, 1, 2,
    and two rows of 255."""
    for split, count in (("train", train), ("val", val)):
        for index in range(count):
            draw_sample(root / split, f"{index:03d}", seed=1000 * (split == "val") + index)
    return root


def look_at(source: Source) -> tuple[DatasetReport, list[Finding]]:
    report = gather(source)
    return report, find_all(report)


def look(root: Path, *overrides: str) -> list[Finding]:
    """The findings about the experiment CLEAN with this root."""
    return look_at(from_experiment([f"data.root={root}", *CLEAN, *overrides]))[1]


def look_at_folders(images: Path | str, masks: Path | str) -> list[Finding]:
    return look_at(from_folders(str(images), str(masks)))[1]


def shown(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.level, finding.title) for finding in findings]


def lines(finding: Finding) -> list[str]:
    assert finding.fix is not None
    return list(finding.fix.lines)


def class_lines(finding: Finding) -> list[str]:
    """The classes that a finding writes, without comments, and what follows them."""
    section, key, *classes = lines(finding)
    assert (section, key) == ("data:", "  classes:")
    return [line.partition("   #")[0].strip().removeprefix("- ") for line in classes]


def save_turned(picture: Image.Image, path: Path, orientation: int, **options: object) -> None:
    """Save a picture with an orientation in its EXIF."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(path, exif=exif, **options)


def run_fix(finding: Finding) -> None:
    """Do what `check --apply` with the name of the finding's fix does."""
    assert finding.fix is not None and finding.fix.name in FIXES
    for change in finding.fix.changes:
        make_change(change)


def set_aside(finding: Finding) -> tuple[str, list[Path]]:
    """The name of the fix, and the files that it takes out."""
    assert finding.fix.name in FIXES and all(change.edit is None for change in finding.fix.changes)
    return finding.fix.name, [Path(change.file) for change in finding.fix.changes]


def read(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def write(path: Path, array: np.ndarray, **options: object) -> None:
    Image.fromarray(np.asarray(array, np.uint8)).save(path, **options)


COLORS = np.array([[200, 30, 40], [30, 180, 60], [40, 60, 220]], np.uint8)
NAMES = ["sky", "road", "car"]
COLORED = [f"{{name: {name}, color: {color.tolist()}}}" for name, color in zip(NAMES, COLORS, strict=True)]


def change(root, function, *, splits=("train", "val"), names="*.png", suffix=".png", **options):
    """Every mask becomes function(mask)."""
    for split in splits:
        for path in sorted((root / split / "masks").glob(names)):
            changed = function(read(path))
            path.unlink()
            write(path.with_suffix(suffix), changed, **options)


def to_colors(mask):
    return np.vstack([COLORS, np.zeros((253, 3), np.uint8)])[mask]


def discs(root, *, size=160):
    """Larger masks of three discs, so that edges have few of the pixels; images to match."""
    for split in ("train", "val"):
        for index, path in enumerate(sorted((root / split / "masks").glob("*.png"))):
            rng = np.random.default_rng(index + 100 * (split == "val"))
            rows, columns = np.mgrid[:size, :size]
            mask = np.zeros((size, size), np.uint8)
            for value in (1, 2, 1):
                row, column, radius = (*rng.integers(30, size - 30, 2), rng.integers(22, 34))
                mask[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = value
            write(path, mask)
            noise = rng.normal(0, 12, (size, size, 3))
            write(root / split / "images" / path.name, np.clip(COLORS[mask] + noise, 0, 255))
