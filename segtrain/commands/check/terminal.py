"""Terminal report: the data set in two lines, and the findings as a table."""

import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.finding import LEVELS, Finding, count_of, write_lines

WIDTH = (60, 116)  # characters
FILES, FIX_LINES = 3, 16  # shown of each finding; the page has all
_COLORS = {"error": 31, "warning": 33, "note": 36}
_INDENT = " " * 9


def describe_set(report: DatasetReport) -> list[str]:
    """What was looked at, in two lines."""
    splits = ", ".join(f"{split} {len(samples):,}" for split, samples in report.source.splits.items() if split != "all")
    images = [record.image for record in report.records if record.image is not None]
    sizes = Counter((image.width, image.height) for image in images)
    kinds = Counter((image.file_type, image.channels, image.dtype) for image in images)
    parts = [count_of(len(report.records), "pair") + (f" ({splits})" if splits else "")]
    for (width, height), _ in sizes.most_common(1):
        more = f" and {count_of(len(sizes) - 1, 'other size')}" if len(sizes) > 1 else ""
        parts.append(f"{width} x {height}{more}")
    for (file_type, channels, dtype), _ in kinds.most_common(2):
        parts.append(f"{file_type} with {count_of(channels, 'channel')} of {dtype}")
    return [report.source.title, ", ".join(parts)]


def count_levels(findings: Sequence[Finding]) -> str:
    """`2 errors, 1 note`, or that there is nothing."""
    counts = Counter(finding.level for finding in findings)
    return ", ".join(count_of(counts[level], level) for level in LEVELS if counts[level]) or "nothing found"


def write_report(findings: Sequence[Finding], command: str, page: Path) -> list[str]:
    """The lines of the table: level, what was found, and what to do about it; without findings, one line. `command` is
    the check that made them."""
    width = max(WIDTH[0], min(WIDTH[1], shutil.get_terminal_size((100, 24)).columns))
    lines = ["", f"{'level':9}finding, and what to do", "-" * width] if findings else []
    for finding in findings:
        level = f"{finding.level:9}"
        if sys.stdout.isatty():
            level = f"\x1b[{_COLORS[finding.level]}m{level}\x1b[0m"
        lines.append(f"{level}{finding.title}")
        lines += textwrap.wrap(
            finding.explanation, width, initial_indent=_INDENT, subsequent_indent=_INDENT, break_long_words=False
        )
        lines += [f"{_INDENT}{file}" for file in finding.files[:FILES]]
        if len(finding.files) > FILES:
            lines.append(f"{_INDENT}and {len(finding.files) - FILES:,} more")
        if finding.fix is not None:
            fix = finding.fix.lines_for(command)
            lines += [f"{_INDENT}{finding.fix.label}:", *(f"{_INDENT}  {line}" for line in fix[:FIX_LINES])]
            if len(fix) > FIX_LINES:
                lines.append(f"{_INDENT}  ... {len(fix) - FIX_LINES} more lines in {page}")
        lines.append("-" * width)
    return [*lines, f"{count_levels(findings)}; to look at: {page}"]


def write_proposal(report: DatasetReport) -> list[str]:
    """The lines of an experiment for two folders; none where there is one already, or the masks have no classes."""
    proposal = report.proposal
    if report.config is not None or proposal is None or not proposal.classes:
        return []
    lines = ["name: mine", *write_lines({"data": report.source.data}), *proposal.lines[1:]]  # both begin with data:
    return [*lines, *(["loss: {BCEWithLogitsLoss: 1.0, DiceLoss: 1.0}"] if proposal.kind == "binary" else [])]
