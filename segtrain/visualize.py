"""Pictures of masks for people: colors, overlays, panels that compare ground truth and prediction.

An image is HWC uint8 RGB, 0..255; a mask or prediction is HW of integers; colors are (red, green, blue), 0..255.
"""

import functools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

IGNORED_COLOR: Color = (0, 0, 0)
ERROR_COLOR: Color = (230, 30, 40)
ERROR_IGNORED_COLOR: Color = (150, 150, 150)
MARGIN_PX = 8
PANEL_SIDE_PX = (256, 1024)  # the longer side of one picture in a panel: smaller ones are enlarged, larger ones reduced


@dataclass
class Panel:
    """One validation image: `image` HWC uint8 RGB, `mask` and `prediction` HW class indices of the same size, `panel`
    HWC uint8 RGB, the picture that compares them."""

    name: str
    image: NDArray
    mask: NDArray
    prediction: NDArray
    panel: NDArray


def show_color(color: Sequence[int]) -> str:
    """A color as text, `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def class_suffixes(names: Sequence[str], prefix: str = "", *, numbered: bool = True) -> list[str]:
    """The ending of the PNG of each class, after the name of an image: `prefix` and `_0_NAME.png`; characters that file
    systems do not allow become `_`. If not `numbered`, it is `_NAME.png`, provided that these are unique."""
    plain = [re.sub(r'[/\\:*?"<>|]', "_", name) for name in names]
    if not numbered and len({name.casefold() for name in plain}) == len(plain):
        return [f"{prefix}_{name}.png" for name in plain]
    return [f"{prefix}_{index}_{name}.png" for index, name in enumerate(plain)]


def default_colors(count: int) -> list[Color]:
    """The first `count` colors of one fixed sequence; each is far from all before it, from grays and from ERROR_COLOR.

    Distances are those of CIELAB, where they follow the eye. The next color always is the candidate that is farthest
    from its nearest taken one, so few classes are farther apart than many. The sequence repeats after about 2000.
    """
    order = _color_order()
    return [order[index % len(order)] for index in range(count)]


@functools.cache
def _color_order() -> tuple[Color, ...]:
    levels = np.linspace(0, 255, 16)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    pixels = np.vstack([grid, ERROR_COLOR])
    *lab, taken = cv2.cvtColor(np.float32(pixels / 255)[None], cv2.COLOR_RGB2LAB)[0].astype(np.float64)
    lab = np.array(lab)
    lightness, chroma = lab[:, 0], np.hypot(lab[:, 1], lab[:, 2])
    keep = (chroma > 28) & (chroma < 90) & (lightness > 38) & (lightness < 88)
    grid, lab = grid[keep], lab[keep]
    nearest = np.minimum(chroma[keep], np.linalg.norm(lab - taken, axis=1))  # chroma: the distance to the nearest gray
    order = []
    while nearest.max() > 0:
        best = int(np.argmax(nearest.round(3)))  # rounded: the order must not depend on a processor's last bit
        order.append(tuple(int(value) for value in grid[best]))
        nearest = np.minimum(nearest, np.linalg.norm(lab - lab[best], axis=1))
    return tuple(order)


def colorize(mask: NDArray, colors: Sequence[Color], *, ignore_index: int = 255) -> NDArray[np.uint8]:
    """Paint class indices.

    Args:
        mask: HW integers, 0..len(colors) - 1 or ignore_index.
        colors: one per class.
        ignore_index: painted black, also where it is one of the classes.

    Returns:
        HWC uint8 RGB.

    Raises:
        ValueError: the mask is not HW, or holds a value that is neither a class nor ignore_index.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise ValueError(f"expected a mask of shape (H, W), got {mask.shape}")
    ignored = mask == ignore_index
    wrong = ~ignored & ((mask < 0) | (mask >= len(colors)))
    if wrong.any():
        raise ValueError(f"mask value {mask[wrong][0]} is neither a class (0..{len(colors) - 1}) nor {ignore_index}")
    table = np.array([*colors, IGNORED_COLOR], dtype=np.uint8)
    return table[np.where(ignored, len(colors), mask)]


def flatten_layers(layers: NDArray, *, ignore_index: int = 255, like: NDArray | None = None) -> NDArray:
    """Layers of classes that may overlap as one mask for pictures, small ones on top of large ones.

    Args:
        layers: CHW integers, 1 where a pixel belongs to the class, 0 where it does not, or ignore_index.
        like: layers by whose areas they are ordered; by default their own.

    Returns:
        HW int32: 0 for pixels without a class, otherwise 1 + the index of the topmost class; ignore_index where every
        layer is ignored.
    """
    areas = ((layers if like is None else like) == 1).sum(axis=(1, 2))
    flat = np.where((layers == ignore_index).all(axis=0), ignore_index, 0).astype(np.int32)
    for index in np.argsort(-areas, kind="stable"):
        flat[layers[index] == 1] = index + 1
    return flat


