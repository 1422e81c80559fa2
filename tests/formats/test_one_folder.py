"""Images and masks in one folder, told apart by their names, in the layouts that datasets have."""

import json
import os
from pathlib import Path

import pytest

from segtrain.errors import DataError
from segtrain.formats import folders
from tests.formats.format_trees import error_of, touch

NUMBERS = range(4)


def named(*forms: str, numbers=NUMBERS) -> list[str]:
    return [form.format(number) for number in numbers for form in forms]


# what lies in the folder d, the keys that read it, and a pair
LAYOUTS = {
    "an ending": (named("p_{}.tif", "p_{}_mask.tif"), {"mask_suffix": "_mask"}, ("p_0.tif", "p_0_mask.tif")),
    "a folder each patient": (
        named("T_a/T_a_{}.tif", "T_a/T_a_{}_mask.tif", "T_b/T_b_{}.tif", "T_b/T_b_{}_mask.tif"),
        {"mask_suffix": "_mask"},
        ("T_b/T_b_3.tif", "T_b/T_b_3_mask.tif"),
    ),
    "Roboflow": (
        named("train/a{}_jpg.rf.9f3a.jpg", "train/a{}_jpg.rf.9f3a_mask.png", "valid/b{}.jpg", "valid/b{}_mask.png"),
        {"mask_suffix": "_mask"},
        ("train/a0_jpg.rf.9f3a.jpg", "train/a0_jpg.rf.9f3a_mask.png"),
    ),
    "DRIVE": (
        named("{}_training.tif", "{}_manual1.gif"),
        {"image_suffix": "_training", "mask_suffix": "_manual1"},
        ("0_training.tif", "0_manual1.gif"),
    ),
    "Cityscapes": (
        named("aachen_{}_leftImg8bit.png", "aachen_{}_gtFine_labelIds.png"),
        {"image_suffix": "_leftImg8bit", "mask_suffix": "_gtFine_labelIds"},
        ("aachen_0_leftImg8bit.png", "aachen_0_gtFine_labelIds.png"),
    ),
    "CamVid": (named("0001TP_{}.png", "0001TP_{}_L.png"), {"mask_suffix": "_L"}, ("0001TP_0.png", "0001TP_0_L.png")),
    "capital letters": (named("s{}.PNG", "s{}_GT.PNG"), {"mask_suffix": "_GT"}, ("s0.PNG", "s0_GT.PNG")),
    "spaces and brackets": (
        named("my pic [{}].png", "my pic [{}] mask.png"),
        {"mask_suffix": " mask"},
        ("my pic [0].png", "my pic [0] mask.png"),
    ),
    "a hyphen": (named("{}.png", "{}-seg.png"), {"mask_suffix": "-seg"}, ("0.png", "0-seg.png")),
    "no sign between": (named("{}.png", "{}gt.png"), {"mask_suffix": "gt"}, ("0.png", "0gt.png")),
    "an ending of the images": (
        named("{}_rgb.png", "{}.png"),
        {"image_suffix": "_rgb", "masks": "d/*[0-9].png"},
        ("0_rgb.png", "0.png"),
    ),
    "two endings": (
        [*named("{}.png", "{}_mask.png"), *named("{}.png", "{}_Mask.png", numbers=range(4, 8))],
        {"mask_suffix": ["_mask", "_Mask"]},
        ("7.png", "7_Mask.png"),
    ),
    "beginnings": (
        named("img_{}.png", "mask_{}.png"),
        {"images": "d/img_*", "masks": "d/mask_*"},
        ("img_0.png", "mask_0.png"),
    ),
    "beginnings without a sign": (
        named("image{}.png", "gt{}.png"),
        {"images": "d/image*", "masks": "d/gt*"},
        ("image0.png", "gt0.png"),
    ),
    "a beginning of the masks": (named("{}.png", "mask_{}.png"), {"masks": "d/mask_*"}, ("0.png", "mask_0.png")),
    "beginnings in sub folders": (
        named("s{0}/img_1.png", "s{0}/mask_1.png", "s{0}/img_2.png", "s{0}/mask_2.png"),
        {"images": "d/**/img_*", "masks": "d/**/mask_*"},
        ("s0/img_1.png", "s0/mask_1.png"),
    ),
    "types": (named("a{}.jpg", "a{}.png"), {"images": "d/*.jpg", "masks": "d/*.png"}, ("a0.jpg", "a0.png")),
    "types in letters of both cases": (
        [*named("a{}.jpg", "a{}.png"), "b.JPG", "b.png"],
        {"images": "d/*.[Jj]*", "masks": "d/*.png"},
        ("b.JPG", "b.png"),
    ),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_one_folder_given_twice(case, tmp_path):
    files, keys, wanted = LAYOUTS[case]
    touch(tmp_path, *(f"d/{file}" for file in files))
    layout = folders.find_layout(tmp_path, "d", "d")
    assert layout == {"images": "d", "masks": "d", "image_suffix": "", "mask_suffix": ""} | keys
    table = folders.pair(tmp_path, **layout)
    found = [tuple(os.path.relpath(file, tmp_path / "d") for file in (s.image, s.mask)) for s in table]
    assert wanted in found and len(found) == len(files) // 2 and not {i for i, _ in found} & {m for _, m in found}
    shown = {key: json.dumps(value) if isinstance(value, list) else f"'{value}'" for key, value in keys.items()}
    text = ", ".join(f"data.{key}: {shown[key]}" for key in layout if key in keys)
    assert error_of(folders.read, tmp_path, images="d", masks="d") == (
        f"data: images and masks are in the same folder, R/d; write {text}"
    )
    splits = folders.read(tmp_path, **layout)
    assert len(splits["train"]) + len(splits["val"]) == len(found)


def test_a_folder_for_each_image(tmp_path):
    touch(tmp_path, *named("d/s{}/image.png", "d/s{}/mask.png"))
    table = folders.pair(tmp_path, "d/*/image.png", "d/*/mask.png")
    assert [sample.mask for sample in table] == [sample.image.replace("image.png", "mask.png") for sample in table]
    assert table[0].name == "s0/image"


SEVERAL = {
    "two annotators": (
        named("I_{}L.jpg", "I_{}L_1stHO.png", "I_{}L_2ndHO.png", "I_{}R.jpg", "I_{}R_1stHO.png", "I_{}R_2ndHO.png"),
        "I_0L.jpg with I_0L_1stHO.png or I_0L.jpg with I_0L_2ndHO.png; write data.images: 'd/*.jpg', data.masks: "
        "'d/*_1stHO.png', data.mask_suffix: '_1stHO', or data.images: 'd/*.jpg', data.masks: 'd/*_2ndHO.png', "
        "data.mask_suffix: '_2ndHO'",
    ),
    "images of the same type": (
        named("I_{}L.png", "I_{}L_1stHO.png", "I_{}L_2ndHO.png"),
        "I_0L.png with I_0L_1stHO.png or I_0L.png with I_0L_2ndHO.png; write data.images: 'd/*[L].png', data.masks: "
        "'d/*_1stHO.png', data.mask_suffix: '_1stHO', or data.images: 'd/*[L].png', data.masks: 'd/*_2ndHO.png', "
        "data.mask_suffix: '_2ndHO'",
    ),
    "a field of view": (
        named("{}_training.tif", "{}_manual1.gif", "{}_training_mask.gif"),
        "0_training.tif with 0_training_mask.gif or 0_training.tif with 0_manual1.gif; write data.images: 'd/*.tif', "
        "data.masks: 'd/*_mask.gif', data.mask_suffix: '_mask', or data.images: 'd', data.masks: 'd/*_manual1.gif', "
        "data.image_suffix: '_training', data.mask_suffix: '_manual1'",
    ),
}


@pytest.mark.parametrize("case", SEVERAL)
def test_several_masks_of_an_image(case, tmp_path):
    files, text = SEVERAL[case]
    touch(tmp_path, *(f"d/{file}" for file in files))
    assert error_of(folders.pair, tmp_path, "d", "d") == f"data: the files in R/d can be paired in several ways: {text}"


@pytest.mark.parametrize(
    "files",
    [
        named("p_{}.tif"),
        named("p_{}_1.tif", "p_{}_2.tif"),
        named("p_{}_a.tif", "p_{}_b.tif"),
        named("{}.png", numbers=range(1, 23)),
        named("{}.tif", "{}.png"),
    ],
    ids=" ".join,
)
def test_names_that_tell_nothing(files, tmp_path):
    touch(tmp_path, *(f"d/{file}" for file in files))
    assert error_of(folders.read, tmp_path, images="d", masks="d") == (
        "data: images and masks are the same files in R/d, and their names do not distinguish them; give a glob for "
        "each, like 'img_*' and 'mask_*' or '*/images/*' and '*/masks/*', or write data.mask_band if one band of the "
        "images is the mask"
    )
    if len({os.path.splitext(file)[0] for file in files}) == len(files):
        assert len(folders.pair(tmp_path, "d", "d", mask_band=4)) == len(files)


GIVEN = {
    "a glob that takes in the masks": ("d/*.tif", "d/*_mask.tif", "data.mask_suffix: '_mask'"),
    "masks of all": ("d/*", "d/*_mask.tif", "data.mask_suffix: '_mask'"),
    "images of all": ("d", "d/*_m*", "data.mask_suffix: '_mask'"),
}


@pytest.mark.parametrize("case", GIVEN)
def test_globs_of_one_folder(case, tmp_path):
    images, masks, text = GIVEN[case]
    touch(tmp_path, *named("d/p_{}.tif", "d/p_{}_mask.tif"))
    assert error_of(folders.pair, tmp_path, images, masks) == (
        f"data: images and masks are in the same folder, R/d; write {text}"
    )
    assert len(folders.pair(tmp_path, images, masks, mask_suffix="_mask")) == 4


def test_masks_in_a_folder_below_their_images(tmp_path):
    touch(tmp_path, *named("d/{}.png", "d/masks/{}.png"))
    assert [s.mask for s in folders.pair(tmp_path, "d", "d/masks")] == [f"{tmp_path}/d/masks/{n}.png" for n in NUMBERS]


def test_the_key_of_a_split(tmp_path):
    touch(tmp_path, *named("t/{}.jpg", "t/{}.png", "v/{}.jpg", "v/{}.png"))
    both = {"train": "t", "val": "v"}
    assert error_of(folders.read, tmp_path, images=both, masks=both) == (
        "data (train): images and masks are in the same folder, R/t; write data.images.train: 't/*.jpg', "
        "data.masks.train: "
        "'t/*.png'"
    )


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_links_to_the_images(link, tmp_path):
    touch(tmp_path, "i/a.png", "i/b.png")
    (tmp_path / "m").mkdir()
    for name in ("a.png", "b.png"):
        getattr(tmp_path / "m" / name, link)(tmp_path / "i" / name)
    with pytest.raises(DataError, match=r"^data: image and mask are the same file, .*/i/a.png; write the path of"):
        folders.pair(tmp_path, "i", "m")
    (tmp_path / "n").symlink_to("i")
    with pytest.raises(DataError, match=r"^data: image and mask are the same file, .*/i/a.png; write the path of"):
        folders.pair(tmp_path, "i", "n")
    assert len(folders.pair(tmp_path, "i", "n", mask_band=4)) == 2


def test_the_folder_that_one_is_in(tmp_path, monkeypatch):
    touch(tmp_path, *named("p_{}.tif", "p_{}_mask.tif"))
    monkeypatch.chdir(tmp_path)
    layout = folders.find_layout(Path(), ".", ".")
    assert layout["mask_suffix"] == "_mask" and len(folders.pair(Path(), **layout)) == 4
