"""How data sets lie on the disk, one module a format.

Each module has

- `ABOUT`: what `python -m segtrain datasets` says, or None for a layout that is no published data set's;
- `labels(arguments) -> Labels | None`: the classes, given the format's own keys of the `data` section; None where the
  user names them;
- `read(root, *, seed, classes, ...) -> Splits`: the splits that are there. `seed` and `classes` (the ClassConfig of
  the data section) are named by those that need them; all other arguments are keys of the `data` section;
- where masks are no image files, `read_mask(mask, *, as_color) -> array`: HW integers of `Sample.mask`.

They are imported to check a configuration, so they import neither torch nor any other slow library at their top.
"""

from segtrain.data.formats import camvid, csv, folders

FORMATS = {"folders": folders, "csv": csv, "camvid": camvid}
PROVIDED = ("root", "seed", "classes")  # arguments of read that are no keys of their own
