"""What is evaluated on, and which evaluations are refused because the number would not be honest."""

import shutil
from pathlib import Path

import pytest

from segtrain.checkpoint import load_checkpoint, save_checkpoint
from segtrain.commands.evaluate.source import find_split
from segtrain.config.schema import Config
from tests.commands.evaluate.evaluating import NAMES, evaluate, numbers_in, refused
from tests.conftest import draw_folders, draw_sample
from tests.formats.coco_export import draw_set

IMAGES = {split: f"{split}/images" for split in ("train", "val", "test")}
MASKS = {split: f"{split}/masks" for split in ("train", "val", "test")}


@pytest.fixture(scope="module")
def street(trained) -> Path:
    """The dataset of the run, with a test split."""
    root = Path(load_checkpoint(trained / "best.pt")["config"]["data"]["root"])
    shutil.copytree(root / "val", root / "test")
    for path in (root / "test").glob("*/*.png"):
        path.rename(path.with_name(f"1{path.name}"))
    return root


@pytest.fixture
def variant(trained, tmp_path):
    """A checkpoint of that run whose configuration says something else of the data."""

    def variant(name: str, *, seed: int = 0, **data) -> Path:
        content = load_checkpoint(trained / "best.pt")
        content["config"]["data"] |= data
        content["config"] |= {"seed": seed, "runs_dir": str(tmp_path)}
        (tmp_path / name).mkdir()
        save_checkpoint(tmp_path / name / "best.pt", content)
        return tmp_path / name

    return variant


def learned(model: Path, count: int, of: int, image: Path, split: str = "val") -> str:
    return (
        f"{model}: was trained on {count} of the {of} images of the {split} split, such as {image}, so the score "
        f"would not be on unseen images; use --split test, or combine only models that held out the same images "
        f"(same data.fold and seed)"
    )


def test_moved_data(trained, street, tmp_path, capsys):
    moved = shutil.copytree(street, tmp_path / "moved")
    assert evaluate(trained, f"data.root={moved}", "-o", tmp_path / "out") == 0
    assert capsys.readouterr().out.startswith(f"{trained}, on the 4 images of the val split of {moved} (folders)\n")
    assert numbers_in(tmp_path / "out")["miou"] == load_checkpoint(trained / "best.pt")["score"]


def test_other_splits(trained, variant, street, tmp_path, capsys):
    run = variant("with-test", images=IMAGES, masks=MASKS)
    assert evaluate(run, "--split", "test") == 0
    assert numbers_in(run / "evaluation-test-1")["miou"] == load_checkpoint(trained / "best.pt")["score"]
    assert refused(capsys, trained, "--split", "test") == (
        f"--split test: missing or empty; {street} read as format folders contains: train (8), val (4)"
    )
    assert refused(capsys, run, "--split", "tset") == (
        f"--split tset: missing or empty; {street} read as format folders contains: test (4), train (8), val (4)"
    )


def test_what_may_be_said_of_the_data(trained, capsys):
    assert refused(capsys, trained, "train.epochs=3") == (
        "command line: train.epochs=3: evaluate accepts only data.KEY=VALUE; everything else stays as trained"
    )
    assert refused(capsys, trained, "data.rot=x") == (
        "command line: data.rot=x: data.rot: unknown key; format folders has no 'rot'; did you mean 'root'?"
    )
    assert refused(capsys, trained, "data.root=/not/there").startswith(
        "data.root: /not/there does not exist; / contains: "
    )
    assert refused(capsys, trained, "data.channels=1", "data.classes=[a, b]") == (
        f"{trained}: has classes {', '.join(NAMES)}, but the data to evaluate on have classes a, b"
    )
    assert refused(capsys, trained, "data.channels=1") == (
        f"{trained}: has image channels {{'channels': 3}}, but the data to evaluate on have image channels "
        "{'channels': 1}"
    )


def test_what_is_no_model(trained, tmp_path, capsys):
    assert refused(capsys) == "give a model: a run folder, a checkpoint or an exported file"
    assert refused(capsys, tmp_path / "gone") == f"{tmp_path / 'gone'}: does not exist"
    (tmp_path / "model.onnx").write_bytes(b"")
    assert refused(capsys, tmp_path / "model.onnx") == (
        f"{tmp_path / 'model.onnx'}: an exported file does not say where the images are; give the run or experiment "
        f"that does, like --config runs/street-1"
    )


