"""How data sets lie on the disk, one module a format.

Each module has `read(root, *, seed, ...)`, which gives the splits and whose further arguments are keys of the `data`
section; `CLASSES`, (mask value, name, RGB colour) of each class or None where the user names them; and `IGNORE_VALUES`,
mask values that are ignored beside `data.ignore_index`.
"""

from segtrain.data.formats import camvid, csv, folders

FORMATS = {"folders": folders, "csv": csv, "camvid": camvid}
