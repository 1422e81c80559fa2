"""Loading of crops from one large raster with `data.tile`, beside the same raster cut into files beforehand.

  python -m benchmarks.window_loader                       # 12,000 x 12,000 pixels, some minutes
  python -m benchmarks.window_loader --side 6000 --workers 0 --kinds files tile strips png ram

Draws an orthophoto and a mask, both TIFFs of deflated tiles of 256 pixels, and cuts them into files of the same
windows, as such TIFFs and as PNGs. Then each is loaded as a training loads it, RandomCrop of 512, in a process of its
own, in turns. Each line has the images a second (the median of the rounds), their ratio to the TIFFs cut before,
with --workers 0 milliseconds of processor time an image, and the peak memory of the process, most of which is torch.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from segtrain.command import run_command
from segtrain.config.rules import load_config
from segtrain.data.labels import build_decoder
from segtrain.data.loaders import build_loaders
from segtrain.data.splits import read_splits
from segtrain.errors import TrainingError

BLOCK_PX, CELL_PX, CROP_PX = 256, 16, 512
TILES = {"tile": (BLOCK_PX, BLOCK_PX), "compression": "zlib", "metadata": None, "maxworkers": 1}
STRIPS = {"rowsperstrip": 16, "compression": "zlib", "metadata": None, "maxworkers": 1}
KINDS = ("files", "png files", "tile", "strips", "png", "ram")


def draw(folder: Path, side: int) -> None:
    """images/ortho.tif and masks/ortho.tif: cells of classes in their colors, with noise."""
    rng, across = np.random.default_rng(0), -(-side // BLOCK_PX)
    colors = np.array([[60, 100, 50], [150, 140, 130], [30, 50, 110], [190, 80, 60]], np.uint8)
    cells = rng.integers(0, 4, (across * CELL_PX, across * CELL_PX), dtype=np.uint8)

    def blocks(*, mask: bool) -> Iterator[np.ndarray]:
        for index in range(across * across):
            row, column = (CELL_PX * part for part in divmod(index, across))
            labels = np.kron(cells[row : row + CELL_PX, column : column + CELL_PX], np.ones((16, 16), np.uint8))
            noise = rng.normal(0, 5, (BLOCK_PX, BLOCK_PX, 3))
            yield labels if mask else np.clip(colors[labels] + noise, 0, 255).astype(np.uint8)

    for kind, shape in (("images", (side, side, 3)), ("masks", (side, side))):
        (folder / kind).mkdir(parents=True)
        options = {"photometric": "rgb" if kind == "images" else "minisblack", "shape": shape, "dtype": np.uint8}
        tifffile.imwrite(folder / kind / "ortho.tif", blocks(mask=kind == "masks"), **options, **TILES)


def cut(whole: Path, folder: Path, kinds: list[str], tile: int) -> None:
    """The raster in the other forms: files of windows, strips, and one PNG."""
    for kind in ("images", "masks"):
        pixels = tifffile.imread(whole / kind / "ortho.tif")
        photometric = "rgb" if pixels.ndim == 3 else "minisblack"
        for name in ("files", "png files", "strips", "png"):
            (folder / name / kind).mkdir(parents=True, exist_ok=True)
        if "strips" in kinds:
            tifffile.imwrite(folder / "strips" / kind / "ortho.tif", pixels, photometric=photometric, **STRIPS)
        if "png" in kinds:
            Image.fromarray(pixels).save(folder / "png" / kind / "ortho.png", compress_level=1)
        for top in range(0, len(pixels), tile):
            for left in range(0, len(pixels), tile):
                window, stem = pixels[top : top + tile, left : left + tile], f"ortho_{top}_{left}"
                tifffile.imwrite(folder / "files" / kind / f"{stem}.tif", window, photometric=photometric, **TILES)
                Image.fromarray(window).save(folder / "png files" / kind / f"{stem}.png", compress_level=1)


def measure(options: argparse.Namespace) -> None:
    """Load batches for some seconds, and print images and seconds as JSON."""
    name = {"tile": "whole", "ram": "whole"}.get(options.measure, options.measure)
    tiled = [] if name.endswith("files") else [f"data.tile={options.tile}"]
    cached = ["data.cache=ram"] if options.measure == "ram" else []
    base = {
        "name": "loading",
        "data": {"format": "folders", "root": str(options.folder / name), "images": "images", "masks": "masks"},
        "transforms": {"train": [{"RandomCrop": {"height": CROP_PX, "width": CROP_PX, "pad_if_needed": True}}]},
    }
    base["data"] |= {"classes": ["a", "b", "c", "d"], "batch_size": 8, "workers": options.workers}
    config = load_config([base, *tiled, *cached])
    loaders = build_loaders(config, read_splits(config.data, seed=0), build_decoder(config.data))
    stream = loaders.train.stream(0, 0)
    for _ in range(2):
        next(stream)
    count, started, busy = 0, time.perf_counter(), time.process_time()
    while (seconds := time.perf_counter() - started) < options.seconds:
        count += len(next(stream)["name"])
    busy_ms = 1000 * (time.process_time() - busy) / count
    del stream, loaders
    status = Path("/proc/self/status").read_text(encoding="ascii")  # ru_maxrss would include what started this process
    peak_bytes = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    print(json.dumps({"images_per_second": count / seconds, "peak_bytes": peak_bytes, "busy_ms": busy_ms}))


def main(options: argparse.Namespace) -> None:
    """Draw, cut, and measure each kind in turns."""
    if options.measure:
        measure(options)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder, found = Path(place), {kind: [] for kind in options.kinds}
        draw(folder / "whole", options.side)
        cut(folder / "whole", folder, options.kinds, options.tile)
        for _ in range(options.rounds):
            for kind in options.kinds:
                command = [sys.executable, "-m", "benchmarks.window_loader", "--measure", kind, "--folder", place]
                command += ["--tile", str(options.tile), "--workers", str(options.workers)]
                done = subprocess.run(
                    [*command, "--seconds", str(options.seconds)], capture_output=True, text=True, check=False
                )
                if done.returncode:
                    raise TrainingError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
                found[kind].append(json.loads(done.stdout.splitlines()[-1]))
    speeds = {kind: float(np.median([row["images_per_second"] for row in rows])) for kind, rows in found.items()}
    for kind, rows in found.items():
        ratio = speeds[kind] / speeds[options.kinds[0]]
        peak = max(row["peak_bytes"] for row in rows) / 2**30
        speed = f"{speeds[kind]:7.2f} images/s, {ratio:.2f} of {options.kinds[0]}"
        busy_ms = float(np.median([row["busy_ms"] for row in rows]))  # of this process: it reads if there is no other
        busy = "" if options.workers else f"{busy_ms:.1f} ms of a processor an image, "
        print(f"{kind:10} {speed}, {busy}peak {peak:.2f} GiB")


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Command line to options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=12_000, help="side of the raster in pixels (12000)")
    parser.add_argument("--tile", type=int, default=1024, help="data.tile (1024)")
    parser.add_argument("--workers", type=int, default=2, help="reading processes (2)")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement (10)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (3)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["files", "png files", "tile", "strips"])
    parser.add_argument("--folder", type=Path, default=None, help="where to draw")
    parser.add_argument("--measure", choices=KINDS, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(run_command(main, parse_arguments(sys.argv[1:])))
