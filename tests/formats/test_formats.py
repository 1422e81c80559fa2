import pytest

from segtrain.data.splits import read_splits
from segtrain.errors import DataError
from segtrain.formats import csv, folders
from tests.formats.format_reading import data_config, reader


@pytest.fixture
def root(tmp_path):
    """An empty folder `set` with a method to fill it with empty files: pairing opens none of them."""
    folder = tmp_path / "set"
    folder.mkdir()
    return folder


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def pairs(root, splits):
    """split -> {name: (image, mask)}, paths below root."""
    return {
        split: {s.name: tuple(path.removeprefix(f"{root}/") for path in (s.image, s.mask)) for s in samples}
        for split, samples in splits.items()
    }


def error_of(read, root, *arguments, **keywords):
    with pytest.raises(DataError) as error:
        read(root, *arguments, **keywords)
    return str(error.value).replace(str(root), "R")


def test_folders_pair_by_path_whatever_the_suffixes(root):
    touch(root, "train/images/a.jpg", "train/images/b.PNG", "train/images/deep/a.tif", "train/images/.hidden.png")
    touch(root, "train/masks/a.png", "train/masks/b.npy", "train/masks/deep/a.png", "train/masks/notes.txt")
    touch(root, "val/images/a.v2.jpg", "val/masks/a.v2.png")
    assert pairs(root, folders.read(root)) == {
        "train": {
            "a": ("train/images/a.jpg", "train/masks/a.png"),
            "b": ("train/images/b.PNG", "train/masks/b.npy"),
            "deep/a": ("train/images/deep/a.tif", "train/masks/deep/a.png"),
        },
        "val": {"a.v2": ("val/images/a.v2.jpg", "val/masks/a.v2.png")},
    }


GLOBS = {
    "a city each": (
        ["train/x/1_image.png", "train/y/1_image.png"],
        ["annotation/x/1_label.png", "annotation/y/1_label.png"],
        {"images": "train/*/*_image.png", "masks": "annotation/*/*_label.png"},
        {"image_suffix": "_image", "mask_suffix": "_label"},
        ["x/1", "y/1"],
    ),
    "folders of images and masks below each scene": (
        ["x/images/1.jpg", "y/images/1.jpg"],
        ["x/masks/1.png", "y/masks/1.png"],
        {"images": "*/images/*.jpg", "masks": "*/masks/*.png"},
        {},
        ["x/1", "y/1"],
    ),
    "side by side": (
        ["1.jpg", "2.jpg"],
        ["1_mask.png", "2_mask.png"],
        {"images": "*.jpg", "masks": "*_mask.png"},
        {"mask_suffix": "_mask"},
        ["1", "2"],
    ),
    "any depth": (
        ["i/1.jpg", "i/x/y/2.jpg"],
        ["m/1.png", "m/x/y/2.png"],
        {"images": "i/**/*.jpg", "masks": "m/**/*.png"},
        {},
        ["1", "x/y/2"],
    ),
}


@pytest.mark.parametrize("case", GLOBS)
def test_globs(case, root):
    images, masks, patterns, suffixes, names = GLOBS[case]
    touch(root, *images, *masks)
    splits = folders.read(root, **patterns, **suffixes, val_fraction=0.5)
    found = pairs(root, splits)
    assert len(found["train"]) == len(found["val"]) == 1
    assert found["train"] | found["val"] == dict(zip(names, zip(images, masks, strict=True), strict=True))


def test_a_share_is_held_out_by_name_and_seed(root):
    touch(root, *(f"i/{n}.png" for n in range(20)), *(f"m/{n}.png" for n in range(20)))

    def held_out(seed, fraction=0.25):
        splits = pairs(root, folders.read(root, images="i", masks="m", val_fraction=fraction, seed=seed))
        assert not splits["train"].keys() & splits["val"].keys()
        assert len(splits["train"] | splits["val"]) == len(list((root / "i").iterdir()))
        return set(splits["val"])

    first = held_out(0)
    assert len(first) == 5 and held_out(0) == first != held_out(1)
    assert len(held_out(0, 0.001)) == 1 and len(held_out(0, 0.999)) == 19
    touch(root, "i/extra.png", "m/extra.png")
    assert len(held_out(0) & first) >= 4  # one more image moves one place at most


