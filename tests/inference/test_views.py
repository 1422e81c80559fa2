import numpy as np
import pytest
import torch

from segtrain.inference.network import resize_probabilities
from segtrain.inference.views import FLIPS, average_views, resize_images


def draw(size=(5, 7), channels: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (2, channels, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def by_pixel(images: torch.Tensor) -> torch.Tensor:
    return images[:, :1].float() / 255


@pytest.mark.parametrize("flip", FLIPS)
def test_what_depends_on_the_pixel_alone_is_laid_back_where_it_was(flip):
    images = draw()
    averaged = average_views(images, by_pixel, scales=[1.0], flip=flip)
    torch.testing.assert_close(averaged, by_pixel(images), rtol=0, atol=1e-6)


def test_views_by_hand():
    seen = []

    def left_column(images: torch.Tensor) -> torch.Tensor:
        seen.append(images[0, 0].tolist())
        probabilities = torch.zeros(len(images), 1, *images.shape[-2:])
        probabilities[..., 0] = 1
        return probabilities

    image = torch.tensor([[[[1, 2, 3], [4, 5, 6]]]], dtype=torch.uint8)
    mirrored = average_views(image, left_column, scales=[1.0], flip="horizontal")
    assert seen == [[[1, 2, 3], [4, 5, 6]], [[3, 2, 1], [6, 5, 4]]]
    assert mirrored[0, 0].tolist() == [[0.5, 0, 0.5], [0.5, 0, 0.5]]
    seen.clear()
    turned = average_views(image, left_column, scales=[1.0], flip="d4")
    assert len(seen) == 8 and len({str(view) for view in seen}) == 8
    assert {len(view) for view in seen} == {2, 3}
    # Each border is the left column of two of the eight views; a corner lies on two borders.
    assert turned[0, 0].tolist() == [[0.5, 0.25, 0.5], [0.5, 0.25, 0.5]]


def test_scales_are_averaged_as_probabilities():
    sizes = []

    def height(images: torch.Tensor) -> torch.Tensor:
        sizes.append(tuple(images.shape[-2:]))
        return torch.full((len(images), 1, *images.shape[-2:]), images.shape[-2] / 100)

    averaged = average_views(draw((20, 30)), height, scales=[0.5, 1.0, 1.25], flip="none")
    assert sizes == [(10, 15), (20, 30), (25, 38)]  # 37.5 rounds to the even number
    assert averaged.shape == (2, 1, 20, 30)
    torch.testing.assert_close(averaged, torch.full_like(averaged, (0.10 + 0.20 + 0.25) / 3))
    assert average_views(draw((1, 1)), height, scales=[0.1], flip="none").shape == (2, 1, 1, 1)


def test_images_stay_bytes_and_reduced_ones_are_smoothed():
    checks = torch.tensor(np.indices((8, 8)).sum(0) % 2 * 255, dtype=torch.uint8).expand(1, 3, 8, 8)
    half = resize_images(checks, (4, 4))
    assert half.dtype == torch.uint8 and (half.float() - 127.5).abs().max() <= 30
    assert resize_images(checks, (8, 8)) is checks
    floats = resize_images(checks.float() / 2, (16, 16))
    assert floats.dtype == torch.float32 and floats.max() <= 127.5
    probabilities = torch.rand(1, 2, 8, 8)
    assert resize_probabilities(probabilities, (8, 8)) is probabilities
