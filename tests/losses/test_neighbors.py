import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from segtrain.errors import ConfigError
from segtrain.losses import BoundaryLoss, CLDiceLoss, RMILoss
from segtrain.losses.neighbors import compute_distances, compute_distances_on_device, compute_signed_distances


def draw(*, shape=(2, 3, 19, 23), share=0.2, ignored=0.1):
    rng = np.random.default_rng(0)
    there, valid = rng.random(shape) < share, rng.random(shape) >= ignored
    return torch.from_numpy(there & valid), torch.from_numpy(valid)


@pytest.mark.parametrize("compute", [compute_distances, compute_distances_on_device])
@pytest.mark.parametrize("share", [0.002, 0.2, 1.0])
def test_distances_are_those_of_scipy(compute, share):
    sources, _ = draw(shape=(2, 3, 37, 53), share=share)
    sources[0, 0, 5, 7] = sources[1, :, 30, 1] = sources[0, 1:, 0, 52] = True  # one in each layer
    expected = [[distance_transform_edt(~layer) for layer in image] for image in sources.numpy()]
    np.testing.assert_allclose(compute(sources).numpy(), np.array(expected), rtol=1e-6)


def test_signed_distances_by_hand():
    # A bar of three pixels, an ignored one, and two outside. Its last pixel is 2 from the first outside.
    row = torch.tensor([1, 1, 1, 0, 0, 0], dtype=torch.bool).view(1, 1, 1, 6)
    valid = torch.tensor([1, 1, 1, 0, 1, 1], dtype=torch.bool).view(1, 1, 1, 6)
    signed = compute_signed_distances(row, valid).flatten()
    assert signed[[0, 1, 2, 4, 5]].tolist() == [-3, -2, -1, 2, 3]
    for there in (valid, torch.zeros_like(valid)):  # all of it, or nothing
        assert not compute_signed_distances(there, valid).any()


def test_boundary_loss_is_the_formula_of_the_paper():
    generator = torch.Generator().manual_seed(0)
    logits, mask = torch.randn(2, 3, 20, 24, generator=generator), torch.zeros(2, 20, 24, dtype=torch.int64)
    mask[0, 4:9, 5:20], mask[0, 12:, :8], mask[1, 10:12] = 1, 2, 2
    total = 0.0
    for image, labels in zip(logits.softmax(1).double().numpy(), mask.numpy(), strict=True):
        for probs, there in zip(image, [labels == index for index in range(3)], strict=True):
            if there.any():
                inside, outside = distance_transform_edt(there), distance_transform_edt(~there)
                total += (probs * (outside * ~there - (inside - 1) * there)).sum()
    value = BoundaryLoss("multiclass")(logits, mask)
    assert value.item() == pytest.approx(total / mask.numel() / 3, rel=1e-5)


def naive_rmi(probs, mask, radius):
    """One image and one class, without ignored pixels, cells of one pixel: by numpy's own covariance."""
    height, width = (side - radius + 1 for side in mask.shape)

    def points(layer):
        windows = np.lib.stride_tricks.sliding_window_view(layer, (radius, radius))
        return windows.reshape(height * width, -1)

    size, count = radius**2, height * width
    joint = np.cov(points(mask), points(probs), rowvar=False, bias=True) * count
    true, cross, predicted = joint[:size, :size], joint[:size, size:], joint[size:, size:]
    left = true - cross @ np.linalg.inv(predicted + 1e-3 * np.eye(size)) @ cross.T
    return np.linalg.slogdet(left + 1e-3 * np.eye(size))[1] / 2 / size


@pytest.mark.parametrize("radius", [2, 3])
def test_rmi_is_the_formula_of_the_paper(radius):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 16, 18, generator=generator)
    mask = (torch.rand(2, 16, 18, generator=generator) < 0.4).long()
    expected = [
        naive_rmi(probs[0].double().numpy(), labels.double().numpy(), radius)
        for probs, labels in zip(logits.sigmoid(), mask, strict=True)
    ]
    value = RMILoss("binary", radius=radius, stride=1)(logits, mask)
    assert value.item() == pytest.approx(np.mean(expected), rel=1e-5)


def test_rmi_pools_what_is_not_ignored():
    generator = torch.Generator().manual_seed(0)
    logits, mask = torch.randn(1, 2, 12, 12, generator=generator), torch.ones(1, 12, 12, dtype=torch.int64)
    mask[0, ::5, ::3] = 0
    # Cells of 2 x 2, of which one row is ignored, are means of the other row: as are cells of 1 x 2 without it.
    tall, tall_mask = (layer.repeat_interleave(2, dim=-2) for layer in (logits, mask))
    tall_mask[:, 1::2] = 255
    wide, wide_mask = (layer.repeat_interleave(2, dim=-1) for layer in (tall, tall_mask))
    plain = RMILoss("multiclass", stride=1)(logits, mask)
    torch.testing.assert_close(RMILoss("multiclass", stride=2)(wide, wide_mask), plain)


@pytest.mark.parametrize("name", ["radius", "stride"])
def test_rmi_refuses_squares_of_nothing(name):
    with pytest.raises(ValueError, match="must be 1 or more"):
        RMILoss("binary", **{name: 0})


def test_cldice_of_a_broken_line():
    # A line of a pixel's width is its own skeleton. Five pixels, of which the prediction lacks one: all that it has is
    # right, and four fifths are found.
    mask = torch.zeros(1, 7, 7, dtype=torch.int64)
    mask[0, 3, 1:6] = 1
    prediction = mask.clone()
    prediction[0, 3, 3] = 0
    logits = (prediction.unsqueeze(1).float() * 2 - 1) * 100
    loss = CLDiceLoss("binary", smooth=0.0)(logits, mask)
    assert loss.item() == pytest.approx(1 - 2 * 0.8 / 1.8)


def test_skeleton_of_a_bar():
    # Three pixels wide: each erosion takes a pixel from every side, and what no opening gives back is the middle.
    mask = torch.zeros(1, 1, 9, 13)
    mask[0, 0, 3:6, 2:11] = 1
    skeleton = CLDiceLoss("binary").compute_skeleton(mask, torch.ones_like(mask, dtype=torch.bool))[0, 0]
    assert skeleton[4, 3:10].eq(1).all() and skeleton.sum() == 7
    assert CLDiceLoss("binary", iterations=0).compute_skeleton(mask, mask.bool()).sum() == 0  # not eroded far enough


def test_cldice_refuses_less_than_no_iterations():
    with pytest.raises(ValueError, match="iterations is -1, but must be 0 or more"):
        CLDiceLoss("binary", iterations=-1)


def test_ohem_is_for_classes_that_exclude_each_other():
    from segtrain.losses import CrossEntropyLoss

    with pytest.raises(ConfigError, match="one class is binary: use BCEWithLogitsLoss"):
        CrossEntropyLoss("binary", ohem=0.7)