FOLDER_MISTAKES = {
    "an image without a mask": (
        ["i/a.jpg", "i/b.jpg", "m/a.png"],
        {"images": "i", "masks": "m"},
        "data: 1 of 2 images have no mask in R/m: R/i/b.jpg",
    ),
    "many images without masks": (
        [*(f"i/{n}.jpg" for n in range(6)), "m/0.png"],
        {"images": "i", "masks": "m"},
        "data: 5 of 6 images have no mask in R/m: R/i/1.jpg, R/i/2.jpg, R/i/3.jpg and 2 more",
    ),
    "a mask without an image": (
        ["i/a.jpg", "m/a.png", "m/b.png"],
        {"images": "i", "masks": "m"},
        "data: 1 of 2 masks have no image in R/i: R/m/b.png",
    ),
    "two images of one name": (
        ["i/a.jpg", "i/a.png", "m/a.png"],
        {"images": "i", "masks": "m"},
        "data.images: R/i/a.jpg and R/i/a.png have the same name; which one is meant? remove or rename one",
    ),
    "no images": (
        ["i/readme.txt", "m/a.png"],
        {"images": "i", "masks": "m"},
        "data: no images in R/i; known suffixes: .bmp .gif .jpeg .jpg .npy .pgm .png .ppm .tif .tiff .webp",
    ),
    "a folder that is not there": (
        ["imgs/a.jpg", "masks/a.png"],
        {"images": "images", "masks": "masks"},
        "data.images: R/images does not exist; R holds: imgs, masks",
    ),
    "a split's folder that is not there": (
        ["t/i/a.jpg", "t/m/a.jpg"],
        {"images": {"train": "t/i", "val": "v/i"}, "masks": {"train": "t/m", "val": "v/m"}},
        "data (val).images: R/v/i does not exist; R holds: t",
    ),
    "a folder for one and splits for the other": (
        ["i/a.jpg"],
        {"images": "i"},
        "data.images, data.masks: write a folder for each, or {train: folder, val: folder} for each",
    ),
    "one sample alone": (
        ["i/a.jpg", "m/a.png"],
        {"images": "i", "masks": "m"},
        "data: 1 sample cannot be split into training and validation",
    ),
    "a share of more than all": (
        ["i/a.jpg", "m/a.png"],
        {"images": "i", "masks": "m", "val_fraction": 1.5},
        "data.val_fraction: expected a share between 0 and 1, not 1.5",
    ),
}


@pytest.mark.parametrize("case", FOLDER_MISTAKES)
def test_folders_that_are_wrong(case, root):
    files, arguments, text = FOLDER_MISTAKES[case]
    touch(root, *files)
    assert error_of(folders.read, root, **arguments) == text


def test_a_root_that_is_not_there(root):
    for read in (folders.read, reader("camvid")):
        assert error_of(read, root / "nothing") == f"data.root: R does not exist; {root} holds: nothing"


