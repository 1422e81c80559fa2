"""check.html: one file to look at, with nothing from outside."""

from collections.abc import Sequence
from pathlib import Path

from segtrain.commands.check.charts import draw_classes, draw_legend, draw_sizes, escape
from segtrain.commands.check.check_sizes import find_crop
from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.examine import Examiner
from segtrain.commands.check.finding import LEVELS, Finding
from segtrain.commands.check.source import Source
from segtrain.commands.check.style import COPY, CSS
from segtrain.commands.check.terminal import count_levels, describe_set
from segtrain.commands.check.thumbnails import choose_samples, draw_samples
from segtrain.files import write_whole

SAMPLES, OFFENDERS = 12, 6
_LISTED_FILES = 1000
Drawn = dict[tuple[int, frozenset[int]], str]


def write_page(
    path: Path,
    source: Source,
    report: DatasetReport,
    findings: Sequence[Finding],
    *,
    proposal: Sequence[str],
    examiner: Examiner,
) -> None:
    """Write the page; `proposal` are the lines of an experiment where there is none yet.

    Raises DataError where the file cannot be written.
    """
    samples = choose_samples(report, SAMPLES)
    wanted = [(index, finding.marked) for finding in findings for index in finding.records[:OFFENDERS]]
    drawn = draw_samples(report, examiner, [*wanted, *((index, frozenset()) for index in samples)])
    text = build_page(source, report, findings, proposal=proposal, samples=samples, drawn=drawn)
    write_whole(path, text.encode("utf-8", "replace"))  # names of files may be no text


def build_page(
    source: Source,
    report: DatasetReport,
    findings: Sequence[Finding],
    *,
    proposal: Sequence[str],
    samples: Sequence[int],
    drawn: Drawn,
) -> str:
    """The page as HTML; `samples` are indices of records, and `drawn` their pictures."""
    title, numbers = describe_set(source, report)
    worst = min((finding.level for finding in findings), key=LEVELS.index, default="good")
    crop = None if report.config is None else find_crop(report.config.transforms.train)
    parts = [
        f"<h1>{escape(title)}</h1><p class='quiet'>{escape(numbers)}</p>",
        f'<p class="verdict {worst}">{count_levels(findings).capitalize()}</p>',
        _contents(findings),
        _section("An experiment for it", _fix("write in experiments/mine.yml", proposal) if proposal else ""),
        "".join(_finding(finding, report, drawn, index) for index, finding in enumerate(findings)),
        _section("Classes", draw_classes(report)),
        _section("Samples", _samples(report, samples, drawn)),
        _section("Sizes", draw_sizes(report, crop)),
    ]
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}: check</title><style>{CSS}</style></head>"
        f"<body><main>{''.join(parts)}</main><script>{COPY}</script></body></html>\n"
    )


def _section(title: str, content: str) -> str:
    return f'<section><h2>{title}</h2><div class="card">{content}</div></section>' if content else ""


def _fix(label: str, lines: Sequence[str]) -> str:
    text = escape("\n".join(lines))
    button = '<button type="button" data-copy>copy</button>'
    return f'<div class="fix"><p class="label"><span>{escape(label)}</span>{button}</p><pre>{text}</pre></div>'


def _contents(findings: Sequence[Finding]) -> str:
    """The titles of all findings, where they do not fit on one screen."""
    if len(findings) < 3:
        return ""
    items = "".join(
        f'<li>{_level(finding)} <a href="#f{index}">{escape(finding.title)}</a></li>'
        for index, finding in enumerate(findings)
    )
    return f'<nav class="card"><ol>{items}</ol></nav>'


def _finding(finding: Finding, report: DatasetReport, drawn: Drawn, index: int) -> str:
    pictures = [
        _picture(report, index, drawn[index, finding.marked])
        for index in finding.records[:OFFENDERS]
        if (index, finding.marked) in drawn
    ]
    fix = _fix(finding.fix.label, finding.fix.lines) if finding.fix is not None else ""
    return (
        f'<article class="card finding {finding.level}" id="f{index}">{_level(finding)}'
        f"<h3>{escape(finding.title)}</h3><p>{escape(finding.explanation)}</p>"
        f"{''.join(_gallery(pictures))}{fix}{_files(finding.files)}</article>"
    )


def _level(finding: Finding) -> str:
    return f'<span class="level {finding.level}">{finding.level}</span>'


def _gallery(pictures: Sequence[str]) -> str:
    return f'<div class="pictures">{"".join(pictures)}</div>' if pictures else ""


def _picture(report: DatasetReport, index: int, address: str) -> str:
    record = report.records[index]
    split = "" if record.split == "all" else f"{record.split}: "
    alternative = f'alt="{escape(record.sample.name)}, the image and its mask"'
    caption = f"<figcaption>{escape(split + record.sample.name)}</figcaption>"
    return f'<figure><img src="{address}" {alternative}>{caption}</figure>'


def _files(files: Sequence[str]) -> str:
    if not files:
        return ""
    items = "".join(f"<li>{escape(file)}</li>" for file in files[:_LISTED_FILES])
    more = f"<li>and {len(files) - _LISTED_FILES:,} more</li>" if len(files) > _LISTED_FILES else ""
    return f"<details><summary>{len(files):,} listed</summary><ul>{items}{more}</ul></details>"


def _samples(report: DatasetReport, samples: Sequence[int], drawn: Drawn) -> str:
    pictures = [_picture(report, p, drawn[p, frozenset()]) for p in samples if (p, frozenset()) in drawn]
    return draw_legend(report) + _gallery(pictures) if pictures else ""
