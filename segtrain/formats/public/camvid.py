"""CamVid in 960x720, with colors: one folder of images, whose names tell the split."""

from pathlib import Path

from segtrain.errors import DataError
from segtrain.formats import folders
from segtrain.formats.sample import Sample, SampleTable, Splits, require_layout

LAST_TRAINING_FRAME_0001TP = 8520
VAL_FRAMES_0016E5 = range(7959, 8160)


def read(root: Path) -> Splits:
    """701_StillsRaw_full/NAME.png with LabeledApproved_full/NAME_L.png, in the split of the 480x360 version."""
    require_layout(root, ["701_StillsRaw_full", "LabeledApproved_full"])
    chosen: dict[str, list[Sample]] = {"train": [], "val": [], "test": []}
    for sample in folders.pair(root, "701_StillsRaw_full", "LabeledApproved_full", mask_suffix="_L"):
        chosen[_split_of(sample.name)].append(sample)
    return {split: SampleTable(samples) for split, samples in chosen.items() if samples}


def _split_of(name: str) -> str:
    """The split of SegNet's tutorial: it follows the drives, cut at frames."""
    drive, _, frame = name.rpartition("/")[2].partition("_")
    if not frame.lstrip("f").isdigit():
        raise DataError(f"data: {name} is not a frame of CamVid; its names are like 0016E5_07959")
    number = int(frame.lstrip("f"))
    if drive == "Seq05VD" or (drive == "0001TP" and number > LAST_TRAINING_FRAME_0001TP):
        return "test"
    return "val" if drive == "0016E5" and number in VAL_FRAMES_0016E5 else "train"
