"""Output folders that hold something already, and names that cannot be written."""

import shutil
import time
from pathlib import Path

import pytest

from segtrain.errors import DataError
from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from tests.commands.predict.predicting import names_in, run
from tests.painted import TASK, Painted, paint, random_classes


def refusal(folder: Path, output: Path, **options) -> str:
    with pytest.raises(DataError) as error:
        run(folder, output, **options)
    return str(error.value)


def rows_of(output: Path) -> list[list[str]]:
    """image, files and error of each row."""
    rows = [row.split(",") for row in (output / "manifest.csv").read_text().splitlines()[1:]]
    return [[Path(row[0]).name, row[3], row[4]] for row in rows]


EMPTY = "image,width,height,files,error\n"
UNKNOWN = "exists already, and {0}/manifest.csv does not list it; delete it or write -o another folder"


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    paint(tmp_path / "in" / "a.png", [[0]])
    out = tmp_path / "out"
    paint(out / "b.png", [[0]])
    why = "cannot be the output folder, it holds b.png, but no manifest.csv of an earlier prediction"
    assert refusal(tmp_path / "in", out) == f"{out}: {why}; write -o another folder"
    assert names_in(out) == ["b.png"]


def test_hidden_files_do_not_make_a_folder_somebody_elses(tmp_path):
    paint(tmp_path / "in" / "a.png", [[0]])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".gitkeep").touch()
    assert run(tmp_path / "in", tmp_path / "out", kinds=["index"]).status == 0


@pytest.mark.parametrize("name", ["b_color.png", "sub/c;d_color.png"])
def test_a_file_that_no_prediction_wrote_is_never_written_over(tmp_path, name):
    for image in ("a", "b", "sub/c;d"):
        paint(tmp_path / "in" / f"{image}.png", [[0]])
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    (out / name).write_text("mine")
    (out / "manifest.csv").write_text(EMPTY + "x.png,,,b.png;b_overlay.png;c,\n")
    assert refusal(tmp_path / "in", out) == f"{out}/{name}: {UNKNOWN.format(out)}"
    assert (out / name).read_text() == "mine" and names_in(out) == sorted(["manifest.csv", name])


def test_another_table_of_the_name_of_the_manifest(tmp_path):
    paint(tmp_path / "in" / "a.png", [[0]])
    (tmp_path / "out").mkdir()
    manifest = tmp_path / "out" / "manifest.csv"
    manifest.write_text("image,price\n")
    expected = f"{manifest}: is not the manifest of a prediction; write -o another folder"
    assert refusal(tmp_path / "in", tmp_path / "out") == expected
    assert manifest.read_text() == "image,price\n"


def test_a_folder_may_be_predicted_into_again_and_again(tmp_path):
    paint(tmp_path / "in" / "a.png", [[1]])
    paint(tmp_path / "more" / "b;c.png", [[2]])
    out = tmp_path / "out"
    for folder, kinds in (("in", ["index", "coco"]), ("more", ["index"]), ("in", ["color", "coco"]), ("in", ["index"])):
        assert run(tmp_path / folder, out, kinds=kinds).status == 0
    assert rows_of(out) == [["a.png", "a.png;a_color.png", ""], ["b;c.png", "b;c.png", ""]]
    assert run(tmp_path / "more", out, kinds=["index"]).status == 0
    assert rows_of(out) == [["b;c.png", "b;c.png", ""], ["a.png", "a.png;a_color.png", ""]]


def test_what_was_killed_may_be_predicted_again(tmp_path):
    for name in "ab":
        paint(tmp_path / "in" / f"{name}.png", random_classes(0))
    out = tmp_path / "out"

    class Watched(Painted):
        def probabilities(self, images):
            if self.shapes:
                while not (out / "a.png").exists():
                    time.sleep(0.01)
                shutil.copytree(out, tmp_path / "killed")
            return super().probabilities(images)

    run(tmp_path / "in", out, Predictor([Watched(TASK)], InferOptions(batch_size=1)), kinds=["index"])
    killed = tmp_path / "killed"
    assert names_in(killed) == ["a.png", "manifest.csv"]
    why = "the prediction was ended before this image was done"
    assert rows_of(killed) == [["a.png", "a.png", why], ["b.png", "b.png", why]]
    assert run(tmp_path / "in", killed, kinds=["index"]).images == 2
    assert rows_of(killed) == [["a.png", "a.png", ""], ["b.png", "b.png", ""]]


def test_a_name_that_is_too_long_is_the_failure_of_its_image(tmp_path):
    longest, too_long = "n" * (255 - len("_overlay.jpg")), "m" * (255 - len("_overlay.jpg") + 1)
    for name in (longest, too_long, "z"):
        paint(tmp_path / "in" / f"{name}.png", [[0]])
    report = run(tmp_path / "in", tmp_path / "out", kinds=["overlay"])
    expected = f"{tmp_path}/out/{too_long}_overlay.jpg: cannot be written: File name too long"
    assert (report.images, report.failures) == (2, [expected])
    assert names_in(tmp_path / "out") == ["manifest.csv", f"{longest}_overlay.jpg", "z_overlay.jpg"]
