"""Ignored-value checks: a class whose value is data.ignore_index, and areas, not only borders, that are ignored."""

from collections.abc import Iterator

from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.examine import as_written
from segtrain.commands.check.finding import Finding, explicit
from segtrain.commands.check.mask_values import IGNORED, fills_areas, find_solid, show_share
from segtrain.config.data_schema import ClassConfig
from segtrain.errors import count_of, name_some

MUCH_IGNORED = 0.3


def find_ignored_class(report: DatasetReport) -> Finding | None:
    """Masks in which ignore_index fills areas where a class of the experiment has no pixel: an error where it is all
    that there is beside one class."""
    if report.config is not None and report.labeling.multilabel:
        return _find_ignored_layers(report)
    if report.config is None or report.read is None or report.read.is_color:
        return None
    data, read, names = report.config.data, report.read, report.labeling.names
    value, pixels = data.ignore_index, report.class_pixels.sum(axis=0)
    absent = [index for index in range(len(names)) if not pixels[index]]
    known = report.labeling.indices_of(read.codes)
    if not absent or report.labeling.claims.get(value) != IGNORED or value in (data.ignore_values or []):
        return None
    solid = read.codes[find_solid(read)[0]]
    alone = value in solid and len(solid) == 2 and (known[read.codes != value] >= 0).all()
    if not alone and not fills_areas(read):
        return None
    index = next((index for index in absent if index), absent[0])  # of several, not the first
    background = [ClassConfig(name=names[0], value=value)] if report.labeling.binary and not index else []
    classes = background + [
        item.model_copy(update={"value": value, "values": None}) if place == index else item
        for place, item in enumerate(explicit(data.classes), start=report.labeling.binary)
    ]
    share = read.pixels[read.codes == value].sum() / read.total_pixels
    perhaps = "" if alone else "perhaps "
    held = " and ".join(str(code) for code in solid.tolist() if code != value)
    return report.finding(
        "error" if alone else "warning",
        f"'{names[index]}' has no pixel: its value in the masks is {perhaps}{value}, which is ignored",
        f"The masks contain {held} and {value} ({show_share(share)} of the pixels), and {value} is data.ignore_index "
        "unless a class has it. The lines below assign it to that class.",
        report.classes_fix(classes, data.ignore_values or []),
        masks=report.holding([value]),
        marked=[value],
    )


def _find_ignored_layers(report: DatasetReport) -> Finding | None:
    """Classes that may overlap and have no pixel, where masks hold ignore_index: an error where all are so. And masks
    in which it fills areas where a class has no pixel, while it has some in other masks."""
    data, absent, ignored = report.data, report.class_pixels.sum(axis=0) == 0, report.counts[:, IGNORED] > 0
    value = data.ignore_index
    if absent.any() and ignored.any():
        names = [item.name for item, none in zip(data.classes, absent, strict=True) if none]
        has, perhaps = "has" if len(names) == 1 else "have", "" if absent.all() else "perhaps "
        level = "error" if absent.all() else "warning"
        title = f"{name_some(names, 6)} {has} no pixel: the value in the masks is {perhaps}{value}, which is ignored"
        advice = (
            f"A class has the value 1 in its mask, and {value} is data.ignore_index unless data.classes says "
            f"otherwise. "
        )
        advice += "The lines below do."
        change, masks = {"value": value, "values": None}, ignored.nonzero()[0].tolist()
    else:
        names = [item.name for item in data.classes if item.value is None and not item.values]
        masks = report.where(lambda record: record.mask and record.mask.thick)
        if not masks or not names or value in (data.ignore_values or []):
            return None
        level, title = "error", f"{count_of(len(masks), 'mask', 'has')} areas of {value}, which is ignored"
        advice = (
            "No pixel in them is the class, which has the value 1 in other masks. The lines below give it both values; "
        )
        advice += f"if {value} is to be ignored, write data.ignore_values: [{value}]."
        change = {"value": None, "values": [1, value]}
    classes = [item.model_copy(update=change) if item.name in names else item for item in data.classes]
    fix = report.classes_fix(classes, data.ignore_values or [])
    return report.finding(level, title, advice, fix, masks=masks)


def find_ignored_areas(report: DatasetReport) -> Iterator[Finding]:
    """Areas of ignore_index beside other classes: perhaps a class; and a large share of ignored pixels at all."""
    read, data, labeling = report.read, report.data, report.labeling
    if read is None or labeling.multilabel or report.is_published or find_ignored_class(report):
        return
    total, ignored = report.counts.sum(), report.counts[:, IGNORED].sum()
    known = labeling.indices_of(read.codes) == IGNORED
    told = not read.is_color and data.ignore_index in (data.ignore_values or [])
    areas = fills_areas(read) and not told and (known & (read.codes == data.ignore_index)).any()
    if not known.any() or not (areas or ignored > MUCH_IGNORED * total):  # what the files declare has no value here
        return
    code = data.ignore_index if areas else int(read.codes[(read.pixels * known).argmax()])
    value = as_written(code, as_color=read.is_color)
    yield report.finding(
        "warning" if areas else "note",
        f"{show_share(ignored / total)} of the pixels are ignored" + (f": {value} fills areas" if areas else ""),
        f"They are neither trained on nor scored; most have the value {value}. If that is a class, the lines below "
        f"make it one" + (f"; if not, write data.ignore_values: [{value}]." if areas else "."),
        report.classes_fix(report.with_new([code]), [item for item in data.ignore_values or [] if item != value]),
        masks=report.holding([code]) if areas else (),
        marked=[code],
    )
