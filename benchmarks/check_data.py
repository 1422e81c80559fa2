"""How long `python -m segtrain check` takes.

python -m benchmarks.check_data [--pairs 1000] [--side 1024]

Draws that many JPEG images with PNG masks of seven classes into a temporary folder, then times the command, twice.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from segtrain.commands.demo.demo import draw_scene


def draw_pair(folder: str, number: int, side: int) -> None:
    """A scene of the demo set, enlarged, with noise of its own."""
    rng = np.random.default_rng(number)
    image, mask = draw_scene(rng, 192, 256)
    image = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    image += cv2.resize(rng.normal(0, 6, (side // 2, side // 2)).astype(np.float32), (side, side))[..., None]
    mask = cv2.resize(mask, (side, side), interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(f"{folder}/images/{number:05d}.jpg", np.clip(image, 0, 255).astype(np.uint8))
    cv2.imwrite(f"{folder}/masks/{number:05d}.png", mask)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--side", type=int, default=1024)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("images", "masks"):
            Path(folder, kind).mkdir()
        with ProcessPoolExecutor() as pool:
            jobs = [pool.submit(draw_pair, folder, number, options.side) for number in range(options.pairs)]
            for job in jobs:
                job.result()
        command = [sys.executable, "-m", "segtrain", "check", "--images", f"{folder}/images"]
        command += ["--masks", f"{folder}/masks", "-o", f"{folder}/check.html"]
        for _ in range(2):
            started, before = time.perf_counter(), os.times()
            status = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
            after = os.times()
            busy = after.children_user + after.children_system - before.children_user - before.children_system
            wall = time.perf_counter() - started
            title = f"{options.pairs} pairs of {options.side} x {options.side} pixels"
            print(f"{title}: {wall:.1f} s, {busy:.1f} s of processors, exit status {status}")
