"""Images under the names that annotation tools give them."""

import pytest

from tests.formats.coco_export import draw_images, error_of, read_masks, write


@pytest.fixture
def root(tmp_path):
    draw_images(
        tmp_path / "images", "a.png", "b c.png", "sub/x+y.png", "sub/one.png", "other/one.png", "0a1b2c3d-e.png"
    )
    return tmp_path


NAMES = {
    "a.png": "a",
    "./a.png": "a",
    "C:\\Users\\me\\a.png": "a",
    "C:/Users/me/a.png": "a",
    "\\\\server\\share\\a.png": "a",
    "..\\images\\a.png": "images/a",
    "..\\pictures\\a.png": "a",
    "sub\\one.png": "sub/one",
    "/data/upload/1/ab12cd34-a.png": "a",
    "/data/upload/1/0a1b2c3d-e.png": "0a1b2c3d-e",
    "/data/local-files/?d=set%2Fimages%2Fb%20c.png": "b c",
    "/data/local-files/?d=a.png": "a",
    "http://localhost:8080/data/upload/1/ab12cd34-b%20c.png": "b c",
    "https://bucket.s3.amazonaws.com/images/a.png?X-Amz-Signature=12": "a",
    "b%20c.png": "b c",
    "s3://bucket/x+y.png": "sub/x+y",
    "file:///home/me/x%2By.png": "sub/x+y",
}


@pytest.mark.parametrize("written", NAMES)
def test_names_that_are_read(written, root):
    write(root, files={1: written}, annotations=[])
    masks = read_masks(root, annotations={"train": "set.json"})
    assert list(masks["train"]) == [NAMES[written]]


def test_a_file_that_is_there_is_meant_whatever_its_name(root):
    draw_images(root / "images", "b%20c.png")
    write(root, files={1: "b%20c.png", 2: "b c.png"}, annotations=[])
    assert list(read_masks(root, annotations={"train": "set.json"})["train"]) == ["b%20c", "b c"]


MISTAKES = {
    "several": (
        {1: "C:\\one.png"},
        "1 of 1 images are not in R/images: C:\\one.png; 2 files there are called one.png: {}; give the path in "
        "file_name",
    ),
    "none": ({1: "/data/upload/1/ab12cd34-x.png"}, "1 of 1 images are not in R/images: /data/upload/1/ab12cd34-x.png"),
    "nothing": (
        {1: "", 2: "images/", 3: "..", 4: "/", 5: "\0"},
        "5 of 5 images are not in R/images: , images/, .. and 2 more",
    ),
    "one for two": ({1: "C:\\a.png", 2: "D:\\a.png"}, "the images 1 and 2 have the same name a"),
    "no text but a surrogate": ({1: "\ud800.png"}, "1 of 1 images are not in R/images: \ud800.png"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_names_that_are_refused(case, root):
    files, text = MISTAKES[case]
    write(root, files=files, annotations=[])
    error = error_of(read_masks, root, root, annotations={"train": "set.json"})
    assert error in {
        f"R/set.json: {text.format(f'{a}/one.png, {b}/one.png')}" for a, b in (("sub", "other"), ("other", "sub"))
    }
