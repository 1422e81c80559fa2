"""Serve a model over HTTP: send an image, receive masks, overlays or polygons. Includes a page to try the model on.

python -m segtrain serve runs/street-1                     then open http://127.0.0.1:8000
python -m segtrain serve runs/street-1 runs/street-2       an ensemble
"""

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from segtrain.inference.options import add_infer_arguments, read_infer_options

REQUIRED = ("uvicorn", "starlette", "python_multipart")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the command."""
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="run folder, checkpoint or exported file; several form an ensemble"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (127.0.0.1: only this machine; 0.0.0.0: everybody)"
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (8000); 0 chooses a free one")
    parser.add_argument("--max-mb", type=_positive, default=32, help="largest accepted request, in MB (32)")
    parser.add_argument(
        "--max-megapixels", type=_positive, default=16, help="largest accepted image, in million pixels (16)"
    )
    add_infer_arguments(parser)


def main(options: argparse.Namespace) -> None:
    """Load the models and serve them until a signal comes; then raises Stopped."""
    infer = read_infer_options(options)

    from segtrain.command import require_libraries

    require_libraries("serve", "serve", REQUIRED)

    from segtrain.commands.serve.listen import is_loopback, open_socket, serve
    from segtrain.commands.serve.receive import RequestLimits

    limits = RequestLimits(max_bytes=round(options.max_mb * 1e6), max_pixels=round(options.max_megapixels * 1e6))
    with open_socket(options.host, options.port) as listener:  # before the models: a taken port is told at once
        from segtrain.inference.predictor import Predictor

        predictor = Predictor.load(
            *options.models, device=options.device, precision=options.precision, options=infer, trust=options.trust
        )
        if not is_loopback(listener):
            print(
                f"warning: --host {options.host}: everyone who can reach this machine can use the model; there is no "
                f"password and no encryption",
                file=sys.stderr,
            )
        serve(predictor, listener, names=[Path(model).resolve().name for model in options.models], limits=limits)


def _positive(text: str) -> float:
    with suppress(ValueError):
        if 1e-6 <= (value := float(text)) < float("inf"):
            return value
    raise argparse.ArgumentTypeError(f"'{text}' is not a number greater than 0")
