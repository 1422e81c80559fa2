"""How long a dataset of very many files takes to index and to begin with, and how much memory.

python -m benchmarks.index_files [--pairs 500000]
python -m benchmarks.index_files --pairs 1000000 --format tar

Makes that many images and masks in a temporary folder, then, in a process of its own, indexes and splits them and,
where they are in shards, reads the first batch after 5,000 masks were counted (data.statistics: 5000). In folders the
files are empty.
"""

import argparse
import io
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time

FILES_PER_FOLDER = 1000
PAIRS_PER_SHARD = 10_000
COUNTED = 5000


def make_files(root: str, pairs: int) -> None:
    """root/{images,masks}/scene_<n>/frame_<n>.{jpg,png}, empty."""
    for kind, suffix in (("images", "jpg"), ("masks", "png")):
        for number in range(pairs):
            scene, frame = divmod(number, FILES_PER_FOLDER)
            if frame == 0:
                os.makedirs(f"{root}/{kind}/scene_{scene:04d}")
            os.close(os.open(f"{root}/{kind}/scene_{scene:04d}/frame_{frame:06d}.{suffix}", os.O_CREAT | os.O_WRONLY))


def make_shards(root: str, pairs: int) -> None:
    """root/<n>.tar with <n>.jpg and <n>.png of 64 x 64 pixels."""
    from PIL import Image

    contents = {}
    for suffix, mode in (("jpg", "RGB"), ("png", "L")):
        Image.new(mode, (64, 64)).save(buffer := io.BytesIO(), {"jpg": "JPEG", "png": "PNG"}[suffix])
        contents[suffix] = buffer.getvalue()
    for first in range(0, pairs, PAIRS_PER_SHARD):
        with tarfile.open(f"{root}/{first // PAIRS_PER_SHARD:06d}.tar", "w") as archive:
            for number in range(first, min(first + PAIRS_PER_SHARD, pairs)):
                for suffix, content in contents.items():
                    entry = tarfile.TarInfo(f"{number:09d}.{suffix}")
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))


def measure(root: str, layout: str) -> None:
    """Index the folder; print seconds and the peak memory of this process."""
    from segtrain.config.rules import load_config
    from segtrain.data.labels import build_decoder
    from segtrain.data.loaders import build_loaders
    from segtrain.data.splits import read_splits
    from segtrain.data.statistics import read_statistics

    layers = [f"data.format={layout}", f"data.root={root}", "data.classes=[a, b]", "log.wandb.mode=disabled"]
    if layout == "folders":
        layers += ["data.images=images", "data.masks=masks"]
    config = load_config([*layers, "transforms.train=[HorizontalFlip]"])
    before, started = peak_bytes(), time.perf_counter()
    splits = read_splits(config.data, seed=0)
    seconds = time.perf_counter() - started
    counts = ", ".join(f"{len(samples)} {split}" for split, samples in splits.items())
    print(f"{counts}: {seconds:.1f} s, peak memory {peak_bytes() >> 20} MiB ({before >> 20} before)")
    if layout == "tar":
        decoder = build_decoder(config.data)
        read_statistics(splits, decoder, names=config.data.class_names, cache=None, most=COUNTED)
        loaders = build_loaders(config, splits, decoder)
        next(loaders.train.stream(0, 0))
        seconds = time.perf_counter() - started
        print(f"first batch after {seconds:.1f} s, peak memory {peak_bytes() >> 20} MiB")


def peak_bytes() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=500_000)
    parser.add_argument("--format", choices=["folders", "tar"], default="folders")
    parser.add_argument("--root", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.root:
        measure(options.root, options.format)
    else:
        with tempfile.TemporaryDirectory() as folder:
            (make_files if options.format == "folders" else make_shards)(folder, options.pairs)
            command = [sys.executable, "-m", "benchmarks.index_files", "--format", options.format, "--root", folder]
            subprocess.run(command, check=True)
