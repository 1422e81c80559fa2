import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from segtrain import plots
from segtrain.errors import DataError
from segtrain.page import picture_address, write_html
from tests.conftest import PROJECT


def test_values_are_escaped_and_bytes_that_are_not_text_replaced(tmp_path):
    template = tmp_path / "a.html.jinja"
    template.write_text('<style>{% include "page.css" %}</style><p>{{ name }}</p>')
    write_html(tmp_path / "a.html", template, {"name": "<b>\udcff"})
    text = (tmp_path / "a.html").read_text()
    assert text.endswith("<p>&lt;b&gt;?</p>") and "color-scheme" in text
    with pytest.raises(DataError, match="cannot be written"):
        write_html(tmp_path / "a.html" / "b.html", template, name="")


def test_a_picture_is_in_its_address():
    picture = np.full((8, 16, 3), 90, np.uint8)
    kind, _, content = picture_address(picture).partition(",")
    assert kind == "data:image/jpeg;base64"
    assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(content)), formats=["JPEG"])) == picture).all()


def test_charts_have_the_colors_of_the_pages():
    light = (PROJECT / "segtrain" / "page.css").read_text().partition("@media")[0]
    colors = dict(re.findall(r"--([\w-]+): (#\w+)", light))
    assert [colors[f"series-{index}"] for index in range(1, 9)] == list(plots.SERIES)
    assert (colors["ink"], colors["quiet"], colors["line"]) == (plots.INK, plots.QUIET, plots.LINE)
    assert (colors["series-other"], colors["error"]) == (plots.PALE, plots.RED)
