"""CamVid in the 480x360 version of the SegNet tutorial: 11 classes and void.

Brostow, Fauqueur, Cipolla: Semantic object classes in video: a high-definition ground truth database. Pattern
Recognition Letters, 2009. The folders are train, trainannot, val, valannot and, where it is there, test, testannot.
"""

from pathlib import Path

from segtrain.data.formats import folders
from segtrain.data.sample import Splits, require_path

# Indices as in the SegNet tutorial's masks; the colours are those of the CamVid label table.
CLASSES = (
    (0, "sky", (128, 128, 128)),
    (1, "building", (128, 0, 0)),
    (2, "pole", (192, 192, 128)),
    (3, "road", (128, 64, 128)),
    (4, "pavement", (0, 0, 192)),
    (5, "tree", (128, 128, 0)),
    (6, "sign_symbol", (192, 128, 128)),
    (7, "fence", (64, 64, 128)),
    (8, "car", (64, 0, 128)),
    (9, "pedestrian", (64, 64, 0)),
    (10, "bicyclist", (0, 128, 192)),
)
IGNORE_VALUES = (11,)


def read(root: Path, *, seed: int = 0) -> Splits:
    """Pair <split>/NAME.png with <split>annot/NAME.png; `seed` is not used, the splits are the published ones."""
    require_path(root, "data.root")
    splits = ["train", "val", *(["test"] if (root / "test").is_dir() else [])]
    return folders.read(root, images={s: s for s in splits}, masks={s: f"{s}annot" for s in splits}, seed=seed)
