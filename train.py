"""Train a segmentation model.

python train.py                                          train config.yml
python train.py experiments/x.yml train.epochs=5         lay files and single values over config.yml
python train.py --resume runs/street-1                   go on where a run was stopped
python train.py --check experiments/x.yml                build everything, read no data
"""

import argparse
import sys

from segtrain.command import run_command


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Command line to options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "layers", nargs="*", metavar="experiment.yml | key.sub=value", help="laid over config.yml, in this order"
    )
    parser.add_argument("--resume", metavar="RUN", help="run folder to go on with; key.sub=value still apply")
    parser.add_argument("--check", action="store_true", help="build everything but read no data, then exit")
    return parser.parse_args(arguments)


def main(options: argparse.Namespace) -> None:
    """From the configuration to the report, in the order in which the data flows."""
    from segtrain.config.rules import load_config  # imports no torch: a mistake is told before seconds of importing

    config = load_config(options.layers, resume=options.resume)

    from segtrain.data.loaders import build_loaders
    from segtrain.devices import resolve_device
    from segtrain.training import build
    from segtrain.training.loop import fit

    if options.check:
        return build.check(config)
    build.seed_everything(config.seed)
    device = resolve_device(config.train.device)
    with build.explained_failures(config):
        loaders = build_loaders(
            config.data, config.transforms, seed=config.seed, device_type=device.type, cache=config.cache_dir
        )
        model = build.place_model(config, device)
        state = build.build_training(config, model, steps_per_epoch=loaders.train.steps_per_epoch)
        build.place_loss(config, device, statistics=None)
        build.keep_images(loaders, config)
        statistics = build.inspect_labels(loaders, config)  # reads every mask, so after what is quick to refuse
        loss = build.place_loss(config, device, statistics=statistics)
        with build.start_or_resume(config, state, resume=options.resume) as run:
            build.describe(run, state, loaders, loss, statistics)
            fit(state, loaders, loss, config.train, run)
            run.report(state)


if __name__ == "__main__":
    sys.exit(run_command(main, parse_arguments(sys.argv[1:])))
