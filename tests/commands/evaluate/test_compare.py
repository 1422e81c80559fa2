"""evaluate RUN --against FOLDER: predictions that are there already."""

import shutil

import numpy as np
import pytest
from PIL import Image

from segtrain.__main__ import main as segtrain
from segtrain.checkpoint import load_checkpoint
from segtrain.commands.evaluate.compare import PredictedSamples, pair_predictions
from segtrain.config.schema import Config
from segtrain.data.labels import build_decoder
from segtrain.errors import DataError
from segtrain.formats.sample import Sample, SampleTable
from segtrain.inference.task import Task
from tests.commands.evaluate.evaluating import BINARY, LAYERS, draw_layers, evaluate, numbers_in, refused

TASK = Task.of(Config.model_validate({"data": {"root": "data", "classes": ["a", "b", "c"]}}))
TIMES = {"calibration_error", "images_per_second", "image_ms_median", "image_ms_p90"}


def predict_val(run, out) -> None:
    """predict.py on the images of the val split."""
    root = load_checkpoint(run / "best.pt")["config"]["data"]["root"]
    line = [str(run), f"{root}/val/images", "-o", str(out), "--device", "cpu"]
    assert segtrain(["predict", *line], prog="predict.py") == 0


@pytest.fixture(scope="module")
def predicted(trained, tmp_path_factory):
    """What predict.py wrote for the val split."""
    out = tmp_path_factory.mktemp("predicted")
    predict_val(trained, out)
    return out


@pytest.fixture
def copied(predicted, tmp_path):
    """A copy of that, to be broken."""
    return shutil.copytree(predicted, tmp_path / "copied")


def same_scores(run, out, folder) -> None:
    assert evaluate(run, "-o", folder / "model") == evaluate(run, "--against", out, "-o", folder / "files") == 0
    numbers = numbers_in(folder / "model")
    assert numbers.keys() > TIMES
    assert numbers_in(folder / "files") == {key: value for key, value in numbers.items() if key not in TIMES}
    for name in ("images.csv", "confusion.png", "worst.png"):
        assert (folder / "files" / name).read_bytes() == (folder / "model" / name).read_bytes()
    assert not (folder / "files" / "calibration.png").exists()


def test_what_predict_writes_scores_what_the_model_scores(trained, predicted, tmp_path):
    same_scores(trained, predicted, tmp_path)


@pytest.mark.parametrize("overrides", [BINARY, LAYERS])
def test_so_it_is_for_every_kind_of_task(overrides, fitted, dataset, tmp_path):
    draw_layers(dataset)
    run = fitted(*overrides, "train.epochs=1").folder
    predict_val(run, tmp_path / "out")
    same_scores(run, tmp_path / "out", tmp_path)


def test_no_model_is_needed(trained, predicted, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    shutil.copy(trained / "config.yml", tmp_path / "run")
    assert evaluate("--config", tmp_path / "run", "--against", predicted) == 0
    folder = predicted.parent / f"{predicted.name}-evaluation-val-1"
    assert capsys.readouterr().out.startswith(f"the predictions in {predicted}, on the 4 images of the val split of ")
    assert numbers_in(folder)["miou"] == load_checkpoint(trained / "best.pt")["score"]


def test_masks_as_predictions_are_right_everywhere(trained, tmp_path):
    root = load_checkpoint(trained / "best.pt")["config"]["data"]["root"]
    assert evaluate(trained, "--against", f"{root}/val/masks", "-o", tmp_path / "out") == 0  # ignored ones are 255
    numbers = numbers_in(tmp_path / "out")
    assert numbers["miou"] == numbers["boundary_miou"] == numbers["pixel_accuracy"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda out: (out / "002.png").unlink(), "--against {out}: 1 prediction(s) are missing: 002.png"),
        (
            lambda out: shutil.copy(out / "002.png", out / "007.png"),
            "{out}/007.png: belongs to no image of this split; check --split",
        ),
        (
            lambda out: Image.new("L", (64, 80)).save(out / "001.png"),
            "{out}/001.png: is 64 x 80 pixels, but its image {root}/val/images/001.png is 80 x 64 pixels",
        ),
        (
            lambda out: Image.fromarray(np.full((64, 80), 9, np.uint8)).save(out / "001.png"),
            "{out}/001.png: the value 9 (4960 pixels) is not a class; expected 0..6",
        ),
        (
            lambda out: (out / "003.png").write_bytes((out / "003.png").read_bytes()[:60]),
            "{out}/003.png: cannot be read as an image: ",
        ),
        (
            lambda out: [path.unlink() for path in out.iterdir()],
            "--against {out}: contains no PNG or TIFF; predictions must be named after their images, like NAME.png",
        ),
        (shutil.rmtree, "--against {out}: is not a folder"),
    ],
)
def test_what_is_wrong_with_predictions_is_named(trained, copied, change, message, capsys):
    change(copied)
    root = load_checkpoint(trained / "best.pt")["config"]["data"]["root"]
    said = refused(capsys, trained, "--against", copied)
    assert said.startswith(message.format(out=copied, root=root))
    assert not list(trained.glob("evaluation-val-*"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--flip"], "--against scores predictions as they are; remove the flags for running a model"),
        (["--tune-threshold"], "--against does not have probabilities; remove --tune-threshold"),
        (["--wandb"], "--wandb logs predictions of the run itself; remove it or --against"),
    ],
)
def test_flags_that_make_no_sense(trained, predicted, flags, message, capsys):
    assert refused(capsys, trained, "--against", predicted, *flags) == message


def test_one_run_alone_says_what_the_data_are(trained, predicted, capsys):
    assert refused(capsys, trained, trained, "--against", predicted) == (
        "--against scores one folder of predictions; give exactly one run, for its data"
    )
    assert refused(capsys, "--against", predicted) == "give a model: a run folder, a checkpoint or an exported file"


