"""How data sets lie on the disk, one module a format.

Each module has

- `ABOUT`: what `python -m segtrain datasets` says, or None for a layout that is no published data set's;
- `labels(arguments) -> Labels | None`: the classes, given the format's own keys of the `data` section; None where the
  user names them;
- `read(root, *, seed, classes, ...) -> Splits`: the splits that are there. `seed` and `classes` (the ClassConfig of
  the data section) are named by those that need them; all other arguments are keys of the `data` section;
- where masks are no image files, `read_mask(mask, *, as_color) -> array`: HW integers of `Sample.mask`; and where
  these hold the places of the classes, since annotations hold names, `IGNORED_RAW`, the value of ignored pixels.

They are imported to check a configuration, so they import neither torch nor any other slow library at their top.
"""

from segtrain.formats import coco, csv, folders, geotiff, labelme, list_file
from segtrain.formats.public import (
    ade20k,
    camvid,
    cityscapes,
    coco_stuff,
    deepscene,
    lip,
    meter,
    oxford_pet,
    sbu_shadow,
    sunrgbd,
    tianchi,
    voc,
    voc_aug,
)

FORMATS = {
    "folders": folders,
    "csv": csv,
    "list": list_file,
    "geotiff": geotiff,
    "coco": coco,
    "labelme": labelme,
    "ade20k": ade20k,
    "camvid": camvid,
    "cityscapes": cityscapes,
    "coco_stuff": coco_stuff,
    "deepscene": deepscene,
    "lip": lip,
    "meter": meter,
    "oxford_pet": oxford_pet,
    "sbu_shadow": sbu_shadow,
    "sunrgbd": sunrgbd,
    "tianchi": tianchi,
    "voc": voc,
    "voc_aug": voc_aug,
}
PROVIDED = ("root", "seed", "classes")  # arguments of read that are no keys of their own