@pytest.fixture
def table(root):
    """Write set/data.csv and the files a.png to d.png with masks in m/."""
    touch(root, *(f"{name}.png" for name in "abcd"), *(f"m/{name}.png" for name in "abcd"))

    def write(*lines, file="data.csv"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("\n".join(lines) + "\n")

    return write


def names(splits):
    return {split: [sample.name for sample in samples] for split, samples in splits.items()}


ROWS = ["a.png,m/a.png", "b.png,m/b.png", "c.png,m/c.png", "d.png,m/d.png"]


def test_a_table_with_splits(root, table):
    rows = [f"{row}, {split}" for row, split in zip(ROWS, ["train", "val", "train", "test"], strict=True)]
    table("image, mask, split, notes", *(f"{row},x" for row in rows))
    splits = csv.read(root)
    assert names(splits) == {"train": ["a", "c"], "val": ["b"], "test": ["d"]}
    assert splits["val"][0].image == str(root / "b.png") and splits["val"][0].mask == str(root / "m/b.png")


def test_a_table_with_folds(root, table):
    table(
        "mask,image,fold", *(f"m/{name}.png,{name}.png,{fold}" for name, fold in zip("abcd", [0, 1, 2, 1], strict=True))
    )
    assert names(csv.read(root, val_fold=1)) == {"train": ["a", "c"], "val": ["b", "d"]}
    assert names(csv.read(root, val_fold=0)) == {"train": ["b", "c", "d"], "val": ["a"]}


def test_a_table_of_pairs_alone(root, table):
    table("image,mask", *ROWS)
    splits = names(csv.read(root, val_fraction=0.25, seed=1))
    assert len(splits["val"]) == 1 and sorted(splits["train"] + splits["val"]) == list("abcd")
    assert names(csv.read(root, val_fraction=0.25, seed=1)) == splits


def test_paths_are_relative_to_the_table_or_absolute(root, table):
    table("image,mask", "../a.png,../m/a.png", f"{root}/b.png,{root}/m/b.png", file="lists/all.csv")
    samples = [sample for split in csv.read(root, file="lists/all.csv").values() for sample in split]
    assert sorted(str(sample.mask).removeprefix(f"{root}/") for sample in samples) == ["lists/../m/a.png", "m/b.png"]


CSV_MISTAKES = {
    "no mask column": (
        ["image,label", "a.png,m/a.png"],
        {},
        "R/data.csv: no column 'mask'; it has: image, label; write data.mask_column: NAME if one of these is it",
    ),
    "an empty cell": (["image,mask", *ROWS[:2], "c.png,"], {}, "R/data.csv:4: column 'mask' is empty"),
    "a file that is not there": (
        ["image,mask", ROWS[0], "b.png,m/x.png"],
        {},
        "R/data.csv:3: mask R/m/x.png does not exist; paths are relative to the CSV file",
    ),
    "an image twice": (
        ["image,mask", *ROWS[:2], ROWS[0]],
        {},
        "R/data.csv:4: image R/a.png stands in line 2 already",
    ),
    "no fold column": (
        ["image,mask", *ROWS],
        {"val_fold": 0},
        "R/data.csv: no column 'fold'; it has: image, mask",
    ),
    "nothing": ([""], {}, "R/data.csv: is empty; expected a header with the columns image and mask"),
    "another file": (["image,mask"], {"file": "x.csv"}, 
        "data.file: R/x.csv does not exist; R holds: a.png, b.png, c.png, d.png, data.csv, m",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CSV_MISTAKES)
def test_tables_that_are_wrong(case, root, table):
    lines, arguments, text = CSV_MISTAKES[case]
    table(*lines)
    assert error_of(csv.read, root, **arguments) == text


def test_all_problems_of_a_table_for_a_report(root, table):
    table(
        "image,mask,split", *(f"{row},train" for row in ROWS[:2]), "x.png,m/x.png,val", "c.png,,val", f"{ROWS[0]},val"
    )
    problems = []
    assert names(csv.read(root, problems=problems)) == {"train": ["a", "b"]}
    assert [problem.replace(str(root), "R") for problem in problems] == [
        "R/data.csv:4: image R/x.png does not exist; paths are relative to the CSV file",
        "R/data.csv:5: column 'mask' is empty",
        "R/data.csv:6: image R/a.png stands in line 2 already",
    ]


def test_splits_that_are_not_there_are_skipped(root):
    touch(root, "t/i/a.jpg", "t/m/a.png", "v/m/b.png")
    (root / "v/i").mkdir()
    places = {"images": {"train": "t/i", "val": "v/i"}, "masks": {"train": "t/m", "val": "v/m"}}
    assert names(folders.read(root, **places, missing_splits="skip")) == {"train": ["a"]}
    assert error_of(folders.read, root, **places).startswith("data (val): no images in R/v/i; known suffixes")
    (root / "t/i/a.jpg").unlink()
    (root / "t/i").rmdir()
    assert error_of(folders.read, root, **places, missing_splits="skip") == (
        "data (train).images: R/t/i does not exist; R/t holds: m"
    )


def test_a_share_of_train_is_held_out_in_groups(root):
    touch(root, *(f"{kind}/{drive}-{n}.png" for kind in "im" for drive in "abcd" for n in range(3)))
    touch(root, "x/1.png", "y/1.png")
    places = {"images": {"train": "i", "test": "x"}, "masks": {"train": "m", "test": "y"}}
    assert list(folders.read(root, **places)) == ["train", "test"]
    splits = names(folders.read(root, **places, val_fraction=0.25, val_groups="^[^-]+"))
    assert [len(splits[split]) for split in ("train", "val", "test")] == [9, 3, 1]
    assert len({name.partition("-")[0] for name in splits["val"]}) == 1


def test_several_endings_and_the_first_folder_that_is_there(root):
    touch(root, "new/a_rgb.jpg", "new/b.jpg", "m/a_mask.png", "m/b_label.png", "m/notes.txt")
    keys = {"image_suffix": ["_rgb", ""], "mask_suffix": ["_mask", "_label"], "val_fraction": 0.5}
    splits = folders.read(root, images=["old", "new"], masks="m", **keys)
    assert sorted(name for split in names(splits).values() for name in split) == ["a", "b"]
    assert error_of(folders.read, root, images=["old", "older"], masks="m", **keys) == (
        "data.images: R/old does not exist; R holds: m, new"
    )
    assert error_of(folders.read, root, images="new", masks="m", mask_suffix="_x") == (
        "data: no masks in R/m whose names end in _x"
    )


def test_a_split_without_samples(root, table):
    table("image,mask,split", *(f"{row},learn" for row in ROWS))
    config = data_config(format="csv", root=root, classes=["x", "y"])
    with pytest.raises(DataError) as error:
        read_splits(config, seed=0)
    assert str(error.value) == f"data: the train split is empty; {root} as format csv gives: learn (4)"
