"""Output folders that already contain files, and names that cannot be written."""

import shutil
import time
from pathlib import Path

import pytest

from segtrain.errors import DataError
from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from tests.commands.predict.predicting import names_in, run
from tests.painted import TASK, Painted, paint, random_classes, read


def refusal(folder: Path, output: Path, **options) -> str:
    with pytest.raises(DataError) as error:
        run(folder, output, **options)
    return str(error.value)


def rows_of(output: Path) -> list[list[str]]:
    """image, files and error of each row."""
    rows = [row.split(",") for row in (output / "manifest.csv").read_text().splitlines()[1:]]
    return [[Path(row[0]).name, row[3], row[4]] for row in rows]


WHY = "cannot be the output folder: it contains {0}, but no manifest.csv of an earlier prediction"


@pytest.mark.parametrize("name", ["b.png", "manifest.csv"])
def test_a_folder_that_holds_something_else_is_refused(tmp_path, name):
    paint(tmp_path / "in" / "a.png", [[0]])
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("image,price\n")
    assert refusal(tmp_path / "in", out) == f"{out}: {WHY.format(name)}; write another folder after -o"
    assert names_in(out) == [name] and (out / name).read_text() == "image,price\n"


def test_hidden_files_do_not_make_a_folder_somebody_elses(tmp_path):
    paint(tmp_path / "in" / "a.png", [[0]])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".gitkeep").touch()
    assert run(tmp_path / "in", tmp_path / "out", kinds=["index"]).status == 0


def test_a_folder_may_be_predicted_into_again_and_again(tmp_path):
    paint(tmp_path / "in" / "a.png", [[1]])
    paint(tmp_path / "more" / "b;c.png", [[2]])
    out = tmp_path / "out"
    for folder, kinds in (("in", ["index", "coco"]), ("more", ["index"]), ("in", ["color"])):
        assert run(tmp_path / folder, out, kinds=kinds).notes == []
    assert rows_of(out) == [["a.png", "a_color.png", ""]]  # the manifest is that of the latest
    assert names_in(out) == ["a.png", "a_color.png", "b;c.png", "coco.json", "manifest.csv"]
    paint(tmp_path / "in" / "a.png", [[2]])
    note = f"{out}: replaced 2 earlier files: a.png, coco.json"
    assert run(tmp_path / "in", out, kinds=["index", "coco"]).notes == [note]
    assert read(out / "a.png").tolist() == [[2]]


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
    why = "the prediction was stopped before this image was finished"
    assert rows_of(killed) == [["a.png", "", why], ["b.png", "", why]]
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
