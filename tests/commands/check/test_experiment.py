import numpy as np
import pytest

from segtrain.commands.check.experiment import choose_batch, choose_crop, choose_recipe

EVEN = dict(
    sizes=np.tile([360, 480], (400, 1)),
    shares=[0.5, 0.3, 0.2],
    image_shares=[1.0, 0.9, 0.8],
    binary=False,
    upright=True,
    gpu=False,
    free_bytes=16 << 30,
    pretrained=False,
)

# sizes, pixels, square -> height, width
CROPS = [
    ([(360, 480)], 320 * 320, False, (256, 352)),  # a factor of 0.77: 277 x 369, down to multiples of 32
    ([(360, 480)], 512 * 512, False, (384, 480)),  # the whole image, up to multiples of 32
    ([(100, 50)], 512 * 512, False, (128, 64)),
    ([(8, 8)], 512 * 512, False, (64, 64)),
    ([(4000, 3000)], 512 * 512, False, (576, 416)),
    ([(200, 300), (360, 480), (9000, 9000)], 320 * 320, False, (256, 352)),  # the median image
    ([(571, 700)], 512 * 512, True, (512, 512)),
]


@pytest.mark.parametrize(("sizes", "pixels", "square", "crop"), CROPS)
def test_crops(sizes, pixels, square, crop):
    assert choose_crop(np.array(sizes), pixels=pixels, square=square) == crop


def test_the_batch_fits_memory_and_leaves_four_to_an_epoch():
    assert choose_batch((256, 352), count=400, kind="cpu", free_bytes=16 << 30) == 8
    assert choose_batch((512, 512), count=400, kind="gpu", free_bytes=None) == 16
    # 8 crops of 512 x 512 at 1800 bytes a pixel are 3.5 GiB and 0.7 for the model; half of 6 GiB holds 4 of them.
    assert choose_batch((512, 512), count=400, kind="cpu", free_bytes=6 << 30) == 4
    assert choose_batch((512, 512), count=400, kind="cpu", free_bytes=1 << 30) == 2
    assert choose_batch((64, 64), count=17, kind="cpu", free_bytes=None) == 4
    assert choose_batch((64, 64), count=3, kind="cpu", free_bytes=None) == 2


def test_an_even_set():
    recipe = choose_recipe(**EVEN)
    assert (recipe["batch_size"], recipe["accumulate_steps"], recipe["epochs"], recipe["eval_every_epochs"]) == (
        8,
        1,
        40,
        3,
    )
    assert (recipe["class_weights"], recipe["balance"], recipe["lovasz_from"]) == (False, 0.0, 30)
    assert (recipe["learning_rate"], recipe["encoder_lr_factor"]) == (2e-3, 1.0)


def test_what_is_rare_is_weighted_and_drawn():
    recipe = choose_recipe(**EVEN | dict(shares=[0.9, 0.085, 0.015, 0], image_shares=[1, 0.9, 0.05, 0]))
    assert (recipe["class_weights"], recipe["balance"]) == (True, 0.3)
    binary = choose_recipe(**EVEN | dict(shares=[0.99, 0.01], image_shares=[1, 0.5], binary=True))
    assert (binary["class_weights"], binary["lovasz_from"]) == (False, None)
    assert choose_recipe(**EVEN | dict(shares=[1 / 40] * 40, image_shares=[1] * 40))["lovasz_from"] is None


def test_the_machine_and_the_size_of_the_set():
    large = choose_recipe(**EVEN | dict(gpu=True, free_bytes=80 << 30, sizes=np.tile([1024, 2048], (20000, 1))))
    assert (large["encoder_name"], large["crop"], large["batch_size"], large["epochs"]) == (
        "resnet34",
        (352, 704),
        16,
        10,
    )
    small = choose_recipe(**EVEN | dict(sizes=np.tile([64, 64], (6, 1)), pretrained=True))
    assert (small["batch_size"], small["accumulate_steps"], small["epochs"]) == (2, 2, 200)
    assert (small["learning_rate"], small["encoder_lr_factor"]) == (1e-3, 0.2)
