"""Train a segmentation model: `python train.py --help`. The same as `python -m segtrain train`."""

import sys

from segtrain.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]], prog="train.py"))
