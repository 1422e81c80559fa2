"""One folder for images and masks: told apart by the endings, the beginnings or the types of their names."""

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from glob import escape
from typing import Literal, NamedTuple

_MASK = re.compile(
    r"mask|label|lbl|seg|annot|manual|matte|trimap|truth|\d(st|nd|rd|th)?HO|gtFine|(?<![a-z\d])(gt|l)(?![a-z])|\dgt\b",
    re.IGNORECASE,
)
_IMAGE = re.compile(r"im(g|age)|rgb|photo|(?<![a-z])(im|sat|input)(?![a-z])", re.IGNORECASE)
_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
_LARGEST = 12  # parts of names, the most frequent ones, of which each is compared with each
_SHARE = 5  # a kind of masks has at least one file of so many


class MaskKind(NamedTuple):
    """Masks of one kind in a folder, {image: mask}, and how their names tell them apart: both have the same name but
    for an ending, a beginning or the type, `image` here and one of `masks` there."""

    by: Literal["ending", "beginning", "type"]
    image: str
    masks: tuple[str, ...]
    pairs: dict[str, str]


def find_kinds(images: Collection[str], masks: Collection[str]) -> list[MaskKind]:
    """The kinds of masks in a folder, from the names of its files with their paths below it: those that may be images
    and those that may be masks. Several where images have several masks each; none where the names tell nothing."""
    parts: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for name in sorted({*images, *masks}):
        for by, part, core in _cut(name):
            parts[by, part].setdefault(core, name)
    images, masks, kinds = set(images), set(masks), []
    for by in ("ending", "beginning", "type"):
        found = sorted((part for kind, part in parts if kind == by), key=lambda part: -len(parts[by, part]))[:_LARGEST]
        for image, mask in ((image, mask) for image in found for mask in found if _may_be(by, image, mask)):
            here, there = parts[by, image], parts[by, mask]
            pairs = {here[core]: there[core] for core in here.keys() & there.keys()}
            pairs = {i: m for i, m in pairs.items() if i != m and i in images and m in masks}
            if len(pairs) * _SHARE >= len(images | masks):
                kinds.append(MaskKind(by, image, (mask,), pairs))
    kinds.sort(key=lambda kind: (-len(kind.pairs), len(kind.image) + len(kind.masks[0])))
    kinds = [kind for kind in kinds if _MASK.search(kind.masks[0])] or kinds
    of_images = [kind for kind in kinds if not _MASK.search(os.path.basename(min(kind.pairs)))]
    return _distinct(of_images or kinds)


def _cut(name: str) -> Iterator[tuple[str, str, str]]:
    """How a name may be cut: by what, the part that is cut off, and what is left."""
    stem, dot = os.path.splitext(name)
    head, slash, base = stem.rpartition("/")
    yield "type", "jpeg" if dot.lower() in _JPEG else dot.lower(), stem
    yield "ending", "", stem
    yield "beginning", "", stem
    for match in re.finditer(r"(?<=.)(?=[ _.\-(])|(?<=\d)(?=[A-Za-z])", base):
        if re.search("[A-Za-z]", base[match.end() :]):
            yield "ending", base[match.end() :], f"{head}{slash}{base[: match.end()]}"
    for match in re.finditer(r"(?<=[ _.\-)])(?=.)|(?<=[A-Za-z])(?=\d)", base):
        if re.search("[A-Za-z]", base[: match.end()]):
            yield "beginning", base[: match.end()], f"{head}{slash}{base[match.end() :]}"


def _may_be(by: str, image: str, mask: str) -> bool:
    """Whether these parts of names may be that of an image and that of its mask."""
    if image == mask or by == "type":
        return image == "jpeg" != mask
    if _MASK.search(image):
        return False
    return bool(_MASK.search(mask) or ((_IMAGE.search(image) or not image) and not _IMAGE.search(mask)))


def _distinct(kinds: list[MaskKind]) -> list[MaskKind]:
    """Without those that say the same of files as one before them; endings of masks of other images are one kind."""
    kept: list[MaskKind] = []
    for kind in kinds:
        masks = {mask: len(other.pairs) for other in kept for mask in other.pairs.values()}
        if masks.keys() & kind.pairs.keys() or any(kind.pairs.items() <= other.pairs.items() for other in kept):
            continue
        if any(masks.get(mask, 0) > len(kind.pairs) for mask in kind.pairs.values()):
            continue  # Image_01R with L_mask, where Image_01L_mask is the mask of Image_01L
        for index, other in enumerate(kept):
            if kind.by == other.by == "ending" and kind.image == other.image and not kind.pairs.keys() & other.pairs:
                kept[index] = other._replace(masks=other.masks + kind.masks, pairs=other.pairs | kind.pairs)
                break
        else:
            kept.append(kind)
    return kept


def list_globs(kind: MaskKind) -> tuple[list[str], list[str]]:
    """Globs that may hold the images of a kind, and others for its masks, the simplest first."""
    names = (list(kind.pairs), list(kind.pairs.values()))
    star = "**/*" if any("/" in name for both in names for name in both) else "*"
    parts = ((kind.image,), kind.masks)
    if kind.by == "beginning":
        return tuple([f"{star[:-1]}{escape(part[0])}*"] for part in parts)
    globs = []
    for part, files in zip(parts, names, strict=True):
        of_type = _type_glob(files)
        last = "".join(sorted({os.path.splitext(name)[0][-1] for name in files}))
        last = "0-9" if last.isdecimal() else last
        with_ending = f"{star}{escape(part[0])}{of_type}" if kind.by == "ending" else f"{star}{of_type}"
        may_end = kind.by == "ending" and not part[0] and re.fullmatch(r"0-9|\w+", last)
        globs.append([*([with_ending] if len(part) == 1 else []), *([f"{star}[{last}]{of_type}"] if may_end else [])])
    return tuple(globs)


def _type_glob(names: list[str]) -> str:
    """The end of a glob for files with the types of these names."""
    types = {os.path.splitext(name)[1] for name in names}
    if len(types) == 1:
        return types.pop()
    first = {dot[1].lower() for dot in types}
    return f".[{''.join(sorted(first | {letter.upper() for letter in first}))}]*"
