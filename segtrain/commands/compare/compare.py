"""Comparison: from paths to what is shown, and the files of -o."""

from collections.abc import Sequence
from pathlib import Path

from segtrain.commands.compare.gather import choose_measure, gather_rows
from segtrain.commands.compare.page import render_comparison
from segtrain.commands.compare.pair import pair_with_best
from segtrain.commands.compare.pictures import draw_changes
from segtrain.commands.compare.report import Comparison, build_changes_csv, build_compare_csv, write_notes
from segtrain.commands.compare.row import find_differences, group_rows
from segtrain.errors import CheckpointError
from segtrain.files import write_whole

PAGE_FILE, TABLE_FILE, CHANGES_FILE = "compare.html", "compare.csv", "changes.csv"


def compare_runs(arguments: Sequence[str]) -> Comparison:
    """Compare runs, globs and evaluation folders. Raises CheckpointError, a line for each, where none can be read."""
    problems: list[str] = []
    rows = gather_rows(arguments, problems)
    if not rows:
        raise CheckpointError(*problems)
    rows, measure = choose_measure(rows, problems)
    entries = group_rows(rows, measure)
    pairs = pair_with_best(entries, measure)
    intervals = {row.name: row.interval(measure) for row in rows}
    notes = write_notes(rows, measure, pairs)
    return Comparison(measure, entries, find_differences(entries), pairs, intervals, notes, problems)


def write_comparison(folder: Path, comparison: Comparison, *, trust: bool) -> list[str]:
    """Write the page and the tables; what was written. Raises DataError where the disk refuses."""
    write_whole(folder / TABLE_FILE, build_compare_csv(comparison))
    written = [TABLE_FILE]
    if comparison.pairs:
        write_whole(folder / CHANGES_FILE, build_changes_csv(comparison.pairs))
        written.append(CHANGES_FILE)
    shown, reason = draw_changes(comparison.pairs[0], trust=trust) if comparison.pairs else ([], "")
    if reason:
        print(f"\nwarning: no images in the page: {reason}")
    render_comparison(folder / PAGE_FILE, comparison, shown)
    return [*written, PAGE_FILE]
