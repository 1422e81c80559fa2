import numpy as np
import pytest

from segtrain.commands.predict.submission import plain_sheet, read_sheet
from segtrain.errors import ConfigError, DataError
from segtrain.inference.task import Task
from tests.commands.predict.predicting import run
from tests.painted import BINARY, COLORS, TASK, paint, painted

# 2 rows of 3 pixels, which are counted 1 3 5 / 2 4 6
SKY_ROAD = [[0, 1, 1], [0, 0, 1]]
ALL_CAR = [[2, 2, 2], [2, 2, 2]]
DEFECTS = Task(mode="multilabel", names=["one", "two"], colors=COLORS[:3], thresholds=[0.5, 0.5])


def submit(folder, sample: str, task: Task = TASK, *, suffix: str = ".png") -> tuple[str, list[str]]:
    """rle.csv for the images a and sub/b, and the notes."""
    planes = (SKY_ROAD, ALL_CAR) if task.mode == "multiclass" else (np.array(SKY_ROAD) * 255, np.zeros((2, 3)))
    paint(folder / "in" / f"a{suffix}", planes[0])
    paint(folder / "in" / "sub" / f"b{suffix}", planes[1])
    (folder / "sample.csv").write_text(sample)
    options = {"kinds": ["index"], "sample": folder / "sample.csv"}
    report = run(folder / "in", folder / "out", painted(task), **options)
    return (folder / "out" / "rle.csv").read_text(), report.notes


SAMPLES = {
    # a cell for the image and one for the class, the runs between them
    "Image,EncodedPixels,ClassId\nb.png,1 1,car\na.png,,road\na.png,1 2 5 1,sky\n": (
        "Image,EncodedPixels,ClassId\nb.png,1 6,car\na.png,3 1 5 2,road\na.png,1 2 4 1,sky\n"
    ),
    # the class by its number, with tabs, and names without suffix
    "id\tclass\tpredicted\nb\t2\t\na\t1\t\na\t0\t\n": (
        "id\tclass\tpredicted\nb\t2\t1 6\na\t1\t3 1 5 2\na\t0\t1 2 4 1\n"
    ),
    # the class behind the name
    "Image_Label,EncodedPixels\na.png_road,1 1\na.png_car,1 1\nsub/b.png_car,1 1\n": (
        "Image_Label,EncodedPixels\na.png_road,3 1 5 2\na.png_car,\nsub/b.png_car,1 6\n"
    ),
    # no header; a name with a suffix that the images do not have; NaN for no runs
    "a.jpg_0;nan\nb.jpg_2;1 1\n": "a.jpg_0;1 2 4 1\nb.jpg_2;1 6\n",
}


@pytest.mark.parametrize("sample", SAMPLES, ids=range(len(SAMPLES)))
def test_rows_order_header_and_delimiter_are_those_of_the_sample(tmp_path, sample):
    text, notes = submit(tmp_path, sample)
    assert text == SAMPLES[sample] and notes == []


@pytest.mark.parametrize("sample", ["a.png\t\nb.png\t\n", "a.png\t1 1\r\nb.png\t\r\n"])
def test_a_single_class_need_not_be_named(tmp_path, sample):
    assert submit(tmp_path, sample, BINARY)[0] == "a.png\t3 1 5 2\nb.png\t\n"


def test_a_single_class_may_be_named(tmp_path):
    assert submit(tmp_path, "id,rle\na_1,\nb_road,\na_background,\n", BINARY)[0] == (
        "id,rle\na_1,3 1 5 2\nb_road,\na_background,1 2 4 1\n"
    )


def test_numbers_of_classes_that_overlap_count_from_1(tmp_path):
    sample = "ImageId,ClassId,EncodedPixels\na.png,1,\na.png,2,\nb.png,1,\nb.png,2,\n"
    expected = "ImageId,ClassId,EncodedPixels\na.png,1,3 1 5 2\na.png,2,\nb.png,1,\nb.png,2,\n"
    assert submit(tmp_path, sample, DEFECTS)[0] == expected


def test_images_without_a_row_are_told(tmp_path):
    text, notes = submit(tmp_path, "id,rle\na,\n", BINARY)
    assert text == "id,rle\na,3 1 5 2\n"
    assert notes == [f"{tmp_path}/sample.csv: has no rows for 1 of 2 images: sub/b.png"]


def test_rows_of_an_image_that_was_skipped_stay_empty(tmp_path):
    paint(tmp_path / "in" / "a.png", SKY_ROAD)
    (tmp_path / "in" / "b.png").write_text("no picture")
    (tmp_path / "sample.csv").write_text("id,class,rle\nb,sky,1 1\na,sky,1 1\n")
    report = run(tmp_path / "in", tmp_path / "out", kinds=["index"], sample=tmp_path / "sample.csv")
    assert report.status == 1
    assert (tmp_path / "out" / "rle.csv").read_text() == "id,class,rle\nb,sky,\na,sky,1 2 4 1\n"


