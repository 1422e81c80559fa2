"""Mask values: what the masks of a set hold together, which class each value is, and the `classes:` that they most
likely mean."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segtrain.commands.check.examine import NODATA, MaskRecord, as_written, split_colors
from segtrain.commands.check.finding import make_class, write_classes
from segtrain.config.data_schema import ClassConfig, DataConfig, are_colors, claim_values, is_in_range, pack_color
from segtrain.formats.dataset_info import Labels
from segtrain.visualize import Color, default_colors

IGNORED, UNCLAIMED = -1, -2  # indices behind the classes in a row of counts
LOOSE = 0.2  # a value is one of edges where fewer of its pixels are in squares of 2 x 2; thin poles have 0.3 and more
LEAST_LOOSE = 8  # so many values on edges, and half of all, are smoothing or compression and no classes
MERGED, MERGED_COLORS = 8, 12  # how far compression carries areas from their value or color, at JPEG quality 20 to 95
VOID = 0xE0E0C0  # the border in the palette of VOC, in masks that were made RGB
NO_DATA = (
    1 << 31
) - 1  # from here on, and below 0, a value is usually one for no data: -9999, the limits of a type, nan
MOST_FAR = 3  # values outside 0..65535 that may mean no data; more are no mask
LEAST_SQUARE = 0.0002  # share of all squares that makes a class of a value in masks that are smoothed or compressed
STRAY_PIXELS, STRAY_SHARE = 16, 1e-5
MOST_INDICES = 250  # data.ignore_index is 255
LEAST_THICK = 0.01  # of all pixels: where more are in areas of 255, it is not a border alone
FAR_BELOW_BORDER = 200  # 255 is a border, to be ignored, where the other values end here
SPREAD = 32  # how far JPEG carries most of the pixels of a mask from their colors
SHIFTED = 4  # how far compression moves a color, when it is compared with those of published sets
Kind = Literal["binary", "indices", "values", "colors", "photographs", "instances", "outside", "nothing"]


class Values(NamedTuple):
    """The values of many masks, or their packed colors, in rising order; all arrays have shape (n,).

    `pixels` hold the value, `square` of them lie in squares of 2 x 2 equal ones; `masks` is the number of masks that
    have it. `total_masks` and `total_pixels` are those of all masks, `lossy` the number of them that are JPEG, and
    `thick` their pixels of data.ignore_index that are in areas, as MaskRecord has it.
    `palette` is the packed color of each value where masks are palette pictures with the same colors, else None.
    """

    is_color: bool
    codes: NDArray[np.int64]
    pixels: NDArray[np.int64]
    square: NDArray[np.int64]
    masks: NDArray[np.int64]
    total_masks: int
    total_pixels: int
    lossy: int = 0
    thick: int = 0
    further_values: int = 0
    palette: NDArray[np.int64] | None = None

    def take(self, chosen: NDArray) -> "Values":
        """Those of the values at these indices, or where a mask of bools is true."""
        arrays = {name: item for name, item in self._asdict().items() if isinstance(item, np.ndarray)}
        return self._replace(**{name: item[chosen] for name, item in arrays.items()})


def merge_values(masks: Iterable[MaskRecord], *, is_color: bool | None = None) -> Values | None:
    """The values of all masks as colors, or those of the masks that hold values; by default whatever most hold, and
    then of those that hold it. Pixels without data are left out. None without a mask."""
    masks = list(masks)
    if is_color is None:
        is_color = _mean_colors(masks)
        masks = [mask for mask in masks if not is_color or _has_colors(mask)]
    masks = [mask for mask in masks if is_color or not mask.is_color]
    if not masks:
        return None
    parts = [mask.colors if is_color else mask.codes for mask in masks]
    codes, index = np.unique(np.concatenate(parts), return_inverse=True)
    rows = np.concatenate([mask.counts for mask in masks])
    sums = np.zeros((len(codes), 2), np.int64)
    np.add.at(sums, index, rows[:, :2])
    holders = np.bincount(index[rows[:, 0] > 0], minlength=len(codes))
    known = codes != NODATA
    if not known.any():
        return None
    return Values(
        is_color, codes, *sums.T, holders, len(masks),
        total_pixels=sum(mask.height * mask.width for mask in masks) - int(sums[~known, 0].sum()),
        lossy=sum(mask.file_type == "JPEG" for mask in masks),
        thick=sum(mask.thick for mask in masks),
        further_values=max(mask.further_values for mask in masks),
        palette=None if is_color else _merge_palettes(masks, codes),
    ).take(known)  # fmt: skip


def _has_colors(mask: MaskRecord) -> bool:
    """Whether a mask holds colors, or a palette of them; a gray picture in RGB does where it may be a class alone."""
    return mask.is_color or mask.palette is not None or (mask.is_rgb and len(mask.codes) == 1)


def _mean_colors(masks: Sequence[MaskRecord]) -> bool:
    """Whether the colors are the classes: where most masks have some and RGB pictures are among them, and where
    palettes differ in a value but not in their colors: one color has two values, or each mask numbers one class."""
    colored = [mask for mask in masks if _has_colors(mask)]
    if any(mask.is_color for mask in masks):
        return 2 * len(colored) > len(masks)
    if not palettes_differ(colored) or 2 * len(colored) <= len(masks):
        return False
    pairs = {pair for mask in colored for pair in zip(mask.codes.tolist(), mask.palette.tolist(), strict=True)}
    if len({color for _, color in pairs}) == len(pairs) and any(len(mask.codes) > 2 for mask in colored):
        return False  # drawn in other colors
    colors = merge_values(colored, is_color=True)
    return 2 * (colors.masks > 1).sum() > len(colors.codes)  # colors at random are in one mask each


def palettes_differ(masks: Iterable[MaskRecord]) -> bool:
    """Whether a value that is used has different colors in the palettes of two masks."""
    pairs = {pair for m in masks if m.palette is not None for pair in zip(m.codes.tolist(), m.palette.tolist())}  # noqa: B905
    return len(pairs) > len({value for value, _ in pairs})


def _merge_palettes(masks: list[MaskRecord], codes: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The colors of the values where every mask has a palette, and no two differ in a value; else None."""
    colors = np.full(len(codes), -1, np.int64)
    for mask in masks:
        if mask.palette is None:
            return None
        index = np.searchsorted(codes, mask.codes)
        if ((colors[index] >= 0) & (colors[index] != mask.palette)).any():
            return None
        colors[index] = mask.palette
    return colors


