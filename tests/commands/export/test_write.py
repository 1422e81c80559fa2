"""Where exports go, and that they replace nothing but earlier ones."""

import os
from pathlib import Path

import pytest

from segtrain.commands.export import exported_program, onnx, openvino, torchscript
from segtrain.commands.export.forms import FORMS
from segtrain.commands.export.write import choose_path, keep_changed, move_into, staged
from segtrain.errors import ConfigError
from tests.commands.export.exporting import options_of, tiny_network
from tests.conftest import PROJECT

COLORS = PROJECT / "tests/inference/runtimes/colors.tflite"
NOTE = '{"format":1,"task":{"mode":"binary"}}'


def refused(path: Path, target: str) -> str:
    with pytest.raises(ConfigError) as error:
        choose_path(path, path, target)
    return str(error.value)


def write(folder: Path, **files: str) -> Path:
    """A folder with these files, named without their suffix .txt."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("target", "module"),
    [("onnx", onnx), ("openvino", openvino), ("torchscript", torchscript), ("exported-program", exported_program)],
)
def test_files_that_segtrain_wrote_are_replaced(tmp_path, target, module):
    path = tmp_path / FORMS[target].file
    module.export(tiny_network(), path, options_of())
    assert choose_path(None, path, target) == path
    assert choose_path(tmp_path, path, target) == path  # into a folder


def test_tflite_files_that_segtrain_wrote_are_replaced(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(COLORS.read_bytes())
    assert choose_path(path, path, "tflite") == path


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("onnx", "m.onnx"),
        ("openvino", "photo.xml"),
        ("torchscript", "m.torchscript"),
        ("exported-program", "m.pt2"),
        ("tflite", "m.tflite"),
    ],
)
def test_files_of_others_stay(tmp_path, target, name):
    path = tmp_path / name
    path.write_text("<annotation><folder>segtrain</folder></annotation>")
    assert refused(path, target) == f"{path}: exists and was not written by segtrain; choose another file with -o"
    path.unlink()
    path.mkdir()
    (path / name).mkdir()
    assert refused(path, target) == f"{path / name}: is a folder; choose another file with -o"


def test_what_lies_beside_an_xml_of_ours_is_ours(tmp_path):
    path, beside = tmp_path / "model.xml", tmp_path / "model.bin"
    beside.write_text("firmware")
    assert refused(path, "openvino") == f"{beside}: exists and was not written by segtrain; choose another file with -o"
    path.write_text(f'<segtrain value="{NOTE.replace(chr(34), "&quot;")}" />')
    assert choose_path(path, path, "openvino") == path
    beside.unlink()
    beside.mkdir()
    assert refused(path, "openvino") == f"{beside}: is a folder; choose another file with -o"


@pytest.mark.parametrize(
    ("target", "marker", "note"),
    [("hub", "model.safetensors", "segtrain.json"), ("savedmodel", "saved_model.pb", "assets.extra/segtrain.json")],
)
def test_folders_of_others_stay(tmp_path, target, marker, note):
    path = tmp_path / "folder"
    assert choose_path(path, path, target) == path
    path.mkdir()
    assert choose_path(path, path, target) == path
    (path / marker).write_text("of another program")
    assert refused(path, target) == f"{path}: is a folder with other files; choose a new one with -o"
    (path / note).parent.mkdir(exist_ok=True)
    (path / note).write_text('{"version": 1}')
    assert refused(path, target) == f"{path}: is a folder with other files; choose a new one with -o"
    (path / note).write_text(NOTE)
    assert choose_path(path, path, target) == path
    other = "hub" if target == "savedmodel" else "savedmodel"
    assert refused(path, other) == f"{path}: is a folder with other files; choose a new one with -o"
    file = tmp_path / "file"
    file.write_text(NOTE)
    assert refused(file, target) == f"{file}: exists and is not a folder; choose a new one with -o"


def test_a_link_to_nothing_is_not_followed(tmp_path):
    path = tmp_path / "model.onnx"
    path.symlink_to(tmp_path / "gone")
    assert refused(path, "onnx") == f"{path}: exists and was not written by segtrain; choose another file with -o"
    assert refused(path, "hub") == f"{path}: exists and is not a folder; choose a new one with -o"


def test_in_a_folder_only_our_files_are_replaced(tmp_path):
    path = write(tmp_path / "clone", weights="old", mine="mine")
    write(path / ".git", HEAD="main")
    write(path / "inner", old="old", mine="mine")
    with staged(path) as draft:
        write(draft, weights="new")
        write(draft / "inner", old="new")
        write(draft / "more", added="new")
        move_into(draft, path)
    assert contents(tmp_path) == {
        "clone/.git/HEAD.txt": "main",
        "clone/inner/mine.txt": "mine",
        "clone/inner/old.txt": "new",
        "clone/mine.txt": "mine",
        "clone/more/added.txt": "new",
        "clone/weights.txt": "new",
    }


def test_a_new_folder_comes_as_a_whole(tmp_path):
    path = tmp_path / "new" / "hub"
    with staged(path) as draft:
        write(draft, weights="new")
        assert not path.exists()
        move_into(draft, path)
    assert contents(tmp_path) == {"new/hub/weights.txt": "new"}


def test_the_folder_one_is_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = choose_path(Path(), tmp_path / "hub", "hub")
    with staged(path) as draft:
        write(draft, weights="new")
        move_into(draft, path)
    assert contents(tmp_path) == {"weights.txt": "new"} and os.listdir(tmp_path) == ["weights.txt"]


def test_what_goes_wrong_elsewhere_keeps_its_name_and_leaves_nothing(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    with pytest.raises(FileNotFoundError, match="elsewhere"), staged(tmp_path / "model.onnx"):
        elsewhere.read_bytes()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("target", "model"), [("space", "model.onnx"), ("triton", "1/model.onnx")])
def test_a_folder_around_a_model(tmp_path, target, model):
    path = tmp_path / "there"
    (path / model).parent.mkdir(parents=True)
    (path / model).write_text("somebody's")
    assert refused(path, target) == f"{path}: is a folder with other files; choose a new one with -o"
    (path / model).write_text(NOTE)
    assert choose_path(path, path, target) == path


def test_what_was_changed_around_a_model_stays(tmp_path, capsys):
    path = write(tmp_path / "there", app="mine", same="same", model="old")
    draft = write(tmp_path / "draft", app="new", same="same", model="new", more="more")
    keep_changed(draft, path, "model.txt")
    assert contents(draft) == {"model.txt": "new", "more.txt": "more", "same.txt": "same"}
    assert capsys.readouterr().out == (
        f"{path / 'app.txt'}: differs from what would be written and is kept; delete it to have it written again\n"
    )
