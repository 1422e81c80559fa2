"""How long a data set of very many files takes to index, and how much memory.

python -m benchmarks.index_files [--pairs 500000]

Makes that many empty images and masks in a temporary folder, then pairs and splits them in a process of its own.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time

FILES_PER_FOLDER = 1000


def make_files(root: str, pairs: int) -> None:
    """root/{images,masks}/scene_<n>/frame_<n>.{jpg,png}, empty."""
    for kind, suffix in (("images", "jpg"), ("masks", "png")):
        for number in range(pairs):
            scene, frame = divmod(number, FILES_PER_FOLDER)
            if frame == 0:
                os.makedirs(f"{root}/{kind}/scene_{scene:04d}")
            os.close(os.open(f"{root}/{kind}/scene_{scene:04d}/frame_{frame:06d}.{suffix}", os.O_CREAT | os.O_WRONLY))


def measure(root: str) -> None:
    """Index the folder; print seconds and the peak memory of this process."""
    from segtrain.config.data_schema import DataConfig
    from segtrain.data.splits import read_splits

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    splits = read_splits(DataConfig(root=root, images="images", masks="masks", classes=["a", "b"]), seed=0)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts = ", ".join(f"{len(samples)} {split}" for split, samples in splits.items())
    print(f"{counts}: {seconds:.1f} s, peak memory {peak >> 10} MiB ({before >> 10} before)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=500_000)
    parser.add_argument("--root", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.root:
        measure(options.root)
    else:
        with tempfile.TemporaryDirectory() as folder:
            make_files(folder, options.pairs)
            subprocess.run([sys.executable, "-m", "benchmarks.index_files", "--root", folder], check=True)