def flatten_both(mask: NDArray, prediction: NDArray, *, ignore_index: int) -> tuple[NDArray, NDArray, NDArray]:
    """A mask and a prediction for pictures, HW indices, and where they differ, HW bool; for layers (CHW), where any
    layer does. Both are HW or both CHW."""
    wrong = (mask != prediction) & (mask != ignore_index)
    if mask.ndim == 2:
        return mask, prediction, wrong
    flat = (flatten_layers(layers, ignore_index=ignore_index, like=mask) for layers in (mask, prediction))
    return *flat, wrong.any(axis=0)


def to_rgb(image: NDArray) -> NDArray[np.uint8]:
    """Any image as a viewable one, HWC uint8 RGB: the first three channels, or the first as grayscale.

    Args:
        image: HWC uint8, or float, which is stretched: its darkest and brightest 1 % become black and white.
    """
    image = image[..., :3] if image.shape[2] >= 3 else np.repeat(image[..., :1], 3, axis=2)
    if image.dtype != np.uint8:
        low, high = np.percentile(image, (1, 99))
        image = (np.clip((image - low) / max(high - low, 1e-9), 0, 1) * 255).astype(np.uint8)
    return image


def overlay(
    image: NDArray[np.uint8], color_mask: NDArray[np.uint8], *, alpha: float = 0.6, ignored: NDArray | None = None
) -> NDArray[np.uint8]:
    """Blend colors over an image: (1 - alpha) * image + alpha * color, HWC uint8 RGB.

    Args:
        image: HWC uint8 RGB.
        color_mask: HWC uint8 RGB of the same size, as from `colorize`.
        alpha: opacity of the colors, 0..1.
        ignored: HW bool; where true the image shows through unchanged.

    Raises:
        ValueError: image and colors differ in shape.
    """
    if image.shape != color_mask.shape or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"expected image and colors of the same shape (H, W, 3), got {image.shape} and {color_mask.shape}"
        )
    blend = cv2.addWeighted(image, 1 - alpha, color_mask, alpha, 0)
    return blend if ignored is None else np.where(ignored[..., None], image, blend)


