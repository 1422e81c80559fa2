"""Small programs that mend masks, as lines for a shell. They keep every file that they replace, as NAME.aside."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.finding import Fix, shell_fix

_LISTED = 500
_TRANSPOSE = {
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE",
    8: "ROTATE_90",
}  # fmt: skip
_KEEP = '    Path(file).rename(f"{file}.aside")'


def turn_masks(orientations: Mapping[str, int]) -> Fix:
    """Turns masks as EXIF turns their images; by file, the orientation 2..8 of its image."""
    listed = list(orientations.items())[:_LISTED]
    return _python(
        "from pathlib import Path",
        "from PIL import Image",
        "turns = {",
        *(f"    {file!r}: {_TRANSPOSE[orientation]!r}," for file, orientation in listed),
        "}",
        "for file, how in turns.items():",
        "    mask = Image.open(file)",
        "    mask.load()",
        _KEEP,
        "    mask.transpose(Image.Transpose[how]).save(file)",
    )


def resize_masks(pairs: Sequence[tuple[str, str]]) -> Fix:
    """Gives masks the size of their images, each pixel the value of the nearest one; pairs of mask and image file."""
    return _python(
        "from pathlib import Path",
        "from PIL import Image, ImageOps",
        "pairs = {",
        *(f"    {mask!r}: {image!r}," for mask, image in pairs[:_LISTED]),
        "}",
        "for file, image in pairs.items():",
        "    mask, size = Image.open(file), ImageOps.exif_transpose(Image.open(image)).size",
        "    mask.load()",
        _KEEP,
        "    mask.resize(size, Image.Resampling.NEAREST).save(file)",
    )


def snap_masks(report: DatasetReport, indices: Sequence[int], codes: Sequence[int], *, is_color: bool) -> Fix:
    """Gives every pixel of the masks of these records the nearest of the values or packed colours, and saves PNG."""
    values = [[code >> 16, code >> 8 & 255, code & 255] if is_color else [code] for code in codes]
    read = 'convert("RGB"), int)' if is_color else 'convert("L"), int)[..., None]'
    shape = "" if is_color else "[..., 0]"
    return _python(
        "from pathlib import Path",
        "import numpy as np",
        "from PIL import Image",
        f"values = np.array({values})",
        *_mask_files(report, indices),
        "for file in files:",
        f"    pixels = np.array(Image.open(file).{read}",
        "    nearest = np.argmin([abs(pixels - value).sum(axis=2) for value in values], axis=0)",
        _KEEP,
        f'    Image.fromarray(values.astype("uint8")[nearest]{shape}).save(Path(file).with_suffix(".png"))',
    )


def swap_values(files: Sequence[str], low: int, high: int) -> Fix:
    """Exchanges two values in masks."""
    return _python(
        "from pathlib import Path",
        "import numpy as np",
        "from PIL import Image",
        "files = [",
        *(f"    {file!r}," for file in files[:_LISTED]),
        "]",
        "for file in files:",
        "    pixels = np.array(Image.open(file))",
        f"    low, high = pixels == {low}, pixels == {high}",
        f"    pixels[low], pixels[high] = {high}, {low}",
        _KEEP,
        "    Image.fromarray(pixels).save(file)",
    )


def _mask_files(report: DatasetReport, indices: Sequence[int]) -> list[str]:
    """Lines that set `files` to the masks of these records: all files of their folders with their endings, where these
    are no others, else one by one."""
    chosen = {report.records[index].sample.mask_file for index in indices}
    everything = {file for record in report.records for file in (record.sample.image, *record.sample.mask_files)}
    folders = sorted({str(Path(file).parent) for file in chosen})
    endings = sorted({Path(file).suffix for file in chosen})
    if len(folders) > _LISTED or chosen != {f for f in everything if _is_among(f, set(folders), set(endings))}:
        return ["files = [", *(f"    {file!r}," for file in sorted(chosen)[:_LISTED]), "]"]
    kind = f"file.suffix in {endings}"
    return [f"folders = {folders}", f"files = [file for f in folders for file in Path(f).iterdir() if {kind}]"]


def _is_among(file: str, folders: set[str], endings: set[str]) -> bool:
    return str(Path(file).parent) in folders and Path(file).suffix in endings


def _python(*lines: str) -> Fix:
    return shell_fix("python - <<'END'", *lines, "END")
