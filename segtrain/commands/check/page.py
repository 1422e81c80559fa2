"""Page: check.html, one file to look at, with nothing from outside."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from segtrain.commands.check.check_classes import suggest_weights
from segtrain.commands.check.check_images import find_crops
from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.finding import LEVELS, Finding
from segtrain.commands.check.mask_values import IGNORED
from segtrain.commands.check.propose import show_share
from segtrain.commands.check.terminal import count_levels, describe_set
from segtrain.commands.check.thumbnails import choose_samples, draw_samples
from segtrain.files import write_whole

SAMPLES, OFFENDERS = 12, 6
_LOWEST = -4  # 10 to this power, 0.01 %, is the left end of the strip on which the shares of a class are marked
UNMARKED: frozenset[int] = frozenset()


def write_page(path: Path, report: DatasetReport, findings: Sequence[Finding], *, proposal: Sequence[str]) -> None:
    """Write the page; `proposal` are the lines of an experiment where there is none yet.

    Raises DataError where the file cannot be written.
    """
    samples = choose_samples(report, SAMPLES)
    wanted = [(index, finding.marked) for finding in findings for index in finding.records[:OFFENDERS]]
    pictures = draw_samples(report, [*wanted, *((index, UNMARKED) for index in samples)])
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    title, numbers = describe_set(report)
    text = environment.get_template("page.html.jinja").render(
        _describe_classes(report),
        report=report,
        title=title,
        numbers=numbers,
        findings=findings,
        worst=min((finding.level for finding in findings), key=LEVELS.index, default="good"),
        levels=count_levels(findings),
        proposal=proposal,
        samples=samples,
        pictures=pictures,
        drawn=lambda indices, marked=UNMARKED: [index for index in indices if (index, marked) in pictures],
        unmarked=UNMARKED,
        sizes=Counter((r.image.width, r.image.height) for r in report.records if r.image is not None).most_common(),
        crops=[] if report.config is None else [*find_crops(report.config.transforms.train).values()],
        offenders=OFFENDERS,
        show_share=show_share,
        position=_find_position,
    )
    write_whole(path, text.encode("utf-8", "replace"))  # names of files need not be text


def _find_position(share: float) -> float:
    """Where a share lies on a strip, in percent: logarithmic, 0.01 % at the left end and below, 100 % at the right."""
    return 100 * (1 - max(_LOWEST, math.log10(share)) / _LOWEST)


def _describe_classes(report: DatasetReport) -> Mapping[str, Any]:
    """The table of the classes: the share of the pixels in each split, and the number of masks that have each."""
    labelling, pixels = report.labelling, report.class_pixels
    if labelling is None or not pixels.any():
        return {"classes": []}
    splits = {split: indices for split, indices in report.splits.items() if report.counts[indices].any()}
    sums = [pixels[indices].sum(axis=0) for indices in splits.values()]
    shares = np.array([counts / max(int(counts.sum()), 1) for counts in sums]).T  # (classes, splits)
    suggested = suggest_weights(report)
    return {
        "classes": [
            {"name": name, "color": color, "shares": row.tolist(), "masks": int(masks)}
            for name, color, row, masks in zip(
                labelling.names, labelling.colors, shares, (pixels > 0).sum(axis=0), strict=True
            )
        ],
        "splits": list(splits),
        "weights": None if suggested is None else suggested[1],
        "ignored": report.counts[:, IGNORED].sum() / max(int(report.counts.sum()), 1),
    }