def darken(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image dark and without colors, so that marks on it stand out; both are HWC uint8 RGB."""
    return np.repeat(np.rint(30 + 0.35 * image.mean(axis=2, keepdims=True)).astype(np.uint8), 3, axis=2)


def compare_panel(
    image: NDArray[np.uint8],
    mask: NDArray,
    prediction: NDArray,
    wrong: NDArray[np.bool_],
    *,
    names: Sequence[str],
    colors: Sequence[Color],
    ignore_index: int = 255,
) -> NDArray[np.uint8]:
    """One picture: image | ground truth | prediction | errors, titled, above a legend of the classes that occur.

    In the errors, wrong pixels are red, ignored ones light gray, right ones the image, dark and without color.

    Args:
        image: HWC uint8 RGB. Enlarged or reduced so that its longer side lies in PANEL_SIDE_PX.
        mask: HW integers, class indices or ignore_index.
        prediction: HW integers, class indices.
        wrong: HW, where the prediction is wrong, as from `flatten_both`.
        names: the C class names.
        colors: the C colors.
        ignore_index: mask value of the pixels that are neither tinted nor judged.

    Returns:
        HWC uint8 RGB; the pictures lie side by side, MARGIN_PX apart and from the edge.

    Raises:
        ValueError: sizes differ, or a value is neither a class nor ignore_index.
    """
    shapes = {image.shape[:2], mask.shape, prediction.shape, wrong.shape}
    if len(shapes) != 1:
        raise ValueError(f"image, mask and prediction must have the same size, got {sorted(shapes)}")
    image, mask, prediction, wrong = (_fit(picture) for picture in (image, mask, prediction, wrong))
    truth, predicted = (
        overlay(image, colorize(indices, colors, ignore_index=ignore_index), ignored=indices == ignore_index)
        for indices in (mask, prediction)
    )
    ignored = mask == ignore_index
    errors = darken(image)
    errors[ignored] = ERROR_IGNORED_COLOR
    errors[wrong] = ERROR_COLOR
    share = wrong.sum() / max((~ignored).sum(), 1)
    pictures = [("image", image), ("ground truth", truth), ("prediction", predicted), (f"errors {share:.1%}", errors)]
    legend = _legend(np.concatenate([mask[~ignored], prediction.ravel()]), names, colors)
    legend.append(("wrong", ERROR_COLOR))
    return _compose(pictures, [*legend, ("ignored", ERROR_IGNORED_COLOR)] if ignored.any() else legend)


def prediction_panel(
    image: NDArray[np.uint8],
    tinted: NDArray[np.uint8],
    prediction: NDArray,
    *,
    names: Sequence[str],
    colors: Sequence[Color],
) -> NDArray[np.uint8]:
    """One picture: image | prediction, titled, above a legend of the classes that occur, as compare_panel has it.

    Args:
        image: HWC uint8 RGB.
        tinted: the same with the colors of the prediction over it, as from `overlay`.
        prediction: HW class indices.
        names: the C class names.
        colors: the C colors.
    """
    pictures = [("image", _fit(image)), ("prediction", _fit(tinted))]
    return _compose(pictures, _legend(prediction.ravel(), names, colors))


def sample_panel(
    image: NDArray[np.uint8], mask: NDArray, *, names: Sequence[str], colors: Sequence[Color], ignore_index: int = 255
) -> NDArray[np.uint8]:
    """One picture: image | mask over the image, above a legend of the classes that occur.

    Args:
        image: HWC uint8 RGB.
        mask: HW class indices, or ignore_index.
        names: the C class names.
        colors: the C colors.
        ignore_index: value of ignored pixels, through which the image shows.
    """
    image, mask = _fit(image), _fit(mask)
    ignored = mask == ignore_index
    over = overlay(image, colorize(mask, colors, ignore_index=ignore_index), ignored=ignored)
    return _compose([("image", image), ("mask", over)], _legend(mask[~ignored], names, colors))


def uncertainty_panel(
    image: NDArray[np.uint8], tinted: NDArray[np.uint8], uncertainty: NDArray[np.float32], *, title: str
) -> NDArray[np.uint8]:
    """One picture: image | prediction | where it is uncertain, from black over red to yellow, titled.

    Args:
        image: HWC uint8 RGB.
        tinted: the same with the colors of the prediction over it, as from `overlay`.
        uncertainty: HW, 0..1.
        title: of the image.
    """
    levels = np.rint(255 * uncertainty).astype(np.uint8)
    heat = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return _compose([(title, _fit(image)), ("prediction", _fit(tinted)), ("uncertainty", _fit(heat))], [])


def _fit(picture: NDArray) -> NDArray:
    """Repeat or drop rows and columns, so that no color and no index is invented."""
    height, width = picture.shape[:2]
    low, high = PANEL_SIDE_PX
    longer = max(height, width)
    scale = math.ceil(low / longer) if longer < low else min(1.0, high / longer)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    return picture[(np.arange(rows) * height // rows)[:, None], np.arange(columns) * width // columns]


def _legend(indices: NDArray, names: Sequence[str], colors: Sequence[Color]) -> list[tuple[str, Color]]:
    return [(names[index], colors[index]) for index in np.unique(indices)]


def _compose(pictures: list[tuple[str, NDArray]], legend: list[tuple[str, Color]]) -> NDArray[np.uint8]:
    """Draw titles, pictures and legend on white."""
    height, width = pictures[0][1].shape[:2]
    size = int(np.clip(max(height, width) // 22, 13, 26))
    font = ImageFont.load_default(size=size)
    line = round(size * 1.5)
    total = len(pictures) * (width + MARGIN_PX) + MARGIN_PX
    entries = [(_shorten(name, font, total // 2), color) for name, color in legend]
    entry_width = round(max((font.getlength(name) for name, _ in entries), default=0) + size * 2.8)
    columns = max(1, (total - MARGIN_PX) // entry_width)
    top = line + MARGIN_PX
    bottom = top + height + MARGIN_PX
    canvas = Image.new("RGB", (total, bottom + math.ceil(len(entries) / columns) * line + MARGIN_PX), "white")
    draw = ImageDraw.Draw(canvas)
    for index, (title, picture) in enumerate(pictures):
        left = MARGIN_PX + index * (width + MARGIN_PX)
        draw.text((left, top - MARGIN_PX // 2), _shorten(title, font, width), fill=(30, 30, 30), font=font, anchor="ld")
        canvas.paste(Image.fromarray(picture), (left, top))
    for index, (name, color) in enumerate(entries):
        left, middle = MARGIN_PX + index % columns * entry_width, bottom + index // columns * line + line // 2
        half = round(size * 0.4)
        draw.rectangle((left, middle - half, left + 2 * half, middle + half), fill=color)
        draw.text((left + round(size * 1.3), middle), name, fill=(30, 30, 30), font=font, anchor="lm")
    return np.asarray(canvas)


def _shorten(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Cut the text so that it is at most `width` pixels long."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