def test_files_that_cannot_be_read_are_named(trained, street, tmp_path, capsys):
    moved = shutil.copytree(street, tmp_path / "moved")
    image, mask = moved / "val/images/002.png", moved / "val/masks/001.png"
    image.write_bytes(image.read_bytes()[:300])
    assert refused(capsys, trained, f"data.root={moved}").startswith(f"{image}: cannot be read as an image: ")
    mask.write_text("no picture")
    said = refused(capsys, trained, f"data.root={moved}")
    assert said == f"{mask}: is not an image of a supported type; is the file complete?"


def test_an_ensemble_of_other_classes(trained, variant, street, capsys):
    other = variant("other", classes=[{"name": name} for name in (*NAMES[:-1], "cyclist")])
    assert refused(capsys, trained, other) == (
        f"{other}: has classes {', '.join([*NAMES[:-1], 'cyclist'])}, but {trained} has classes {', '.join(NAMES)}"
    )


def test_an_ensemble_of_folds_has_seen_each_others_images(variant, street, tmp_path, capsys):
    splits = {"images": IMAGES, "masks": MASKS, "folds": 4}
    first, second = variant("first", **splits), variant("second", fold=1, **splits)
    again = variant("again", **splits)
    assert evaluate(first, again, "-o", tmp_path / "same") == 0
    said = refused(capsys, first, second)
    assert said.startswith(f"{second}: was trained on 3 of the 3 images of the val split, such as {street}/")
    assert said.endswith(learned(second, 3, 3, Path("x")).partition(f"{Path('x')}:")[2])
    assert evaluate(first, second, "--split", "test", "-o", tmp_path / "test") == 0
    assert numbers_in(tmp_path / "test")["images"] == 4


def test_other_data_for_the_evaluation_do_not_change_what_was_trained_on(variant, street, capsys):
    run = variant("first", images=IMAGES, masks=MASKS, folds=4)
    said = refused(capsys, run, "data.fold=1")
    assert said.startswith(f"{run}: was trained on 3 of the 3 images of the val split, such as {street}/")


def test_so_has_one_of_another_seed(variant, street, capsys):
    whole = {"images": "*/images/*.png", "masks": "*/masks/*.png", "val_fraction": 0.5}
    first, second = variant("first", seed=1, **whole), variant("second", seed=2, **whole)
    assert refused(capsys, first, second).startswith(f"{second}: was trained on ")


def test_a_split_that_was_trained_on_under_another_name(trained, variant, street, capsys):
    swapped = {"train": "val", "val": "train"}
    run = variant("swapped", **{key: {s: f"{swapped[s]}/{key}" for s in swapped} for key in ("images", "masks")})
    assert refused(capsys, run, "--config", trained) == learned(run, 4, 4, street / "val/images/000.png")


def test_a_member_whose_data_are_gone_is_warned_of(trained, variant, street, tmp_path, capsys):
    other = variant("elsewhere", root=str(tmp_path / "gone"))
    assert evaluate(trained, other, "-o", tmp_path / "out") == 0
    assert f"warning: cannot determine which images {other} was trained on: " in capsys.readouterr().out


def test_the_data_of_an_experiment_file(trained, street, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(trained / "config.yml", tmp_path)
    (tmp_path / "test.yml").write_text(f"data: {{images: {IMAGES}, masks: {MASKS}}}\n")
    assert evaluate(trained, "--config", "test.yml", "--split", "test", "-o", "out") == 0
    assert numbers_in(tmp_path / "out")["images"] == 4
    assert refused(capsys, trained, "--config", "gone.yml").startswith("gone.yml")


def test_images_of_many_sizes(trained, tmp_path):
    root = draw_folders(tmp_path / "mixed", val=3)
    draw_sample(root / "val", "wide", seed=5, height=48, width=130, classes=7)
    assert evaluate(trained, f"data.root={root}", "-o", tmp_path / "out") == 0
    pixels = sum(numbers_in(tmp_path / "out")[f"pixels/{name}"] for name in NAMES)
    assert pixels == 3 * 62 * 80 + 46 * 130


def test_what_a_reader_has_to_say_is_told(tmp_path, capsys):
    data = {"format": "coco", "root": draw_set(tmp_path), "annotations": "set.json", "images": "images"}
    data |= {"classes": ["background", "dog", "cat"], "val_fraction": 0.4}
    assert len(find_split(Config.model_validate({"data": data}), "val").samples) == 1
    told = capsys.readouterr().out
    assert told.startswith(f"warning: {tmp_path}/set.json: 1 of 5 objects have iscrowd: 1 and are ignored: cat (1); ")
