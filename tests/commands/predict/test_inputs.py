from pathlib import Path

import numpy as np
import pytest

from segtrain.__main__ import main as segtrain
from segtrain.commands.predict.outputs import KINDS, require_writable
from segtrain.errors import DataError
from segtrain.inference.inputs import find_images
from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from tests.bad_input import assert_one_line
from tests.painted import paint, random_classes, read


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
        expected = f"{item}: its images lie in the output folder {tmp_path}; write -o another folder"
        assert missing(item, output=tmp_path) == expected


def test_inputs_without_an_image(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    known = (
        "known suffixes: .avi .bmp .gif .jpeg .jpg .m4v .mkv .mov .mp4 .mpeg .mpg .npy .pgm .png .ppm .tif .tiff "
        ".webm .webp .wmv"
    )
    for item in ("empty", "notes.txt", "*.png"):
        assert missing(tmp_path / item, output=tmp_path) == f"{tmp_path / item}: no images there; {known}"
    expected = f"images: {tmp_path / 'gone'} does not exist; {tmp_path} holds: empty, notes.txt"
    assert missing(tmp_path / "gone", output=tmp_path) == expected


@pytest.mark.parametrize("there", ["out", "out/deeper"])
def test_a_file_where_the_output_folder_should_be(tmp_path, there):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(DataError) as error:
        require_writable(tmp_path / there)
    expected = f"{tmp_path / there}: cannot be the output folder, {tmp_path / 'out'} is a file; write -o another folder"
    assert str(error.value) == expected


def test_an_output_folder_that_cannot_be_written_to():
    with pytest.raises(DataError) as error:
        require_writable(Path("/proc/out"))  # not even root makes files there
    expected = "/proc/out: cannot be the output folder, nothing can be written to /proc (No such file or directory)"
    assert str(error.value) == f"{expected}; write -o another folder"


def test_predict_py_writes_and_reports(trained, tmp_path, capsys):
    paint(tmp_path / "in" / "a.png", random_classes(0, 64, 80))
    (tmp_path / "in" / "b.png").write_text("no picture")
    out = tmp_path / "out"
    arguments = [str(trained), str(trained / "last.pt"), str(tmp_path / "in"), "-o", str(out), "--save", "index,npz"]
    assert segtrain(["predict", *arguments, "--device", "cpu"], prog="predict.py") == 1
    printed = capsys.readouterr()
    assert_one_line(printed.out, rf"1 images predicted, written to {out} \(\d+\.\d images/s\)")
    assert printed.err == f"{tmp_path}/in/b.png: is not an image of a known type; is the file complete?\n"
    ensemble = Predictor.load(trained, trained / "last.pt", device="cpu")
    expected = ensemble.probabilities([read(tmp_path / "in" / "a.png")])
    assert np.array_equal(np.load(out / "a.npz")["probabilities"], expected[0].numpy().astype(np.float16))
    assert np.array_equal(read(out / "a.png"), expected[0].argmax(0))


def test_flags_may_stand_between_models_and_images(trained, tmp_path):
    paint(tmp_path / "in" / "a.png", random_classes(0, 64, 80))
    line = [str(trained), "-o", str(tmp_path / "out"), "--tile", "32", str(tmp_path / "in"), "--save", "index"]
    assert segtrain(["predict", *line], prog="predict.py") == 0
    tiled = Predictor.load(trained, options=InferOptions(tile_px=32))
    assert np.array_equal(read(tmp_path / "out" / "a.png"), tiled.predict(read(tmp_path / "in" / "a.png")))


def test_an_output_folder_is_refused_before_the_model_is_read(tmp_path, capsys):
    paint(tmp_path / "in" / "a.png", [[0]])
    (tmp_path / "out").write_text("a file")
    line = [str(tmp_path / "no_run"), str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    assert segtrain(["predict", *line], prog="predict.py") == 2
    assert "cannot be the output folder" in capsys.readouterr().err


def test_help_names_every_kind(capsys):
    with pytest.raises(SystemExit) as stop:
        segtrain(["predict", "--help"], prog="predict.py")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: predict.py MODEL [MODEL ...] INPUT [INPUT ...] -o OUTPUT [flags]\n")
    assert all(f"\n  {kind} " in text for kind in KINDS)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--save", "index,colour"], "argument --save: 'colour' cannot be saved; did you mean 'color'?"),
        (["--save", "prob8,prob16"], "argument --save: prob8 and prob16 have the same file names; take one of them"),
        (["--video", "0"], "argument --video: '0' is not a number of frames per second, like 25"),
        (["--video", "fast"], "argument --video: 'fast' is not a number of frames per second, like 25"),
    ],
)
def test_flags_that_are_wrong(capsys, flags, text):
    with pytest.raises(SystemExit) as stop:
        segtrain(["predict", "run", "in", "-o", "out", *flags], prog="predict.py")
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(text)


def test_a_model_without_images(tmp_path, capsys):
    (tmp_path / "best.pt").write_text("x")
    line = [str(tmp_path), "-o", str(tmp_path / "out")]
    assert segtrain(["predict", *line], prog="predict.py") == 2
    expected = f"no images after the model {tmp_path}; name folders, files or globs of them\n"
    assert capsys.readouterr().err == expected
