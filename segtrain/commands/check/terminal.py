"""The findings as a table in the terminal."""

import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.finding import LEVELS, Finding, count_of
from segtrain.commands.check.source import Source

WIDTH = (60, 116)  # characters
FILES, FIX_LINES = 3, 16  # shown of each finding; the page has all
_COLORS = {"error": 31, "warning": 33, "note": 36}


def describe_set(source: Source, report: DatasetReport) -> list[str]:
    """What was looked at, in two lines."""
    splits = ", ".join(f"{split} {len(samples):,}" for split, samples in source.splits.items() if split != "all")
    pairs = count_of(len(report.records), "pair")
    images = [record.image for record in report.records if record.image is not None]
    sizes = Counter((image.width, image.height) for image in images)
    kinds = Counter((image.file_type, image.channels, image.dtype) for image in images)
    parts = [pairs + (f" ({splits})" if splits else "")]
    if sizes:
        (width, height), _ = sizes.most_common(1)[0]
        parts.append(
            f"{width} x {height}" + (f" and {count_of(len(sizes) - 1, 'other size')}" if len(sizes) > 1 else "")
        )
    for (file_type, channels, dtype), _ in kinds.most_common(2):
        parts.append(f"{file_type} with {count_of(channels, 'channel')} of {dtype}")
    return [source.title, ", ".join(parts)]


def count_levels(findings: Sequence[Finding]) -> str:
    """`2 errors, 1 note`, or that there is nothing."""
    counts = Counter(finding.level for finding in findings)
    return ", ".join(count_of(counts[level], level) for level in LEVELS if counts[level]) or "nothing found"


def write_report(findings: Sequence[Finding], page: Path) -> list[str]:
    """The lines of the table: level, what was found, and what to write; without findings, one line."""
    width = max(WIDTH[0], min(WIDTH[1], shutil.get_terminal_size((100, 24)).columns))
    lines = []
    if findings:
        lines += ["", f"{'level':9}finding, and what to write", "-" * width]
    for finding in findings:
        lines += [f"{_paint(finding.level)}{finding.title}", *_wrap(finding.explanation, width)]
        lines += [f"{'':9}{line}" for line in _files(finding.files)]
        if finding.fix is not None:
            shown = finding.fix.lines[:FIX_LINES]
            lines += [f"{'':9}{finding.fix.label}:", *(f"{'':11}{line}" for line in shown)]
            if len(finding.fix.lines) > FIX_LINES:
                lines.append(f"{'':11}... {len(finding.fix.lines) - FIX_LINES} more lines in {page}")
        lines.append("-" * width)
    return [*lines, f"{count_levels(findings)}; to look at: {page}"]


def _paint(level: str) -> str:
    text = f"{level:9}"
    return f"\x1b[{_COLORS[level]}m{text}\x1b[0m" if sys.stdout.isatty() else text


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=" " * 9, subsequent_indent=" " * 9, break_long_words=False)


def _files(files: Sequence[str]) -> list[str]:
    return [*files[:FILES], *([f"and {len(files) - FILES:,} more"] if len(files) > FILES else [])]


def write_proposal(source: Source, report: DatasetReport) -> list[str]:
    """The lines of an experiment for two folders; none where the masks have no classes."""
    proposal = report.proposal
    if proposal is None or not proposal.lines:
        return []
    lines = ["name: mine", *source.data_lines, *proposal.lines[1:]]  # both begin with data:
    return [*lines, *(["loss: {BCEWithLogitsLoss: 1.0, DiceLoss: 1.0}"] if proposal.kind == "binary" else [])]
