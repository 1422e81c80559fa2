from collections import Counter
from pathlib import Path

import pytest

from segtrain.errors import DataError
from segtrain.inference.inputs import find_images
from tests.painted import paint


def found(*inputs, output: Path) -> dict[str, str]:
    images = find_images([str(item) for item in inputs], output=output)
    return {path.name: name.as_posix() for path, name in images.items()}


def missing(*inputs, output: Path) -> str:
    with pytest.raises(DataError) as error:
        find_images([str(item) for item in inputs], output=output)
    return str(error.value)


def test_a_folder_is_searched_through(tmp_path):
    for name in ("a.png", "sub/b.JPG", "sub/deeper/c.tiff", "a.b.webp"):
        paint(tmp_path / "in" / name, [[0]])
    for name in ("notes.txt", ".hidden.png", "sub/table.csv", "sub/clip.MP4"):
        (tmp_path / "in" / name).write_text("x")
    expected = {"a.png": "a", "b.JPG": "sub/b", "c.tiff": "sub/deeper/c", "a.b.webp": "a.b", "clip.MP4": "sub/clip"}
    assert found(tmp_path / "in", output=tmp_path / "out") == expected


def test_links_are_followed_and_what_is_hidden_is_not(tmp_path):
    for name in ("in/a.png", "in/.ipynb_checkpoints/a-checkpoint.png", "disk/b.jfif", "disk/sub/c.jp2", "in/d.heic"):
        paint(tmp_path / "painted.png", [[0]])
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "painted.png").rename(tmp_path / name)
    (tmp_path / "in" / "link").symlink_to("../disk")
    (tmp_path / "disk" / "back").symlink_to("../in")  # to where the walk began
    (tmp_path / "in" / "notes").write_text("x")
    left_out = Counter()
    images = find_images([str(tmp_path / "in")], output=tmp_path / "out", left_out=left_out)
    assert sorted(map(str, images.values())) == ["a", "link/b", "link/sub/c"]
    assert left_out == {".heic": 1, "": 1}


def test_files_and_globs(tmp_path):
    for name in ("1.png", "2.png", "2.jpg", "more/3.png"):
        paint(tmp_path / name, [[0]])
    out = tmp_path / "out"
    assert found(tmp_path / "1.png", output=out) == {"1.png": "1"}
    assert found(tmp_path / "*.png", output=out) == {"1.png": "1", "2.png": "2"}
    assert found(tmp_path / "**/*.png", output=out) == {"1.png": "1", "2.png": "2", "3.png": "3"}
    assert found(tmp_path / "1.png", tmp_path / "more", output=out) == {"1.png": "1", "3.png": "3"}
    assert found(tmp_path / "1.png", tmp_path / "*.png", output=out) == {"1.png": "1", "2.png": "2"}
    paint(tmp_path / "[x].png", [[0]])
    assert found(tmp_path / "[x].png", output=out) == {"[x].png": "[x]"}  # a file, although it reads like a glob


def test_what_lies_in_the_output_folder_is_left_out(tmp_path):
    for name in ("a.png", "out/a.png", "out/sub/a_color.png"):
        paint(tmp_path / name, [[0]])
    assert found(tmp_path, output=tmp_path / "out") == {"a.png": "a"}


def test_links_that_lead_nowhere_are_images_that_cannot_be_read(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "dangling.png").symlink_to("nowhere")
    (tmp_path / "in" / "loop.png").symlink_to("loop.png")
    assert found(tmp_path / "in", output=tmp_path / "out") == {"dangling.png": "dangling", "loop.png": "loop"}


def test_an_output_folder_around_the_input_is_named(tmp_path):
    paint(tmp_path / "images" / "a.png", [[0]])
    for item in (tmp_path / "images", tmp_path / "images" / "a.png"):
        expected = f"{item}: its images are in the output folder {tmp_path}; choose another folder with -o"
        assert missing(item, output=tmp_path) == expected


def test_inputs_without_an_image(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    known = (
        "known suffixes: .avi .avif .bmp .gif .jfif .jp2 .jpe .jpeg .jpg .m4v .mkv .mov .mp4 .mpeg .mpg .npy .pgm "
        ".png .pnm .ppm .tif .tiff .webm .webp .wmv"
    )
    for item in ("empty", "notes.txt", "*.png"):
        assert missing(tmp_path / item, output=tmp_path) == f"{tmp_path / item}: contains no images; {known}"
    expected = f"images: {tmp_path / 'gone'} does not exist; {tmp_path} contains: empty, notes.txt"
    assert missing(tmp_path / "gone", output=tmp_path) == expected
