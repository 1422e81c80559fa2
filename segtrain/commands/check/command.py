"""Find problems in images and masks, and write a page that shows them. The exit status is 1 if there is an error.

Nothing is changed without --apply NAME, which does what the findings with that fix describe. Every file that it
replaces or removes from the dataset is kept next to it as FILE.aside. The fixes:
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from segtrain.command import parse_output
from segtrain.commands.check.finding import LEVELS, Finding
from segtrain.errors import ConfigError, count_of

if TYPE_CHECKING:
    from segtrain.commands.check.dataset_report import DatasetReport

FIXES = {
    "resize-masks": "resize masks to the size of their images",
    "snap-masks": "give each pixel the nearest intended value or color, as PNG",
    "invert-masks": "swap object and background",
    "turn-masks": "rotate masks as EXIF rotates their images",
    "turn-unsure-masks": "the same where edges do not show whether it is needed; look at check.html first",
    "set-aside-unreadable": "remove pairs with a file that cannot be read",
    "set-aside-unpaired": "remove images without a mask and masks without an image",
    "set-aside-other-size": "remove pairs whose proportions differ",
    "set-aside-other-kind": "remove pairs whose masks are RGB where the others have values, or the reverse",
    "set-aside-flat": "remove images of a single color",
    "set-aside-ignored": "remove masks that are ignored almost everywhere",
    "set-aside-one-class": "remove masks of a single class",
    "set-aside-copies": "remove all but the first of duplicate images",
    "set-aside-contradicting": "remove the second of two identical images with different masks",
    "set-aside-leaks": "remove images from one split that are in another",
    "set-aside-near-leaks": "remove images from one split that look almost like one of another",
}
__doc__ = (__doc__ or "") + "\n".join(f"  {name:26} {what}" for name, what in FIXES.items())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("layers", nargs="*", metavar="experiment.yml | key.sub=value", help="as for train.py")
    parser.add_argument("--images", help="folder or glob of images, instead of an experiment")
    parser.add_argument("--masks", help="folder or glob of their masks")
    parser.add_argument(
        "-o", "--output", type=parse_output, default=Path("check.html"), help="HTML page to write (check.html)"
    )
    parser.add_argument("--apply", choices=FIXES, metavar="NAME", help="change files with one of the fixes above")


def main(options: argparse.Namespace) -> int:
    """Look at every image and mask of the experiment `options.layers`, or of the folders `options.images` and
    `options.masks`; print what is wrong with them and write the page `options.output`, or apply a fix.

    Returns 1, the exit status, where a finding is an error, else 0; after a fix always 0. Raises ConfigError or
    DataError for a wrong command line or configuration.
    """
    if (options.images is None) != (options.masks is None) or (options.images and options.layers):
        raise ConfigError("check: give an experiment or --images DIR and --masks DIR")
    if not options.output.parent.is_dir():
        raise ConfigError(f"-o {options.output}: the folder {options.output.parent} does not exist")
    from segtrain.commands.check.dataset_report import gather
    from segtrain.commands.check.fixes import make_change
    from segtrain.commands.check.page import describe_set, write_page, write_proposal, write_report
    from segtrain.commands.check.source import from_experiment, from_folders

    if options.images is not None:
        source = from_folders(options.images, options.masks)
    else:
        source = from_experiment(options.layers)
    report = gather(source)
    findings = find_all(report)
    if options.apply is not None:
        changes = {c.file: c for f in findings if f.fix and f.fix.name == options.apply for c in f.fix.changes}
        for change in changes.values():
            print(f"{change.file}: kept as {make_change(change).name}")
        done = f"{count_of(len(changes), 'file')} changed" if changes else "nothing to fix"
        print(f"{options.apply}: {done}")
        return 0
    proposal = write_proposal(report)
    print("\n".join(describe_set(report)))
    if proposal:
        print("", "a proposed experiment; change the names:", *(f"  {line}" for line in proposal), sep="\n")
    write_page(options.output, report, findings, proposal=proposal)
    print("\n".join(write_report(findings, source.command, options.output)))
    return int(any(finding.level == "error" for finding in findings))


def find_all(report: "DatasetReport") -> list[Finding]:
    """What every check finds, errors first, behind what was found before any file was opened."""
    from segtrain.commands.check import (
        check_classes,
        check_files,
        check_ignored,
        check_images,
        check_leaks,
        check_values,
    )

    checks = [
        check_files.find_one_folder,
        check_files.find_unreadable,
        check_files.find_not_turned,
        check_files.find_other_sizes,
        check_files.find_elsewhere,
        check_values.find_palettes,
        check_values.find_wrong_values,
        check_images.find_refused_images,
        check_images.find_deep_images,
        check_images.find_wrong_sizes,
        check_leaks.find_leaks,
        check_files.find_flat_images,
        check_images.find_channel_statistics,
    ]
    if check_values.classes_fit(report):
        checks += [
            check_classes.find_missing_classes,
            check_classes.find_slips,
            check_classes.find_inverted,
            check_classes.find_empty_masks,
            check_ignored.find_ignored_areas,
            check_classes.find_imbalance,
        ]
    if report.has_windows:  # in which one class, or one color, is nothing unusual
        unusual = (check_files.find_flat_images, check_classes.find_inverted, check_classes.find_empty_masks)
        checks = [check for check in checks if check not in unusual]
    found = [*report.source.findings, *(finding for check in checks for finding in check(report))]
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))
