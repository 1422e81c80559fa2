"""Masks of published datasets that hold something else than class values: MAT files, trimaps, gray shadows.

Each function reads one file and returns the published values, HW integers. With `as_color`, where a format's masks may
be pictures in RGB, it is HWC. All raise DataError for a file that is broken.
"""

import zlib
from typing import TYPE_CHECKING, Any

from segtrain.errors import DataError

if TYPE_CHECKING:
    import numpy as np

LARGEST_LIT = 125
"""A pixel of SBU's masks above this is shadow. From ComputeBERonSet.m, which the authors score with."""
TRIMAP_ZEROS = {"class": (), "ignore": (2,), "pet": (2,), "background": (2, 3)}
"""Values of the trimaps that become 0, the background of a binary task, by the meaning of the border."""


def read_trimap(mask: str, *, as_color: bool, border: str = "class") -> "np.ndarray":
    """A trimap of Oxford-IIIT Pet, uint8: 1 pet, 2 background, 3 border; 0 is the background of a binary task."""
    import numpy as np

    from segtrain.images.reading import read_mask

    trimap = read_mask(mask, as_color=as_color)
    return np.where(np.isin(trimap, TRIMAP_ZEROS[border]), 0, trimap).astype(trimap.dtype)


def read_shadow(mask: str, *, as_color: bool) -> "np.ndarray":
    """A mask of SBU Shadow, uint8, 0 and 255, whatever the file type: what is gray at the edge of a shadow goes to the
    nearer side. Raises DataError also for a mask of 0 and 1, which would hold no shadow."""
    import numpy as np

    from segtrain.images.reading import read_image

    gray = read_image(mask, channels=1)[..., 0]
    if gray.max() == 1:
        raise DataError(
            f"{mask}: contains 0 and 1, but shadow is 255 in SBU's masks; use the published masks, or format folders "
            f"with "
            "data.classes: [{name: shadow, value: 1}]"
        )
    shadow = np.where(gray > LARGEST_LIT, 255, 0).astype(np.uint8)
    return np.repeat(shadow[..., None], 3, axis=-1) if as_color else shadow


def read_sbd(mask: str, *, as_color: bool) -> "np.ndarray":
    """A mask of VOC, or GTcls.Segmentation of a MAT file of SBD: uint8, 0..20; with `as_color` the value in each of
    three channels."""
    import numpy as np

    from segtrain.images.reading import read_mask

    if not mask.endswith(".mat"):
        return read_mask(mask, as_color=as_color)
    try:
        values = _load_mat(mask)["GTcls"][0]["Segmentation"][0]
    except (LookupError, ValueError) as error:
        raise DataError(f"{mask}: has no GTcls.Segmentation of SBD; is the file complete?") from error
    return np.repeat(values[..., None], 3, axis=-1) if as_color else values


def read_coco_stuff(mask: str, *, as_color: bool) -> "np.ndarray":
    """A mask of COCO-Stuff, or the label map S of a MAT file of its version 10k. Raises DataError also for a MAT file
    of version 1.0, whose ids are others."""
    import numpy as np

    from segtrain.images.reading import read_mask

    if not mask.endswith(".mat"):
        return read_mask(mask, as_color=as_color)
    if as_color:
        raise DataError(f"{mask}: contains ids, not colors; write the value of every class in data.classes")
    content = _load_mat(mask, variable_names=["S", "names"])
    if "S" not in content:
        raise DataError(f"{mask}: has no label map S; is it from cocostuff-10k-v1.1.zip, and complete?")
    if np.size(content.get("names", ())) == 172:
        raise DataError(f"{mask}: has version 1.0, with different ids; use annotations/ of cocostuff-10k-v1.1.zip")
    values = content["S"]
    whole = values.ndim == 2 and values.dtype.kind in "biuf" and np.isfinite(values).all() and (values % 1 == 0).all()
    if not whole:
        raise DataError(
            f"{mask}: S is not a label map but {values.dtype} of shape {values.shape}; expected HW integers"
        )
    return values.astype(np.int32)


def _load_mat(path: str, **options: Any) -> dict[str, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        return loadmat(path, **options)
    except FileNotFoundError as error:
        raise DataError(f"{path}: does not exist") from error
    # scipy raises NotImplementedError for files of MATLAB 7.3, which are HDF5; the others for what is damaged.
    except (OSError, ValueError, TypeError, LookupError, NotImplementedError, MatReadError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as a MAT file: {error}; is the file complete?") from error
