"""Page: one HTML file, light and dark, without external resources; pictures are embedded."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segtrain.files import write_whole


def write_html(path: Path, template: Path, *values: Mapping[str, Any], **more: Any) -> None:
    """Write the page that a jinja template makes of the values, which are escaped. It may include page.css, the common
    style, and files next to it. Raises DataError if the file cannot be written."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    text = environment.get_template(template.name).render(*values, **more)
    write_whole(path, text.encode("utf-8", "replace"))  # names of files need not be text


def picture_address(picture: NDArray[np.uint8]) -> str:
    """A picture (HWC RGB) as a data URL of a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
