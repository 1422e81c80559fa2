from pathlib import Path

import numpy as np
import pytest

from segtrain.__main__ import main as segtrain
from segtrain.commands.predict.outputs import KINDS, require_output
from segtrain.errors import DataError
from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from tests.bad_input import assert_one_line
from tests.painted import paint, random_classes, read


@pytest.mark.parametrize("there", ["out", "out/deeper"])
def test_a_file_where_the_output_folder_should_be(tmp_path, there):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(DataError) as error:
        require_output(tmp_path / there)
    expected = (
        f"{tmp_path / there}: cannot be the output folder: {tmp_path / 'out'} is a file; write another folder after -o"
    )
    assert str(error.value) == expected


def test_an_output_folder_that_cannot_be_written_to():
    with pytest.raises(DataError) as error:
        require_output(Path("/proc/out"))  # not even root makes files there
    expected = "/proc/out: cannot be the output folder: /proc is not writable (No such file or directory)"
    assert str(error.value) == f"{expected}; write another folder after -o"


def test_predict_py_writes_and_reports(trained, tmp_path, capsys):
    paint(tmp_path / "in" / "a.png", random_classes(0, 64, 80))
    (tmp_path / "in" / "b.png").write_text("no picture")
    out = tmp_path / "out"
    arguments = [str(trained), str(trained / "last.pt"), str(tmp_path / "in"), "-o", str(out), "--save", "index,npz"]
    assert segtrain(["predict", *arguments, "--device", "cpu"], prog="predict.py") == 1
    printed = capsys.readouterr()
    assert_one_line(printed.out, rf"1 image predicted, written to {out} \(\d+\.\d images/s\)")
    assert printed.err == f"{tmp_path}/in/b.png: is not an image of a supported type; is the file complete?\n"
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


@pytest.mark.parametrize(("name", "reason"), [("out", "is a file"), ("out/mine.txt", "it contains mine.txt, but no")])
def test_an_output_folder_is_refused_before_the_model_is_read(tmp_path, capsys, name, reason):
    paint(tmp_path / "in" / "a.png", [[0]])
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("a file")
    line = [str(tmp_path / "no_run"), str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    assert segtrain(["predict", *line], prog="predict.py") == 2
    error = capsys.readouterr().err
    assert "cannot be the output folder" in error and reason in error


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
        (["--save", "index,colour"], "argument --save: 'colour' is not a kind of output; did you mean 'color'?"),
        (["--save", "prob8,prob16"], "argument --save: prob8 and prob16 have the same file names; write one of them"),
        (["--save", "values,index"], "argument --save: index and values have the same file names; write one of them"),
        (["--min-area", "-3"], "argument --min-area: '-3' is not a number of pixels; write a whole number, like 50"),
        (
            ["--simplify", "nan"],
            "argument --simplify: 'nan' is not a number of pixels; write a number from 0 to 1000, like 1.5",
        ),
        (["--video", "0"], "argument --video: '0' is not a number of frames per second; write a number like 25"),
        (["--video", "fast"], "argument --video: 'fast' is not a number of frames per second; write a number like 25"),
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
    expected = f"no images after the model {tmp_path}; give folders, files or globs\n"
    assert capsys.readouterr().err == expected


def test_an_address_is_for_label_studio(tmp_path, capsys):
    line = ["model", "image.png", "-o", str(tmp_path / "out"), "--image-url", "s3://bucket/"]
    assert segtrain(["predict", *line], prog="predict.py") == 2
    expected = "--image-url has an effect only with --save labelstudio; add that, or remove --image-url\n"
    assert capsys.readouterr().err == expected
