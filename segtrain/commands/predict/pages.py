"""Files that hold more than one picture."""

from pathlib import Path

from PIL import Image

from segtrain.images.quiet import no_warnings

SUFFIXES = frozenset({".gif", ".png", ".webp", ".tif", ".tiff"})
FORMATS = ("GIF", "PNG", "WEBP", "TIFF")
NEW_SUBFILE_TYPE, REDUCED, MASK = 254, 1, 4  # tag and bits of TIFF 6.0: overviews and masks are no pictures to predict


def count_pictures(path: Path) -> int:
    """Frames of an animation or pages of a TIFF; 1 for all other files, and for what Pillow cannot read."""
    if path.suffix.lower() not in SUFFIXES:
        return 1
    try:
        with no_warnings(), Image.open(path, formats=FORMATS) as picture:
            count = getattr(picture, "n_frames", 1)
            return sum(_is_whole(picture, place) for place in range(count)) if picture.format == "TIFF" else count
    except (OSError, ValueError, SyntaxError, RuntimeError):
        return 1


def _is_whole(picture: Image.Image, place: int) -> bool:
    picture.seek(place)
    return not picture.tag_v2.get(NEW_SUBFILE_TYPE, 0) & (REDUCED | MASK)
