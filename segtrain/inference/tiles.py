"""Sliding windows: any image through a model in tiles, blended by Gaussian weights."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

SIGMA_SHARE = 1 / 8  # of the tile's side, as in nnU-Net (Isensee et al., Nature Methods 18, 2021)

Apply = Callable[[Tensor], Tensor]


def tile_starts(side: int, tile: int, overlap: float) -> list[int]:
    """Where tiles begin along a side: evenly apart, the first at 0, the last ending with the side, neighbors sharing
    at least `overlap` of a tile.

    Args:
        side: length of the image's side in pixels, at least 1.
        tile: length of a tile's side in pixels; a shorter image has one tile.
        overlap: 0 <= overlap < 1.
    """
    if side <= tile:
        return [0]
    step = max(int(tile * (1 - overlap)), 1)
    gaps = -(-(side - tile) // step)
    return [index * (side - tile) // gaps for index in range(gaps + 1)]


def blend_weights(height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Weight of each pixel of a tile, (height, width) float32: 1 in the middle, falling to the borders, never 0."""
    sides = []
    for side in (height, width):
        offset = torch.arange(side, dtype=torch.float32, device=device) - (side - 1) / 2
        sides.append(torch.exp(-0.5 * (offset / (SIGMA_SHARE * side)) ** 2))
    return sides[0][:, None] * sides[1][None]


def blend_strips(
    read_rows: Callable[[int, int], Tensor],
    size: tuple[int, int],
    apply: Apply,
    *,
    tile: tuple[int, int],
    overlap: float,
    batch_size: int,
) -> Iterator[tuple[int, Tensor]]:
    """Predict in tiles, from top to bottom, holding no more than one row of tiles.

    Args:
        read_rows: (top, bottom) -> these rows of the images, (N, C, bottom - top, W).
        size: height and width of the images.
        apply: images (B, C, h, w) -> probabilities (B, K, h, w).
        tile: height and width of a tile; what fits into one goes through `apply` as it is.
        overlap: least share of a tile that its neighbor covers too.
        batch_size: tiles that `apply` gets at once.

    Yields:
        (first row, probabilities (N, K, rows, W) float32), every row once, in order. They lie in memory that the next
        strip overwrites.
    """
    (height, width), (tile_height, tile_width) = size, (min(tile[0], size[0]), min(tile[1], size[1]))
    tops, lefts = tile_starts(height, tile_height, overlap), tile_starts(width, tile_width, overlap)
    if len(tops) == len(lefts) == 1:
        images = read_rows(0, height)
        return (yield 0, torch.cat([apply(part) for part in images.split(batch_size)]))
    total = mass = weights = None
    for index, top in enumerate(tops):
        rows = read_rows(top, top + tile_height)
        windows = [(image, left) for left in lefts for image in range(len(rows))]
        for first in range(0, len(windows), batch_size):
            chosen = windows[first : first + batch_size]
            tiles = apply(torch.stack([rows[image, :, :, left : left + tile_width] for image, left in chosen]))
            if total is None:
                total = tiles.new_zeros(len(rows), tiles.shape[1], tile_height, width)
                mass = tiles.new_zeros(tile_height, width)
                weights = blend_weights(tile_height, tile_width, tiles.device)
            for (image, left), probabilities in zip(chosen, tiles, strict=True):
                total[image, :, :, left : left + tile_width].addcmul_(probabilities, weights)
                if image == 0:
                    mass[:, left : left + tile_width] += weights
        done = (tops[index + 1] if index + 1 < len(tops) else height) - top
        yield top, total[:, :, :done].div_(mass[:done])
        for sums in (total, mass):
            _move_up(sums, done)


def _move_up(sums: Tensor, rows: int) -> None:
    """Drop the first rows of (..., H, W), in place, and go on with nothing in the last ones."""
    kept = sums.shape[-2] - rows
    rest = sums[..., rows:, :]
    sums[..., :kept, :] = rest if kept <= rows else rest.clone()  # the two may not lie over one another
    sums[..., kept:, :] = 0


def predict_tiles(images: Tensor, apply: Apply, *, tile: tuple[int, int], overlap: float, batch_size: int) -> Tensor:
    """Images (N, C, H, W) in memory through blend_strips: probabilities (N, K, H, W) float32."""
    strips = blend_strips(
        lambda top, bottom: images[:, :, top:bottom],
        tuple(images.shape[-2:]),
        apply,
        tile=tile,
        overlap=overlap,
        batch_size=batch_size,
    )
    return torch.cat([strip.clone() for _, strip in strips], dim=2)


def pad_to(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (N, C, H, W) of at most `size`, repeated at the bottom and right to exactly that."""
    bottom, right = size[0] - images.shape[-2], size[1] - images.shape[-1]
    if not bottom and not right:
        return images
    return functional.pad(images.float(), (0, right, 0, bottom), mode="replicate").to(images.dtype)
