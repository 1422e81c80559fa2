"""Find what is wrong with images and masks, and write a page to look at. Exit status 1 where there is an error."""

import argparse
from pathlib import Path

from segtrain.command import parse_output
from segtrain.commands.check.dataset_report import gather
from segtrain.commands.check.examine import Examiner
from segtrain.commands.check.findings import find_all
from segtrain.commands.check.page import write_page
from segtrain.commands.check.pool import examine_all
from segtrain.commands.check.source import from_experiment, from_folders
from segtrain.commands.check.terminal import describe_set, write_proposal, write_report
from segtrain.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("layers", nargs="*", metavar="experiment.yml | key.sub=value", help="as for train.py")
    parser.add_argument("--images", help="folder or glob of images, instead of an experiment")
    parser.add_argument("--masks", help="folder or glob of their masks")
    parser.add_argument(
        "-o", "--output", type=parse_output, default=Path("check.html"), help="page to write (check.html)"
    )


def main(options: argparse.Namespace) -> int:
    """Look at every image and mask, print what is wrong with them, and write the page `options.output`: the experiment
    of `options.layers`, or the folders `options.images` and `options.masks`.

    Returns 1, the exit status, where a finding is an error, else 0. Raises ConfigError or DataError for a wrong command
    line or configuration.
    """
    if (options.images is None) != (options.masks is None) or (options.images and options.layers):
        raise ConfigError("check: give an experiment, or --images DIR and --masks DIR")
    if not options.output.parent.is_dir():
        raise ConfigError(f"-o {options.output}: the folder {options.output.parent} does not exist")
    if options.images is not None:
        source = from_folders(options.images, options.masks)
    else:
        source = from_experiment(options.layers)
    examiner = Examiner(source.config.data if source.config is not None else None)
    report = gather(source, examine_all(source.splits, examiner))
    findings = find_all(report, source.findings)
    proposal = write_proposal(source, report) if source.config is None else []
    print("\n".join(describe_set(source, report)))
    if proposal:
        print("", "an experiment for it, with names to be changed:", *(f"  {line}" for line in proposal), sep="\n")
    write_page(options.output, source, report, findings, proposal=proposal, examiner=examiner)
    print("\n".join(write_report(findings, options.output)))
    return int(any(finding.level == "error" for finding in findings))