def lay(folder, *names: str):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2)).save(folder / name)
    return folder


def test_names_are_those_of_images_or_samples_with_as_many_folders_as_it_takes(tmp_path):
    samples = [
        Sample("aachen/1", "/set/left/aachen/1_left.png", "m"),
        Sample("ulm/1", "/set/left/ulm/1_left.png", "m"),
        Sample("ulm/2", "/set/left/ulm/2_left.png", "m"),
    ]
    folder = lay(tmp_path, "aachen/1.png", "ulm/1_left.png", "2_left.PNG", "2_left_color.png", "ulm/1_left_overlay.png")
    paired = pair_predictions(folder, samples, TASK)
    assert {name: [str(path.relative_to(folder)) for path in paths] for name, paths in paired.items()} == {
        "aachen/1": ["aachen/1.png"],
        "ulm/1": ["ulm/1_left.png"],
        "ulm/2": ["2_left.PNG"],
    }


def test_a_prediction_of_two_images(tmp_path):
    samples = [Sample("a/1", "/set/a/1.jpg", "m"), Sample("b/1", "/set/b/1.jpg", "m")]
    with pytest.raises(DataError) as error:
        pair_predictions(lay(tmp_path, "1.png"), samples, TASK)
    assert str(error.value) == (
        f"{tmp_path}/1.png: could belong to /set/a/1.jpg or to /set/b/1.jpg; put predictions into the same folders "
        f"as the images"
    )


def test_a_layer_that_is_missing(tmp_path):
    task = TASK.model_copy(update={"mode": "multilabel"})
    folder = lay(tmp_path, "1_0_a.png", "1_2_c.png")
    with pytest.raises(DataError) as error:
        pair_predictions(folder, [Sample("1", "/set/1.jpg", "m")], task)
    assert str(error.value) == f"--against {folder}: 1 prediction(s) are missing: 1_1_b.png"


def test_signs_in_the_name_of_a_class_that_no_file_name_has(tmp_path):
    task = Task(mode="multilabel", names=["a:b/c", 'd*e "f"'], colors=[(0, 0, 0)] * 3, thresholds=[0.5, 0.5])
    files = [tmp_path / "x_0_a_b_c.png", tmp_path / "x_1_d_e _f_.png"]
    for file in files:
        Image.new("L", (2, 2)).save(file)
    assert pair_predictions(tmp_path, [Sample("x", "in/x.png", "")], task) == {"x": files}


@pytest.fixture
def raw(tmp_path):
    """Four images whose masks hold 10, 20 and 30, and a folder for predictions of them: (samples, decoder, folder)."""
    rng = np.random.default_rng(0)
    samples = []
    for name in "abcd":
        image, mask = tmp_path / f"{name}.jpg", tmp_path / f"{name}_mask.png"
        Image.fromarray(rng.integers(0, 255, (8, 9, 3), np.uint8)).save(image)
        Image.fromarray(rng.choice([10, 20, 30], (8, 9)).astype(np.uint8)).save(mask)
        samples.append(Sample(name, str(image), str(mask)))
    classes = [{"name": name, "value": value} for name, value in (("a", 10), ("b", 20), ("c", 30))]
    config = Config.model_validate({"data": {"root": "data", "classes": classes}}).data
    (tmp_path / "out").mkdir()
    return SampleTable(samples), build_decoder(config), tmp_path / "out"


def write_predictions(raw, convert) -> None:
    samples, decoder, folder = raw
    for sample in samples:
        Image.fromarray(np.asarray(convert(decoder.read(sample)), np.uint8)).save(folder / f"{sample.name}.png")


def agreement(raw, **options) -> float:
    samples, decoder, folder = raw
    batches = PredictedSamples(folder, samples, decoder, TASK, **options).batch([0, 1, 2, 3])
    return float((batches[0]["prediction"] == batches[0]["mask"]).float().mean())


COLORS = np.array(TASK.colors)
NUMBERINGS = {
    "indices": (lambda mask: mask, "index"),
    "colors of the classes": (lambda mask: COLORS[mask], "index"),
    "values of the dataset": (lambda mask: 10 + 10 * mask, "data"),
}


@pytest.mark.parametrize("case", NUMBERINGS)
def test_what_predictions_may_hold(case, raw):
    convert, numbering = NUMBERINGS[case]
    write_predictions(raw, convert)
    assert agreement(raw, numbering=numbering) == 1.0


def test_values_of_the_data_set_are_not_taken_for_indices(raw):
    write_predictions(raw, lambda mask: 10 + 10 * mask)
    with pytest.raises(DataError) as error:
        agreement(raw)
    text = "read as class indices, the files agree with the masks in 0 pixels; read as values of the dataset, in 288"
    assert str(error.value) == f"--against {raw[2]}: {text}; write --numbering data"


def test_a_color_of_no_class(raw):
    write_predictions(raw, lambda mask: COLORS[mask] ^ (mask == 2)[..., None])
    with pytest.raises(DataError, match=r"/a.png: color \[\d+, \d+, \d+\] is not the color of a class$"):
        agreement(raw)


def test_a_part_of_the_split_is_scored_when_asked(raw):
    write_predictions(raw, lambda mask: mask)
    for name in "bd":
        (raw[2] / f"{name}.png").unlink()
    with pytest.raises(DataError) as error:
        agreement(raw)
    text = "2 prediction(s) are missing: b.png, d.png; --partial scores only the 2 images that have one"
    assert str(error.value) == f"--against {raw[2]}: {text}"
    samples, decoder, folder = raw
    left = PredictedSamples(folder, samples, decoder, TASK, partial=True)
    assert [sample.name for sample in left.samples] == ["a", "c"]