class Labeling(NamedTuple):
    """Names and colors of the classes (a binary task has two, its background first), and which mask value or packed
    color is which: `claims` gives a class's index, or IGNORED."""

    names: list[str]
    colors: list[Color]
    claims: dict[int, int]
    as_color: bool
    binary: bool
    multilabel: bool = False

    def codes_of(self, mask: MaskRecord) -> NDArray[np.int64] | None:
        """The mask's values as these classes read them; None where they cannot: colors where values are expected, or
        the values are in the alpha channel."""
        if mask.band is not None:
            return None
        if self.as_color:
            return mask.colors
        return None if mask.is_color else mask.codes

    def indices_of(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The class's index of each value or packed color, IGNORED, or UNCLAIMED."""
        claims = {NODATA: IGNORED} | self.claims
        return np.array([claims.get(code, UNCLAIMED) for code in codes.tolist()], np.int64)

    def count(self, mask: MaskRecord) -> NDArray[np.int64]:
        """Pixels of each class, of what nothing claims, and of what is ignored: int64 (classes + 2,)."""
        counts = np.zeros(len(self.names) + 2, np.int64)
        codes = self.codes_of(mask)
        if codes is None:
            counts[UNCLAIMED] = mask.height * mask.width
        else:
            np.add.at(counts, self.indices_of(codes), mask.counts[:, 0])
            counts[UNCLAIMED] += mask.further_pixels
        return counts


def labeling_of(data: DataConfig) -> Labeling:
    """The classes of an experiment; one class alone has a background before it."""
    classes, binary = data.classes, data.mode == "binary"
    if data.multilabel:
        claims = {index: index for index in range(len(classes))} | {data.ignore_index: IGNORED}
    else:
        claimed = claim_values(classes, data.ignore_values or [], ignore_index=data.ignore_index)
        claims = {value: IGNORED if index == data.ignore_index else index for value, index in claimed.items()}
    colors = [item.color or (item.colors or [None])[0] for item in classes]
    if None in colors:  # a sequence that is easy to tell apart
        colors = default_colors(len(classes))
    as_color = are_colors(classes) and not data.multilabel
    claims = {value: index for value, index in claims.items() if as_color or is_in_range(value)}
    return Labeling(
        data.class_names,
        [*([(0, 0, 0)] if binary else []), *map(tuple, colors)],
        claims,
        as_color=as_color,
        binary=binary,
        multilabel=data.multilabel,
    )


class Proposal(NamedTuple):
    """What masks most likely mean.

    `classes` and `ignore_values` can be written as they are; `codes` are the values or packed colors that they cover.
    `strays` are values that a handful of pixels have in one mask. `noise` is the share of the pixels that have one of
    `noise_values` others: smoothed edges or JPEG, by `cause`. `known` names the published dataset whose colors these
    are. `same` are values that are one class, `mask_band` is the channel that holds the values where two are empty.
    `lines` are the YAML. Without classes, `kind` says what the masks are instead.
    """

    kind: Kind
    codes: NDArray[np.int64]
    strays: NDArray[np.int64]
    noise: float
    noise_values: int
    cause: Literal["", "jpeg", "blended"]
    classes: Sequence[ClassConfig] = ()
    ignore_values: Sequence[float | list[int]] = ()
    known: str = ""
    same: Sequence[int] = ()
    mask_band: int | None = None
    lines: Sequence[str] = ()


def propose_classes(
    values: Values, known: Mapping[str, Labels] = {}, *, same: Sequence[int] = (), mask_band: int | None = None
) -> Proposal:
    """The classes of these values; `known` are the labels of published sets, by name, whose colors are recognized.
    `same` and `mask_band` are those of Proposal."""
    far = np.array([not (values.is_color or is_in_range(code)) for code in values.codes.tolist()])
    usual = all(code < 0 or code >= NO_DATA for code in values.codes[far].tolist())
    if far.all() or far.sum() > MOST_FAR or not (usual or (~far).sum() > 1):
        return Proposal("outside", values.codes, values.codes[:0], 0.0, 0, "")
    no_data = [as_written(code, as_color=False) for code in values.codes[far].tolist()]
    values = values.take(~far)._replace(total_pixels=values.total_pixels - int(values.pixels[far].sum()))
    solid, cause = find_solid(values)
    real = values.take(solid)
    noise = 1 - float(real.pixels.sum() / values.total_pixels)
    noise_values = len(values.codes) - len(real.codes) + values.further_values
    stray = find_strays(real)
    real, strays = real.take(~stray), real.codes[stray]
    proposal = Proposal("nothing", real.codes, strays, *((noise, noise_values) if cause else (0.0, 0)), cause)
    proposal = proposal._replace(same=same, mask_band=mask_band)
    # Most pixels of a compressed mask have a value near a meant one, those of a photograph have any.
    near = (_distance(_planes(values.codes, values.is_color), _planes(real.codes, real.is_color)) <= SPREAD).any(axis=1)
    if noise > 0.5 and 2 * values.pixels[near].sum() <= values.pixels.sum():
        return proposal._replace(kind="photographs")
    if len(real.codes) > MOST_INDICES:
        return proposal._replace(kind="instances")
    palette = real.codes if real.is_color else real.palette
    if palette is not None and not real.is_color:
        palette = palette[real.codes != 255]  # the border of VOC, in whatever color
    title, names = recognize(palette, known) if palette is not None else ("", {})
    kind, classes, ignored = _name_classes(real, names, same)
    if not classes:
        return proposal._replace(kind=kind, known=title)
    comments = _comments(real, classes)
    if title and real.is_color and cause:
        classes, ignored = _published(known[title])
    elif title and real.is_color:  # values keep their order: the index of a class is its value
        order = [item.name for item in known[title].classes]
        classes.sort(key=lambda item: order.index(item.name))
    ignored += [*(as_written(code, as_color=real.is_color) for code in strays.tolist()), *no_data]
    lines = write_classes(classes, ignored, comments=comments) + ([f"  mask_band: {mask_band}"] if mask_band else [])
    if fills_areas(real) and claim_values(classes, [], ignore_index=-1).get(255, -1) == -1:
        share = show_share(real.pixels[real.codes == 255].sum() / real.total_pixels)
        lines.insert(
            2 + len(classes), f"    # Is 255 a class too? It fills areas, {share} of the pixels; now it is ignored."
        )
    if title:
        lines[1] += f"   # named by the colors of {title}"
    return proposal._replace(kind=kind, classes=classes, ignore_values=ignored, known=title, lines=lines)


def find_solid(values: Values) -> tuple[NDArray[np.bool_], Literal["", "jpeg", "blended"]]:
    """Which values are meant, and what made the others: JPEG files, or values that were blended before they were saved
    (smoothed edges, resizing, a JPEG in between).

    Values that are meant fill areas; those of smoothing and compression lie on edges, or close to a value that fills a
    larger area.
    """
    filled = values.square / np.maximum(values.pixels, 1)
    loose = filled < LOOSE
    everything = np.ones(len(values.codes), bool)
    if not values.lossy and (loose.sum() < LEAST_LOOSE or 2 * loose.sum() < len(loose)):
        return everything, ""
    solid = np.zeros(len(values.codes), bool)
    planes, merged = _planes(values.codes, values.is_color), MERGED_COLORS if values.is_color else MERGED
    large = np.flatnonzero((values.square >= LEAST_SQUARE * values.square.sum()) & ~loose)
    for index in large[np.argsort(-values.square[large], kind="stable")]:
        solid[index] = (_distance(planes[index : index + 1], planes[solid]) > merged).all()
    if not solid.any():
        solid[np.argmax(values.pixels)] = True
    return solid, "jpeg" if values.lossy else "blended"


def fills_areas(values: Values) -> bool:
    """Whether data.ignore_index is more than the border of objects: a share of all pixels is in areas of it."""
    return values.thick > LEAST_THICK * values.total_pixels


def find_strays(values: Values) -> NDArray[np.bool_]:
    """Which values are slips: a handful of pixels, in one mask or one of a hundred, where others have many more."""
    few = values.pixels <= max(STRAY_PIXELS, STRAY_SHARE * values.total_pixels)
    rare = values.masks <= max(1, values.total_masks // 100)
    return few & rare & (values.pixels < 0.01 * values.pixels.max(initial=0)) & (values.total_masks > 1)


def _distance(planes: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """The largest difference in a channel between each of n and each of m colors or values: (n, m)."""
    columns = [abs(planes - other).max(axis=1) for other in others]
    return np.stack(columns, axis=1) if columns else np.zeros((len(planes), 0), np.int64)


def is_near(codes: NDArray[np.int64], others: NDArray[np.int64], *, is_color: bool) -> NDArray[np.bool_]:
    """Which of n values, or packed colors, are where compression carries one of m others: (n,)."""
    distance = _distance(_planes(codes, is_color), _planes(others, is_color))
    return (distance <= (MERGED_COLORS if is_color else MERGED)).any(axis=1)


def _planes(codes: NDArray[np.int64], is_color: bool) -> NDArray[np.int64]:
    """(n, 3) red, green, blue, or (n, 1) values."""
    return split_colors(codes) if is_color else codes[:, None]


def recognize(colors: NDArray[np.int64], known: Mapping[str, Labels]) -> tuple[str, dict[int, str]]:
    """The published set whose colors these packed ones are, and the class of each, "" where it is ignored.

    Three colors at least must be its classes', and none a stranger, within what compression changes. Black, white, and
    full red, green, blue and their sums do not count: many datasets have them. Of several sets it is the one with the
    fewest classes.
    """
    for title, labels in sorted(known.items(), key=lambda item: len(item[1].classes)):
        palette = dict.fromkeys(
            [0, VOID, *(pack_color(list(v)) for v in labels.ignore_values if isinstance(v, tuple))], ""
        )
        palette |= {pack_color(list(c)): item.name for item in labels.classes for c in item.colors or [item.color]}
        distance = _distance(split_colors(colors), split_colors(np.array([*palette])))
        names = [*palette.values()]
        found = {int(code): names[index] for code, index in zip(colors, distance.argmin(axis=1), strict=True)}
        corners = [{*color} <= {0, 255} for color in split_colors(colors).tolist()]
        telling = {found[int(code)] for code, corner in zip(colors, corners, strict=True) if not corner} - {""}
        if (distance.min(axis=1) <= SHIFTED).all() and len(telling) >= 3:
            return title, found
    return "", {}


def _published(labels: Labels) -> tuple[list[ClassConfig], list[int | list[int]]]:
    """A published set's classes as RGB masks have them, and black where no class has it."""
    colors = {item.name: [*map(list, item.colors or [item.color])] for item in labels.classes}
    is_black = [0, 0, 0] in (color for found in colors.values() for color in found)
    return [make_class(name, "color", found) for name, found in colors.items()], [] if is_black else [[0, 0, 0]]


def _name_classes(
    real: Values, names: dict[int, str], same: Sequence[int]
) -> tuple[Kind, list[ClassConfig], list[int | list[int]]]:
    """The kind of masks, classes in their order, and what is ignored; `names` are by packed color, the values `same`
    are one class."""
    is_color, codes = real.is_color, real.codes.tolist()
    colors = dict(zip(codes, codes if is_color or real.palette is None else real.palette.tolist(), strict=True))
    if is_color:
        codes = real.codes[np.argsort(-real.pixels, kind="stable")].tolist()
    elif 255 in codes and 255 not in same and len(codes) > 2 and sorted(codes)[-2] < FAR_BELOW_BORDER:
        others = [code for code in codes if code != 255]
        if not fills_areas(real) or others[-1] - others[0] == len(others) - 1:  # not one of several grays
            codes.remove(255)  # a border, which is data.ignore_index
    if len(codes) < 2:
        return "nothing", [], []
    key = "color" if is_color else "value"
    if len(codes) == 2 and 0 in codes:
        value = as_written(max(codes), as_color=is_color)
        return "binary", [ClassConfig(name="object", **({} if value == 1 else {key: value}))], []
    if same and set(codes) == {0, *same}:
        return "binary", [make_class("object", key, same)], []
    void = [code for code in codes if names.get(colors[code]) == "" or (is_color and code == VOID and len(codes) > 2)]
    codes = [code for code in codes if code not in void]
    joined: dict[str, list[int | list[int]]] = {}
    for index, code in enumerate(codes, start=1):
        other = f"class_{code}" if not is_color else "background" if code == 0 else f"class_{index}"
        other = f"class_{same[0]}" if code in same else other
        joined.setdefault(names.get(colors[code]) or other, []).append(as_written(code, as_color=is_color))
    ignored = [as_written(code, as_color=is_color) for code in void]
    if [*joined.values()] == [[index] for index in range(len(codes))]:
        return "indices", [ClassConfig(name=name) for name in joined], ignored
    classes = [make_class(name, key, found) for name, found in joined.items()]
    return "colors" if is_color else "values", classes, ignored


def _comments(real: Values, classes: list[ClassConfig]) -> dict[str, str]:
    """How often each class occurs, by name."""
    claims, comments = claim_values(classes, [], ignore_index=-1), {}
    for index, item in enumerate(classes, start=len(classes) == 1):
        chosen = np.array([claims.get(code) == index for code in real.codes.tolist()])
        share = show_share(real.pixels[chosen].sum() / real.total_pixels)
        comments[item.name] = f"{share} of the pixels, in {real.masks[chosen].max()} of {real.total_masks} masks"
    return comments


def show_share(share: float) -> str:
    """A share as a percentage; what occurs at all is never 0 %."""
    if 0 < share < 0.0001:
        return "less than 0.01 %"
    return f"{100 * share:.{2 if share < 0.01 else 1}f} %"
