"""The commands of `python -m segtrain`. Only the module of the command that is asked for is imported."""

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence

from segtrain import __version__
from segtrain.command import escape_stdout, prepare_streams, run_command

# name -> the module with its `add_arguments` and `main`, and one line of help
COMMANDS = {
    "train": ("segtrain.training.command", "train the model that config.yml and experiment files describe"),
    "batch": ("segtrain.commands.batch.command", "train several experiments, seeds and folds, one after another"),
    "tune": ("segtrain.commands.tune.command", "search for better hyperparameters"),
    "lr-find": ("segtrain.commands.lr_find.command", "find a learning rate: record the loss while it rises"),
    "predict": ("segtrain.commands.predict.command", "run a model on images, videos and large TIFFs"),
    "evaluate": (
        "segtrain.commands.evaluate.command",
        "score a model on a split of its dataset and show the worst images",
    ),
    "compare": (
        "segtrain.commands.compare.command",
        "compare runs by settings, scores, classes and images; -o writes a page",
    ),
    "runs": ("segtrain.commands.compare.runs_command", "list the runs in a folder with state, score and age"),
    "export": (
        "segtrain.commands.export.command",
        "export a model to ONNX, OpenVINO, .. and compare it with the original",
    ),
    "serve": ("segtrain.commands.serve.command", "serve a model over HTTP, with a page to try it on"),
    "init": (
        "segtrain.commands.check.init_command",
        "write an experiment for images and masks, or for an export of a labeling tool",
    ),
    "check": ("segtrain.commands.check.command", "find problems in a dataset; exit status 1 if there are errors"),
    "datasets": ("segtrain.commands.datasets.command", "list the public datasets or describe one"),
    "download": ("segtrain.commands.datasets.download_command", "download a public dataset"),
    "demo": ("segtrain.commands.demo.command", "generate the demo dataset"),
    "models": ("segtrain.commands.models.command", "list networks and encoders, or measure the size and cost of one"),
    "schema": ("segtrain.commands.schema.command", "print the JSON schema of config.yml for editors"),
}

TAKE_SEVERAL_PROCESSES = {"train", "predict", "evaluate"}


def main(arguments: Sequence[str] | None = None, *, prog: str | None = None) -> int:
    """Run the command that the first argument names and return its exit status; `prog` is how it was called."""
    prepare_streams()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:{width}}  {text}" for name, (_, text) in COMMANDS.items())
    overview = argparse.ArgumentParser(
        prog="python -m segtrain",
        usage="%(prog)s COMMAND ..",
        description=f"commands (COMMAND --help for details):\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    overview.add_argument("command", help=argparse.SUPPRESS)
    overview.add_argument("--version", action="version", version=f"segtrain {__version__}")
    name = overview.parse_args(arguments[:1]).command
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        overview.error(f"no command '{name}'; " + (f"did you mean '{close[0]}'?" if close else "--help lists them"))
    options = build_parser(name, prog=prog).parse_intermixed_args(arguments[1:])
    escape_stdout()  # not before: newer versions of Python color the help
    module = importlib.import_module(COMMANDS[name][0])
    return run_command(module.main, options, takes_several=name in TAKE_SEVERAL_PROCESSES)


def build_parser(name: str, *, prog: str | None = None) -> argparse.ArgumentParser:
    """The parser of a command, whose module it imports; `prog` is how the command was called."""
    module = importlib.import_module(COMMANDS[name][0])
    parser = argparse.ArgumentParser(
        prog=prog or f"python -m segtrain {name}",
        description=module.__doc__ or "Python is running with -OO, which removes this text.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
