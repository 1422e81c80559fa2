import numpy as np
import pytest
import torch
from torch.nn import functional

from segtrain.inference.tiles import blend_strips, blend_weights, pad_to, predict_tiles, tile_starts

SIDES = [1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 100, 257, 1000]


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.25, 0.5, 0.75, 0.95])
@pytest.mark.parametrize("tile", [16, 17, 33, 64])
def test_tiles_cover_a_side_and_share_at_least_the_overlap(tile, overlap):
    for side in SIDES:
        starts = tile_starts(side, tile, overlap)
        covered = np.zeros(side, int)
        for start in starts:
            covered[start : start + tile] += 1
        assert covered.min() >= 1 and starts[0] == 0
        assert starts[-1] + tile == max(side, tile)
        gaps = np.diff(starts)
        assert all(0 < gap <= max(int(tile * (1 - overlap)), 1) for gap in gaps), (side, starts)


def test_tile_starts_by_hand():
    assert tile_starts(100, 100, 0.25) == [0]
    assert tile_starts(101, 100, 0.25) == [0, 1]
    assert tile_starts(250, 100, 0.25) == [0, 75, 150]
    assert tile_starts(240, 100, 0.25) == [0, 70, 140]  # evenly, not 0, 75, 140
    assert tile_starts(300, 100, 0.0) == [0, 100, 200]


def test_weights_are_largest_in_the_middle_and_never_nothing():
    weights = blend_weights(5, 4)
    assert weights.shape == (5, 4) and weights[2, 1] == weights[2, 2] == weights.max()
    assert torch.equal(weights, weights.flip(0)) and torch.equal(weights, weights.flip(1))
    # a pixel two away from the middle of five: exp(-(2 / (5 / 8)) ** 2 / 2)
    assert weights[0, 1] / weights[2, 1] == pytest.approx(np.exp(-0.5 * 3.2**2), rel=1e-5)
    assert blend_weights(512, 512).min() > 0


def by_pixel(images: torch.Tensor) -> torch.Tensor:
    """Probabilities of two classes that depend on the pixel alone: a receptive field of one."""
    return torch.stack([images[:, 0], 255 - images[:, 0]], 1).float() / 255


def by_neighbors(images: torch.Tensor) -> torch.Tensor:
    """The mean of 3 x 3 pixels: a receptive field of three."""
    return functional.avg_pool2d(functional.pad(images[:, :1].float(), (1, 1, 1, 1), mode="replicate"), 3, 1)


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (16, 16), (17, 90), (90, 17), (61, 83)])
@pytest.mark.parametrize(("tile", "overlap", "batch_size"), [(16, 0.25, 4), (16, 0.9, 3), (33, 0.0, 1), (64, 0.5, 7)])
def test_every_pixel_gets_its_own_prediction(size, tile, overlap, batch_size):
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    tiled = predict_tiles(images, by_pixel, tile=(tile, tile), overlap=overlap, batch_size=batch_size)
    assert tiled.shape == (2, 2, *size)
    torch.testing.assert_close(tiled, by_pixel(images), rtol=0, atol=1e-5)


def test_tiles_equal_the_whole_image_as_far_as_the_receptive_field_allows():
    images = torch.randint(0, 256, (1, 1, 50, 70), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    tiled = predict_tiles(images, by_neighbors, tile=(20, 20), overlap=0.25, batch_size=4)
    seam = torch.zeros(50, 70, dtype=torch.bool)  # the outermost pixels of tiles, which do not see their neighbors
    for top in tile_starts(50, 20, 0.25):
        for left in tile_starts(70, 20, 0.25):
            edge = torch.ones(20, 20, dtype=torch.bool)
            edge[1 if top else 0 : 19 if top + 20 < 50 else 20, 1 if left else 0 : 19 if left + 20 < 70 else 20] = False
            seam[top : top + 20, left : left + 20] |= edge
    difference = (tiled - by_neighbors(images))[0, 0].abs()
    assert 0.1 < seam.float().mean() < 0.3
    assert difference[~seam].max() < 1e-3
    # At a seam the tile that sees the neighbors weighs more: Gaussian blending keeps most of the difference out.
    cut = predict_tiles(images, by_neighbors, tile=(20, 20), overlap=0.0, batch_size=4)
    assert difference[seam].mean() < 0.5 * (cut - by_neighbors(images))[0, 0].abs()[seam].mean()


def test_strips_come_in_order_and_hold_one_row_of_tiles():
    image = torch.randint(0, 256, (1, 3, 100, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    asked = []

    def read_rows(top: int, bottom: int) -> torch.Tensor:
        asked.append((top, bottom))
        return image[:, :, top:bottom]

    options = {"tile": (30, 30), "overlap": 0.3, "batch_size": 2}
    strips = [(top, strip.clone()) for top, strip in blend_strips(read_rows, (100, 40), by_pixel, **options)]
    assert asked == [(0, 30), (17, 47), (35, 65), (52, 82), (70, 100)]
    assert [top for top, _ in strips] == [0, 17, 35, 52, 70]
    assert [strip.shape[2] for _, strip in strips] == [17, 18, 17, 18, 30]
    torch.testing.assert_close(torch.cat([strip for _, strip in strips], 2), by_pixel(image), rtol=0, atol=1e-6)


def test_a_batch_never_holds_more_tiles_than_allowed():
    sizes = []

    def apply(images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return by_pixel(images)

    predict_tiles(torch.zeros(3, 3, 20, 50, dtype=torch.uint8), apply, tile=(20, 20), overlap=0.0, batch_size=4)
    assert sizes == [4, 4, 1]  # three tiles of three images


def test_padding_repeats_the_border():
    image = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8)
    assert pad_to(image, (3, 4)).tolist() == [[[[1, 2, 2, 2], [3, 4, 4, 4], [3, 4, 4, 4]]]]
    assert pad_to(image, (2, 2)) is image