def test_without_a_sample_there_is_a_row_for_each_class_of_each_image(tmp_path):
    paint(tmp_path / "in" / "a.png", SKY_ROAD)
    run(tmp_path / "in", tmp_path / "out", kinds=["rle"])
    assert (tmp_path / "out" / "rle.csv").read_text() == (
        "image,class,rle\na.png,sky,1 2 4 1\na.png,road,3 1 5 2\na.png,car,\n"
    )
    assert plain_sheet(["a.png"], BINARY).rows == [["a.png", "road", ""]]


REFUSED = {
    "id,rle\n": "has a header but no rows",
    "id\na\n": "is not a table; its first line needs cells separated by tabs, commas or semicolons",
    "id,rle\na,1 1\nb\n": "FILE:3: has 1 cells, but the first line has 2",
    "id,rle\na,1\nb,1 2\n": "0 of its 2 columns contain only run lengths ('1 5 20 3') or empty cells; exactly one must",
    "id,class,rle\na,,\n": "2 of its 3 columns contain only run lengths ('1 5 20 3') or empty cells; exactly one must",
    "id,class,rle,more\na,sky,1 1,x\n": "has 4 columns; at most three are supported: image, class and run lengths",
    "id,class,rle\na,sky,\nc,sky,\nd,car,\n": "names images that are not among those to predict: c, d",
    "id,class,rle\na,fish,\nb,7,\n": ("the model does not have the classes fish, 7; it has 0, 1, 2, sky, road, car"),
    "id,rle\na_sky,\nb_fish,\n": "names images that are not among those to predict: b_fish",
    "id,rle\na,\nb,\n": "'a' names an image but no class; the model has sky, road, car",
    "id,class,rle\na,sky,\nb,sky,\na.png,0,\n": "FILE:4: has the same image and class as line 2",
}


@pytest.mark.parametrize("sample", REFUSED)
def test_a_sample_that_does_not_fit_is_refused_before_anything_is_done(tmp_path, sample):
    with pytest.raises(DataError) as error:
        submit(tmp_path, sample)
    path = str(tmp_path / "sample.csv")
    expected = REFUSED[sample]
    assert str(error.value) == (expected.replace("FILE", path) if "FILE" in expected else f"{path}: {expected}")
    assert not (tmp_path / "out").exists()


def test_a_name_that_two_images_have_is_none(tmp_path):
    (tmp_path / "sample.csv").write_text("id,class,rle\nx/a,sky,\na,sky,\n")
    with pytest.raises(DataError) as error:
        read_sheet(tmp_path / "sample.csv", ["x/a.png", "y/a.png"], TASK)
    assert str(error.value) == f"{tmp_path}/sample.csv: names images that are not among those to predict: a"


def test_an_image_whose_name_ends_like_a_class(tmp_path):
    (tmp_path / "sample.csv").write_text("id,rle\na_1,\na_1_0,\na_0,\n")
    sheet = read_sheet(tmp_path / "sample.csv", ["a.png", "a_1.png"], BINARY)
    assert sheet.keys == [("a_1.png", 1), ("a_1.png", 0), ("a.png", 0)]


def test_runs_that_are_longer_than_the_csv_module_likes(tmp_path):
    long = " ".join(f"{2 * place + 1} 1" for place in range(30_000))
    (tmp_path / "sample.csv").write_text(f"id,rle\na,{long}\n")
    assert read_sheet(tmp_path / "sample.csv", ["a.png"], BINARY).keys == [("a.png", 1)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "--rle-sample: PATH does not exist; "), (b"\xff\xfe\x00", "PATH: is not ")],
)
def test_a_sample_that_cannot_be_read(tmp_path, content, reason):
    path = tmp_path / "sample.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_sheet(path, ["a.png"], TASK)
    assert str(error.value).startswith(reason.replace("PATH", str(path)))


def test_videos_have_no_rows(tmp_path):
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(ConfigError) as error:
        run(tmp_path / "clip.mp4", tmp_path / "out", kinds=["rle"])
    expected = f"{tmp_path}/clip.mp4: a table of run lengths has rows for images only; predict videos without it"
    assert str(error.value) == expected


def test_a_full_name_goes_before_a_short_one(tmp_path):
    (tmp_path / "sample.csv").write_text("id,class,rle\na.png,sky,\nx/a.jpg,sky,\na,road,\n")
    sheet = read_sheet(tmp_path / "sample.csv", ["a.png", "x/a.png"], TASK)
    assert sheet.keys == [("a.png", 0), ("x/a.png", 0), ("a.png", 1)]


def test_a_header_with_an_empty_cell(tmp_path):
    (tmp_path / "sample.csv").write_text(",class,rle\na.png,sky,\na.png,road,\n")
    sheet = read_sheet(tmp_path / "sample.csv", ["a.png"], TASK)
    assert sheet.header == ["", "class", "rle"] and sheet.keys == [("a.png", 0), ("a.png", 1)]
