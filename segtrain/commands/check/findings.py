"""All findings about a set of images and masks, the worst first."""

from segtrain.commands.check.check_claims import classes_fit, find_wrong_values
from segtrain.commands.check.check_classes import find_imbalance, find_missing_classes, find_slips
from segtrain.commands.check.check_files import find_flat_images, find_not_turned, find_other_sizes, find_unreadable
from segtrain.commands.check.check_images import find_channel_statistics, find_deep_images, find_refused_images
from segtrain.commands.check.check_leaks import find_leaks
from segtrain.commands.check.check_masks import find_empty_masks, find_inverted, find_much_ignored
from segtrain.commands.check.check_sizes import find_wrong_sizes
from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.finding import LEVELS, Finding

CHECKS = (
    find_unreadable,
    find_not_turned,
    find_other_sizes,
    find_wrong_values,
    find_refused_images,
    find_deep_images,
    find_wrong_sizes,
    find_leaks,
    find_flat_images,
    find_channel_statistics,
)
CLASS_CHECKS = (
    find_missing_classes,
    find_slips,
    find_inverted,
    find_empty_masks,
    find_much_ignored,
    find_imbalance,
)


def find_all(report: DatasetReport, before: list[Finding]) -> list[Finding]:
    """What every check finds, errors first, behind what was found `before` any file was opened."""
    checks = CHECKS + (CLASS_CHECKS if classes_fit(report) else ())
    found = [*dict.fromkeys(before), *(finding for check in checks for finding in check(report))]
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))
