"""python -m segtrain COMMAND: everything that is not training or predicting."""

import argparse
import json
import sys
from pathlib import Path

from segtrain.command import parse_output, run_command
from segtrain.commands.evaluate import command as evaluation
from segtrain.commands.export import command as export
from segtrain.commands.serve import command as serve


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Command line to options; `options.main` is the function of the command."""
    parser = argparse.ArgumentParser(prog="python -m segtrain", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_data_commands(commands)
    add_model_commands(commands)

    schema = commands.add_parser("schema", help="print the JSON schema of config.yml, for editors")
    schema.set_defaults(main=print_schema)

    reference = commands.add_parser("reference", help="print docs/config.md: every key of config.yml")
    reference.set_defaults(main=print_reference)

    chosen = commands.choices.get(arguments[0]) if arguments else None
    # Each by itself: below a parser of commands argparse wants all paths before, or all behind the flags.
    return parser.parse_args(arguments) if chosen is None else chosen.parse_intermixed_args(arguments[1:])


def add_data_commands(commands: argparse._SubParsersAction) -> None:
    """What has to do with images and masks."""
    init = commands.add_parser("init", help="look at images and masks, and write the experiment that trains on them")
    init.add_argument("images", help="folder or glob of the images")
    init.add_argument("masks", help="folder or glob of the masks, of the same names")
    init.add_argument(
        "-o", "--output", type=parse_output, default=Path("config.yml"), help="file to write (config.yml)"
    )
    init.set_defaults(main=write_config)

    check = commands.add_parser("check", help="find what is wrong with a data set: exit status 1 where something is")
    check.add_argument("layers", nargs="*", metavar="experiment.yml | key.sub=value", help="as for train.py")
    check.add_argument("--images", help="folder or glob of images, instead of an experiment")
    check.add_argument("--masks", help="folder or glob of their masks")
    check.add_argument(
        "-o", "--output", type=parse_output, default=Path("check.html"), help="page to write (check.html)"
    )
    check.set_defaults(main=check_data)

    datasets = commands.add_parser("datasets", help="list the public data sets that can be read")
    datasets.add_argument("word", nargs="?", default="", help="a word of the name or title, or the name of one")
    datasets.set_defaults(main=list_datasets)

    download = commands.add_parser("download", help="fetch a public data set, as far as it may be fetched")
    download.add_argument("name", help="as `datasets` lists it")
    download.add_argument("root", type=parse_output, help="folder to put it in, like data/voc")
    download.set_defaults(main=download_dataset)

    demo = commands.add_parser("demo", help="draw the demo data set")
    demo.add_argument("root", type=parse_output, help="folder to draw it into, like data/street")
    demo.set_defaults(main=draw_demo_set)


def add_model_commands(commands: argparse._SubParsersAction) -> None:
    """What has to do with architectures and trained models."""
    parts = [
        ("evaluate", evaluation, "score a model on a split of its data: every metric, intervals, the worst images"),
        ("export", export, "write a model as ONNX, TorchScript, OpenVINO, .., and compare it with the original"),
        ("serve", serve, "answer images over HTTP, and show a page to try a model on"),
    ]
    for name, part, text in parts:
        command = commands.add_parser(name, help=text)
        part.add_arguments(command)
        command.set_defaults(main=part.main)

    models = commands.add_parser("models", help="list architectures and encoders, or measure one pair of them")
    models.add_argument("words", nargs="*", help="a word that names must contain; or an architecture and an encoder")
    models.add_argument("--size", nargs=2, type=int, default=(512, 512), metavar=("H", "W"), help="for multiply-adds")
    models.set_defaults(main=list_models)


def write_config(options: argparse.Namespace) -> None:
    """Look at a data set and write the experiment that trains on it."""
    from segtrain.commands.check.init import init_config

    init_config(options)


def check_data(options: argparse.Namespace) -> int:
    """Look for what is wrong with a data set; the exit status."""
    from segtrain.commands.check.command import check_data

    return check_data(options)


def list_datasets(options: argparse.Namespace) -> None:
    """The public data sets whose layout is known, or all about one."""
    from segtrain.commands.datasets.command import list_datasets

    list_datasets(options)


def download_dataset(options: argparse.Namespace) -> None:
    """Fetch a public data set."""
    from segtrain.commands.datasets.command import download_dataset

    download_dataset(options)


def list_models(options: argparse.Namespace) -> None:
    """Architectures and encoders whose names contain the word; for a pair, its parameters and multiply-adds."""
    from segtrain.config.libraries import encoder_groups, library_index

    index, timm_groups = library_index(), encoder_groups()
    if len(options.words) == 2:
        return measure_model(*options.words, size=tuple(options.size))
    word = " ".join(options.words).lower()
    groups = {
        "architectures": index["names"]["model"],
        "encoders of smp (weights)": [f"{name} ({', '.join(kinds)})" for name, kinds in index["encoders"].items()],
    }
    if timm_groups is None:
        timm_groups = {"pyramid": index["timm_models"], "plain": []}
    groups["encoders of timm"] = [f"tu-{name}" for name in timm_groups["pyramid"]]
    groups["encoders of timm that only DPT takes"] = [f"tu-{name}" for name in timm_groups["plain"]]
    for title, names in groups.items():
        chosen = [name for name in names if word in name.lower()]
        print(f"{title}: {len(chosen)}")
        print("".join(f"  {name}\n" for name in chosen), end="")


def measure_model(architecture: str, encoder: str, *, size: tuple[int, int]) -> None:
    """Print parameters, multiply-adds and stride of an architecture with an encoder, at an input of `size` (H, W)."""
    from segtrain.config.libraries import check_arguments, check_encoder
    from segtrain.config.mistakes import render_mistakes
    from segtrain.config.schema import ModelConfig
    from segtrain.config.tree import Value
    from segtrain.errors import ConfigError

    if min(size) < 1:
        raise ConfigError(f"--size {size[0]} {size[1]}: a height and a width of at least 1")
    mistakes = [*check_arguments("model", architecture, (), path=())]
    mistakes += check_encoder(encoder, path=(), architecture=architecture)
    if mistakes:
        raise ConfigError(render_mistakes(Value({}, "models"), mistakes))

    from segtrain.models.model import build_model, count_multiply_adds

    model = build_model(ModelConfig(name=architecture, encoder_name=encoder), channels=3, outputs=1)
    parts = {"encoder": model.net.encoder, "whole model": model}
    for name, part in parts.items():
        print(f"{name:12} {sum(parameter.numel() for parameter in part.parameters()) / 1e6:8.2f} M parameters")
    print(f"multiply-adds {count_multiply_adds(model, size) / 1e9:7.2f} G for one image of {size[0]} x {size[1]}")
    print(f"image sides are padded to multiples of {model.stride}")


def print_schema(_: argparse.Namespace) -> None:
    """The JSON schema of an experiment file."""
    from segtrain.config.reference import build_schema

    print(json.dumps(build_schema(), indent=2))


def print_reference(_: argparse.Namespace) -> None:
    """The text of docs/config.md."""
    from segtrain.config.reference import build_reference

    print(build_reference(), end="")


def draw_demo_set(options: argparse.Namespace) -> None:
    """Draw the demo data set where it is missing."""
    from segtrain.commands.demo.demo import draw_demo

    draw_demo(options.root)
    print(f"{options.root}: the demo data set is there")


if __name__ == "__main__":
    chosen = parse_arguments(sys.argv[1:])
    sys.exit(run_command(chosen.main, chosen))
