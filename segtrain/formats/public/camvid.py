"""CamVid: road scenes from a driving car, in two versions.

Brostow, Fauqueur, Cipolla: Semantic object classes in video: a high-definition ground truth database. Pattern
Recognition Letters, 2009. The 11 classes and the split are those of Badrinarayanan, Kendall, Cipolla: SegNet, 2015.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from segtrain.errors import DataError
from segtrain.formats import folders
from segtrain.formats.dataset_info import About, Archive, Color, KnownClass, Labels
from segtrain.formats.sample import Sample, SampleTable, Splits, require_layout

# Colours of the 32 labels, from label_colors.txt of the data set.
COLORS_32: dict[str, Color] = {
    "Animal": (64, 128, 64),
    "Archway": (192, 0, 128),
    "Bicyclist": (0, 128, 192),
    "Bridge": (0, 128, 64),
    "Building": (128, 0, 0),
    "Car": (64, 0, 128),
    "CartLuggagePram": (64, 0, 192),
    "Child": (192, 128, 64),
    "Column_Pole": (192, 192, 128),
    "Fence": (64, 64, 128),
    "LaneMkgsDriv": (128, 0, 192),
    "LaneMkgsNonDriv": (192, 0, 64),
    "Misc_Text": (128, 128, 64),
    "MotorcycleScooter": (192, 0, 192),
    "OtherMoving": (128, 64, 64),
    "ParkingBlock": (64, 192, 128),
    "Pedestrian": (64, 64, 0),
    "Road": (128, 64, 128),
    "RoadShoulder": (128, 128, 192),
    "Sidewalk": (0, 0, 192),
    "SignSymbol": (192, 128, 128),
    "Sky": (128, 128, 128),
    "SUVPickupTruck": (64, 128, 192),
    "TrafficCone": (0, 0, 64),
    "TrafficLight": (0, 64, 64),
    "Train": (192, 64, 128),
    "Tree": (128, 128, 0),
    "Truck_Bus": (192, 128, 192),
    "Tunnel": (64, 0, 64),
    "VegetationMisc": (192, 192, 0),
    "Void": (0, 0, 0),
    "Wall": (64, 192, 0),
}

LAST_TRAINING_FRAME_0001TP = 8520
VAL_FRAMES_0016E5 = range(7959, 8160)

# name, its label in the version with 32 colours, the other labels that are counted to it
_CLASSES = (
    ("sky", "Sky", ()),
    ("building", "Building", ("Archway", "Bridge", "Tunnel", "Wall")),
    ("pole", "Column_Pole", ("TrafficCone",)),
    ("road", "Road", ("LaneMkgsDriv", "LaneMkgsNonDriv")),
    ("pavement", "Sidewalk", ("ParkingBlock", "RoadShoulder")),
    ("tree", "Tree", ("VegetationMisc",)),
    ("sign_symbol", "SignSymbol", ("Misc_Text", "TrafficLight")),
    ("fence", "Fence", ()),
    ("car", "Car", ("OtherMoving", "SUVPickupTruck", "Train", "Truck_Bus")),
    ("pedestrian", "Pedestrian", ("Animal", "CartLuggagePram", "Child")),
    ("bicyclist", "Bicyclist", ("MotorcycleScooter",)),
)
ABOUT = About(
    title="CamVid: 11 classes of road scenes, 480x360 with indices or 960x720 with colours",
    layout=(
        "{train,val,test}/NAME.png and {train,val,test}annot/NAME.png (version: segnet)",
        "701_StillsRaw_full/NAME.png and LabeledApproved_full/NAME_L.png (version: full)",
    ),
    images={"train": 367, "val": 101, "test": 233},
    licence="free for research and teaching",
    home="http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/",
    archives=(
        Archive(  # the sizes as those who fetch them say
            "http://web4.cs.ucl.ac.uk/staff/g.brostow/MotionSegRecData/files/701_StillsRaw_full.zip", bytes=557_000_000
        ),
        Archive(
            "http://web4.cs.ucl.ac.uk/staff/g.brostow/MotionSegRecData/data/LabeledApproved_full.zip",
            bytes=16_567_585,
            folder="LabeledApproved_full",
        ),
    ),
    by_hand="write data.version: full for what is downloaded; version segnet is in the SegNet tutorial's repository",
)


def labels(arguments: Mapping[str, Any]) -> Labels:
    """Indices 0..10 and void 11, or the published colours with void black."""
    if arguments.get("version", "segnet") == "full":
        classes = [
            KnownClass(name, COLORS_32[label], colors=tuple(COLORS_32[item] for item in (label, *others)))
            for name, label, others in _CLASSES
        ]
        return Labels(tuple(classes), ignore_values=(COLORS_32["Void"],))
    classes = [KnownClass(name, COLORS_32[label], (place,)) for place, (name, label, _) in enumerate(_CLASSES)]
    return Labels(tuple(classes), ignore_values=(11,))


def read(root: Path, *, version: Literal["segnet", "full"] = "segnet", seed: int = 0) -> Splits:
    """The published splits. segnet: <split>/NAME.png with <split>annot/NAME.png, 480x360, indices. full:
    701_StillsRaw_full/NAME.png with LabeledApproved_full/NAME_L.png, 960x720, colours; the same split, by name."""
    if version == "segnet":
        require_layout(root, ["train", "trainannot", "val", "valannot"])
        splits = ["train", "val", *(["test"] if (root / "test").is_dir() else [])]
        return folders.read(root, images={s: s for s in splits}, masks={s: f"{s}annot" for s in splits}, seed=seed)
    require_layout(root, ["701_StillsRaw_full", "LabeledApproved_full"])
    pairs = folders.pair(root, "701_StillsRaw_full", "LabeledApproved_full", mask_suffix="_L")
    chosen: dict[str, list[Sample]] = {"train": [], "val": [], "test": []}
    for sample in pairs:
        chosen[_split_of(sample.name)].append(sample)
    return {split: SampleTable(samples) for split, samples in chosen.items() if samples}


def _split_of(name: str) -> str:
    """The split of SegNet's tutorial: it follows the drives, cut at frames."""
    drive, _, frame = name.rpartition("/")[2].partition("_")
    if not frame.lstrip("f").isdigit():
        raise DataError(f"data: {name} is no frame of CamVid; its names are like 0016E5_07959")
    number = int(frame.lstrip("f"))
    if drive == "Seq05VD" or (drive == "0001TP" and number > LAST_TRAINING_FRAME_0001TP):
        return "test"
    return "val" if drive == "0016E5" and number in VAL_FRAMES_0016E5 else "train"
