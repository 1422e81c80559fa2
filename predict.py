"""Predict with a trained model: `python predict.py --help`. The same as `python -m segtrain predict`."""

import sys

from segtrain.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]], prog="predict.py"))
