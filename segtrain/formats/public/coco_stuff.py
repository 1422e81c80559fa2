"""COCO-Stuff: the images of COCO with 80 classes of things and 91 of stuff, in two versions.

Caesar, Uijlings, Ferrari: COCO-Stuff: Thing and Stuff Classes in Context. CVPR, 2018. Layouts, values and counts are
those of nightrome/cocostuff (164k) and nightrome/cocostuff10k (10k).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from segtrain.errors import DataError
from segtrain.formats import folders
from segtrain.formats.dataset_info import About, Archive, KnownClass, Labels
from segtrain.formats.lists import samples_of_names
from segtrain.formats.sample import Splits, require_layout

if TYPE_CHECKING:
    import numpy as np

# Names of the ids 1..182, from labels.txt of nightrome/cocostuff.
_NAMES = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, "
    "street sign, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, "
    "giraffe, hat, backpack, umbrella, shoe, eye glasses, handbag, tie, suitcase, frisbee, skis, snowboard, "
    "sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, plate, "
    "wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, "
    "pizza, donut, cake, chair, couch, potted plant, bed, mirror, dining table, window, desk, toilet, door, tv, "
    "laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, blender, book, "
    "clock, vase, scissors, teddy bear, hair drier, toothbrush, hair brush, banner, blanket, branch, bridge, "
    "building-other, bush, cabinet, cage, cardboard, carpet, ceiling-other, ceiling-tile, cloth, clothes, "
    "clouds, counter, cupboard, curtain, desk-stuff, dirt, door-stuff, fence, floor-marble, floor-other, "
    "floor-stone, floor-tile, floor-wood, flower, fog, food-other, fruit, furniture-other, grass, gravel, "
    "ground-other, hill, house, leaves, light, mat, metal, mirror-stuff, moss, mountain, mud, napkin, net, "
    "paper, pavement, pillow, plant-other, plastic, platform, playingfield, railing, railroad, river, road, "
    "rock, roof, rug, salad, sand, sea, shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw, "
    "structural-other, table, tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete, "
    "wall-other, wall-panel, wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind, "
    "window-other, wood"
)
NAMES = tuple(_NAMES.split(", "))
# Things of COCO without a single mask ("Removed from COCO" in labels.md): street sign, hat, shoe, eye glasses, plate,
# mirror, window, desk, door, blender, hair brush.
UNUSED_IDS = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91})
# Not published: the publisher's colours come out of MATLAB's random generator. These are default_colors(171) of
# segtrain.visualize, written down because working them out takes half a second.
_COLORS = bytes.fromhex(
    "6644dd 00bb22 ffcc00 ff22aa 00eecc 0099ff 667711 ffaaff ee9966 aa3355 775599 00ccee dddd88 bbee33 "
    "007755 ff7700 ee66ff ff99aa 66bb66 994400 006699 992299 bb8800 ff0066 9988ff 886633 aaaaee 00ee88 "
    "007700 66bbaa 1155bb 77aa11 dd66aa 889966 008899 ee6666 aa6666 bbbb00 ffcc66 55bbff aaee77 aaddaa "
    "bb0033 bb0077 ccaa77 884466 cc4400 ffccff ffaa22 ffbbaa 1177ff bb88bb 55eeee bb66dd 336622 00aa77 "
    "cc11bb aaaa44 77eeaa ff66dd ff5599 aa4433 7744aa ee8833 77ee55 aa55aa 6677cc 7777aa aa44dd 00bb55 "
    "886600 ff6644 dd6688 bb88dd dd8877 77cc00 bb8844 993377 ff99cc aaccff 669933 228844 dd3366 55aacc "
    "eedd55 99bb66 cc44aa 88eecc 66aa77 aa6644 666633 aa9900 ff0088 aa6600 339900 cc8899 ccdd66 aaee99 "
    "4488cc ff4455 ffcc88 8866ee eedd00 cc6633 77cc44 bb3322 998844 88ddff 009988 77ee88 11ccbb ddaa00 "
    "ff8866 889900 00cc88 ff88dd aacc33 4466ff ccaa55 ee88ff 558866 eeaacc 77aaff 33ee66 7766cc ccdd00 "
    "bb8866 ddaaee 8899ff ff6688 bb6688 cc6666 994444 668844 eeaa55 ff5522 66cc99 1177dd dd88cc 998822 "
    "bb1100 bb2266 0088bb bbbb77 99bb44 dd11aa 996688 119933 555588 885511 7799cc ff7733 ff66bb ff8888 "
    "447700 3366aa aaee55 5555cc 116655 884488 5588ff 00aabb dd8800 889944 cc4455 ffcc44 5555aa 9977bb "
    "cc6600 ddcc66 aa11bb"
)
# Where images and masks lie: as the publisher unpacks them, and as those do who have COCO already.
_FOLDERS_164K = (("images/", "annotations/"), ("images/", "stuffthingmaps/"), ("", "stuffthingmaps/"))

ABOUT = About(
    title="COCO-Stuff: 171 classes of things and stuff, 164k images (or 10k)",
    layout=(
        "images/{train2017,val2017}/*.jpg with annotations/{train2017,val2017}/*.png (version: 164k)",
        "images/NAME.jpg with annotations/NAME.mat and imageLists/{train,test}.txt (version: 10k)",
    ),
    images={"train": 118287, "val": 5000},
    licence="masks: CC BY 4.0; images: terms of use of Flickr",
    home="https://github.com/nightrome/cocostuff",
    archives=(
        # checksums: ppdet/utils/download.py of PaddlePaddle/PaddleDetection
        Archive(
            "http://images.cocodataset.org/zips/train2017.zip",
            "md5:cced6f7f71b7629ddf16f17bbcfab6b2",
            19_336_861_798,
            folder="images",
        ),
        Archive(
            "http://images.cocodataset.org/zips/val2017.zip",
            "md5:442b8da7639aecaf257c1dceb8ba8c80",
            815_585_330,
            folder="images",
        ),
        Archive(
            "http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/stuffthingmaps_trainval2017.zip",
            bytes=659_000_000,
            folder="annotations",
        ),
    ),
    by_hand="version 10k: unpack http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/"
    "cocostuff-10k-v1.1.zip (2.0 GB) into data.root",
)


def labels(arguments: Mapping[str, Any]) -> Labels:
    """The 171 of the 182 ids that occur, in their order. 164k: id - 1, and 255 is unlabelled. 10k: id, and 0 is
    unlabelled."""
    offset, unlabelled = (0, 0) if arguments.get("version", "164k") == "10k" else (1, 255)
    used = [number for number in range(1, len(NAMES) + 1) if number not in UNUSED_IDS]
    colors = zip(*[iter(_COLORS)] * 3, strict=True)
    classes = [
        KnownClass(NAMES[number - 1], color, (number - offset,)) for number, color in zip(used, colors, strict=True)
    ]
    return Labels(tuple(classes), ignore_values=(unlabelled,))


def read(root: Path, *, version: Literal["164k", "10k"] = "164k") -> Splits:
    """164k: `images/{train2017,val2017}/*.jpg` with `annotations/{train2017,val2017}/*.png`, the masks of
    stuffthingmaps_trainval2017.zip. They may lie in stuffthingmaps/ too, and the images in train2017/ and val2017/.

    10k: images/NAME.jpg with annotations/NAME.mat (version 1.1). imageLists/train.txt has the names of the split train,
    imageLists/test.txt those of the split val: the 1000 images that the publisher validates on.
    """
    if version == "10k":
        require_layout(root, ["images", "annotations", "imageLists/train.txt", "imageLists/test.txt"])
        return {
            split: samples_of_names(
                root / f"imageLists/{name}.txt",
                images=root / "images",
                image_suffix=".jpg",
                masks=root / "annotations",
                mask_suffix=".mat",
            )
            for split, name in (("train", "train"), ("val", "test"))
        }
    found = (pair for pair in _FOLDERS_164K if all((root / f"{folder}train2017").is_dir() for folder in pair))
    images, masks = next(found, _FOLDERS_164K[0])
    require_layout(root, [f"{folder}{split}2017" for split in ("train", "val") for folder in (images, masks)])
    return {
        # the digit at the end: other tools lay their *_labelTrainIds.png beside the published masks
        split: folders.pair(root, f"{images}{split}2017", f"{masks}{split}2017/*[0-9].png", what=f"data ({split})")
        for split in ("train", "val")
    }


def read_mask(mask: str, *, as_color: bool) -> "np.ndarray":
    """The published values of a mask, HW integers: a PNG as every format has it, or the label map S of a MAT file.

    Raises DataError for a file that is broken, holds no label map or is of version 1.0, whose ids are others.
    """
    if not mask.endswith(".mat"):
        from segtrain.images import reading

        return reading.read_mask(mask, as_color=as_color)
    if as_color:
        raise DataError(f"{mask}: holds ids, no colours; give every class in data.classes its value")
    return _read_mat(mask)


def _read_mat(path: str) -> "np.ndarray":
    import numpy as np
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path, variable_names=["S", "names"])
    except FileNotFoundError as error:
        raise DataError(f"{path}: does not exist") from error
    # scipy raises NotImplementedError for files of MATLAB 7.3, which are HDF5; the others for what is damaged.
    except (OSError, ValueError, IndexError, TypeError, NotImplementedError, MatReadError) as error:
        raise DataError(f"{path}: cannot be read as a MAT file: {error}; is the file complete?") from error
    if "S" not in content:
        raise DataError(f"{path}: has no label map S; is it from cocostuff-10k-v1.1.zip, and complete?")
    if np.size(content.get("names", ())) == 172:
        raise DataError(f"{path}: is of version 1.0, with other ids; take annotations/ of cocostuff-10k-v1.1.zip")
    values = content["S"]
    whole = values.ndim == 2 and values.dtype.kind in "biuf" and np.isfinite(values).all() and (values % 1 == 0).all()
    if not whole:
        raise DataError(f"{path}: S is no label map, but {values.dtype} of shape {values.shape}; expected HW integers")
    return values.astype(np.int32)
