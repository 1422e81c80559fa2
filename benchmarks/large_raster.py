"""Memory that a TIFF of any size takes to be predicted, above that of the model.

  python -m benchmarks.large_raster runs/camvid-1                  # 20,000 x 20,000 pixels: an hour on two cores
  python -m benchmarks.large_raster runs/camvid-1 --side 10000 --tile 256

Draws a TIFF of --side x --side pixels (compressed blocks), predicts it with predict.py in a process of its own, and one
of a single tile in another. The difference of the peaks of their memory is what the size of the image costs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from segtrain.command import run_command
from segtrain.errors import TrainingError

BLOCK_PX = 256


def draw(path: Path, side: int) -> None:
    """A TIFF of RGB noise in blocks, the same every time."""
    across = -(-side // BLOCK_PX)

    def blocks() -> Iterator[np.ndarray]:
        rng = np.random.default_rng(0)
        for _ in range(across * across):
            cells = rng.integers(0, 256, (BLOCK_PX // 8, BLOCK_PX // 8, 3), dtype=np.uint8)
            yield cells.repeat(8, axis=0).repeat(8, axis=1)

    options = {"shape": (side, side, 3), "dtype": np.uint8, "tile": (BLOCK_PX, BLOCK_PX), "photometric": "rgb"}
    tifffile.imwrite(path, blocks(), compression="zlib", metadata=None, maxworkers=1, **options)


def predict(run: Path, image: Path, output: Path, *, tile: int) -> tuple[float, int]:
    """Seconds and peak bytes of predict.py for one image."""
    command = [sys.executable, "predict.py", str(run), str(image), "-o", str(output), "--tile", str(tile)]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    text = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise TrainingError(f"{' '.join(command)} ended with {process.returncode}:\n{text}")
    return time.monotonic() - started, usage.ru_maxrss * 1024


def main(options: argparse.Namespace) -> None:
    """Draw, predict, print."""
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder, "large.tif"), Path(folder, "small.tif")
        draw(large, options.side)
        draw(small, options.tile)
        _, base_bytes = predict(options.run, small, Path(folder, "out"), tile=options.tile)
        seconds, peak_bytes = predict(options.run, large, Path(folder, "out"), tile=options.tile)
        size = tifffile.imread(Path(folder, "out", "large.tif")).shape
    speed = size[0] * size[1] / 1e6 / seconds
    print(f"{size[1]} x {size[0]} pixels in tiles of {options.tile}: {seconds:.0f} s, {speed:.2f} Mpx/s")
    print(f"peak memory {peak_bytes / 2**30:.2f} GiB, of a single tile {base_bytes / 2**30:.2f} GiB, ", end="")
    print(f"for the size {(peak_bytes - base_bytes) / 2**30:.2f} GiB")


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Command line to options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder, checkpoint or exported file")
    parser.add_argument("--side", type=int, default=20_000, help="side of the image in pixels (20000)")
    parser.add_argument("--tile", type=int, default=512, help="side of the tiles in pixels (512)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(run_command(main, parse_arguments(sys.argv[1:])))
