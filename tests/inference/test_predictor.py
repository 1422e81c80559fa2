import json
import shutil

import numpy as np
import pytest
import torch
from torch import Tensor

from segtrain.errors import CheckpointError, ConfigError
from segtrain.inference.load import load_network
from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from segtrain.inference.task import Task

COLORS = [(0, 0, 0), (90, 90, 90), (200, 200, 200)]
IMAGE = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
THREE = Task(mode="multiclass", names=["sky", "road", "car"], colors=COLORS)
ONE = Task(mode="binary", names=["background", "car"], colors=COLORS[:2], thresholds=[0.5])
LAYERS = Task(mode="multilabel", names=["tumour", "vessel"], colors=COLORS, thresholds=[0.5, 0.5])


class Constant:
    """A network that gives every pixel the same probabilities."""

    device = torch.device("cpu")
    input_size = None
    gives_labels = False
    batch_size = None

    def __init__(self, *probabilities: float, task: Task = THREE):
        self.values = torch.tensor(probabilities).view(1, -1, 1, 1)
        self.task = task

    def probabilities(self, images: Tensor) -> Tensor:
        return self.values.expand(len(images), -1, *images.shape[-2:])


class Brightness(Constant):
    """A network whose first probability is the pixel's red; it notes the sizes of what it gets."""

    def __init__(self, *, input_size=None, batch_size=None, task: Task = ONE):
        super().__init__(0.5, task=task)
        self.input_size = input_size
        self.batch_size = batch_size
        self.seen: list[tuple[int, ...]] = []

    def probabilities(self, images: Tensor) -> Tensor:
        self.seen.append((len(images), *images.shape[-2:]))
        return images[:, :1].float() / 255


def at_a_pixel(predictor: Predictor) -> list[float]:
    return [round(value, 6) for value in predictor.probabilities([IMAGE])[0, :, 5, 5].tolist()]


def predicted(*networks, **options) -> int:
    prediction = Predictor(networks, InferOptions(**options)).predict(IMAGE)
    assert prediction.shape == (37, 53) and prediction.dtype == np.int64
    return int(np.unique(prediction).item())


def test_probabilities_are_averaged_not_labels():
    models = Constant(0.5, 0.5, 0.0), Constant(0.1, 0.4, 0.5), Constant(0.4, 0.0, 0.6)
    assert at_a_pixel(Predictor(models[:2])) == [0.3, 0.45, 0.25]
    assert predicted(*models[:2]) == 1  # though no model alone would say so
    assert [predicted(model) for model in models] == [0, 2, 2]


def test_weights_count_models_more_or_less():
    models = Constant(0.5, 0.5, 0.0), Constant(0.1, 0.4, 0.5)
    assert at_a_pixel(Predictor(models, InferOptions(weights=(3, 1)))) == [0.4, 0.475, 0.125]
    assert at_a_pixel(Predictor(models, InferOptions(weights=(0, 2)))) == [0.1, 0.4, 0.5]
    with pytest.raises(ConfigError, match=r"^--weights has 3 numbers for 2 models$"):
        Predictor(models, InferOptions(weights=(1, 1, 1)))


def test_votes_are_counted_and_probabilities_break_ties():
    sure, unsure = Constant(0.0, 0.0, 1.0), Constant(0.4, 0.35, 0.25)
    assert predicted(sure, unsure, unsure) == 2
    assert predicted(sure, unsure, unsure, vote=True) == 0
    assert predicted(sure, unsure, vote=True) == 2
    assert predicted(sure, unsure, unsure, vote=True, weights=(3, 1, 1)) == 2
    shares = at_a_pixel(Predictor([sure, unsure, unsure], InferOptions(vote=True)))
    assert shares == pytest.approx([2 / 3, 0, 1 / 3], abs=2e-4) and sum(shares) == pytest.approx(1)


def test_a_vote_takes_each_models_threshold():
    low, high = ONE.with_thresholds([0.2]), ONE.with_thresholds([0.9])
    assert predicted(Constant(0.3, task=low), Constant(0.3, task=low), Constant(0.3, task=ONE), vote=True) == 1
    assert predicted(Constant(0.8, task=high), Constant(0.8, task=high), Constant(0.8, task=ONE), vote=True) == 0


@pytest.mark.parametrize(
    ("one", "other", "there"),
    [(0.51, 0.01, 0), (0.51, 0.48, 0), (0.51, 0.5, 1), (0.99, 0.1, 1), (0.5, 0.49, 0), (0.49, 0.49, 0)],
)
def test_level_votes_for_one_class_go_by_the_probabilities(one, other, there):
    assert predicted(Constant(one, task=ONE), Constant(other, task=ONE), vote=True) == there


def test_level_votes_measure_each_probability_against_its_threshold():
    low, high = ONE.with_thresholds([0.1]), ONE.with_thresholds([0.8])
    # 0.2 is a ninth of the way from 0.1 to 1, 0.6 three quarters of the way from 0 to 0.8: a quarter is missing.
    assert predicted(Constant(0.2, task=low), Constant(0.6, task=high), vote=True) == 0
    assert predicted(Constant(0.5, task=low), Constant(0.6, task=high), vote=True) == 1
    always, never = ONE.with_thresholds([0.0]), ONE.with_thresholds([1.0])
    assert predicted(Constant(0.0, task=always), vote=True) == 1
    assert (
        predicted(Constant(0.99, task=never), vote=True) == 0 and predicted(Constant(1.0, task=never), vote=True) == 1
    )


def test_a_threshold_is_reached_from_its_value_on():
    assert predicted(Constant(0.5, task=ONE)) == 1
    assert predicted(Constant(0.4999, task=ONE)) == 0
    assert predicted(Constant(0.25, task=ONE), thresholds=(0.25,)) == 1
    assert (
        predicted(Constant(0.3, task=ONE.with_thresholds([0.2])), Constant(0.3, task=ONE.with_thresholds([0.6]))) == 0
    )
    layers = Predictor([Constant(0.3, 0.6, task=LAYERS)], InferOptions(thresholds=(0.3, 0.7))).predict(IMAGE)
    assert layers.shape == (2, 37, 53) and layers[0].min() == 1 and layers[1].max() == 0
    assert Predictor([Constant(0.3, 0.6, task=LAYERS)], InferOptions(thresholds=(0.7,))).predict(IMAGE).max() == 0


@pytest.mark.parametrize(
    ("task", "thresholds", "message"),
    [
        (
            THREE,
            (0.5,),
            "thresholds [0.5, 0.5, 0.5]: this model has mode multiclass and needs none, because the largest "
            "probability wins",
        ),
        (ONE, (0.5, 0.4), "thresholds [0.5, 0.4]: this model has mode binary and needs 1 between 0 and 1"),
        (
            LAYERS,
            (0.1, 0.2, 0.3),
            "thresholds [0.1, 0.2, 0.3]: this model has mode multilabel and needs 2 between 0 and 1",
        ),
    ],
)
def test_thresholds_that_a_model_does_not_take(task, thresholds, message):
    with pytest.raises(CheckpointError) as error:
        Predictor([Constant(*[0.5] * task.outputs, task=task)], InferOptions(thresholds=thresholds))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (ONE, "has mode binary, but model 1 has mode multiclass"),
        (
            THREE.model_copy(update={"names": ["sky", "car", "road"]}),
            "has classes sky, car, road, but model 1 has classes sky, road, car",
        ),
        (
            THREE.model_copy(update={"channels": 4}),
            "has image channels {'channels': 4}, but model 1 has image channels {'channels': 3}",
        ),
    ],
)
def test_models_of_an_ensemble_must_agree(other, message):
    with pytest.raises(CheckpointError) as error:
        Predictor([Constant(0.2, 0.3, 0.5), Constant(0.2, 0.3, 0.5, task=other)])
    assert str(error.value) == f"model 2: {message}"


def test_every_model_of_an_ensemble_sees_the_image_as_it_was_trained():
    wide = ONE.model_copy(update={"transforms": [{"Resize": {"height": 16, "width": 100}}]})
    models = Brightness(), Brightness(task=wide)
    probabilities = Predictor(models).probabilities([IMAGE, IMAGE])
    assert [model.seen for model in models] == [[(2, 37, 53)], [(2, 16, 100)]]
    assert probabilities.shape == (2, 1, 37, 53)


def test_a_network_of_one_size_gets_tiles_of_that_size():
    red = torch.tensor(IMAGE[..., 0] / 255, dtype=torch.float32)
    for size in ((16, 16), (32, 24), (64, 64)):
        network = Brightness(input_size=size)
        torch.testing.assert_close(Predictor([network]).probabilities([IMAGE])[0, 0], red, rtol=0, atol=1e-5)
        assert {shape[1:] for shape in network.seen} == {size}
    network = Brightness(input_size=(16, 16), batch_size=3)
    options = InferOptions(tile_px=20, scales=(1.0, 1.5), flip="d4")
    assert Predictor([network], options).probabilities([IMAGE]).shape == (1, 1, 37, 53)
    assert set(network.seen) == {(3, 16, 16)}


def test_a_network_of_one_batch_size_gets_full_batches():
    network = Brightness(batch_size=4)
    images = [np.full((8, 8, 3), 50 * place, np.uint8) for place in range(5)]
    probabilities = Predictor([network]).probabilities(images)
    assert network.seen == [(4, 8, 8), (4, 8, 8)]
    assert [round(255 * value) for value in probabilities[:, 0, 0, 0].tolist()] == [0, 50, 100, 150, 200]


def test_one_tile_is_the_whole_image_to_the_bit(trained):
    network = load_network(trained, device="cpu")
    whole = Predictor([network]).probabilities([IMAGE])
    assert torch.equal(Predictor([network], InferOptions(tile_px=64)).probabilities([IMAGE]), whole)
    tiled = Predictor([network], InferOptions(tile_px=32)).probabilities([IMAGE])
    assert not torch.equal(tiled, whole) and tiled.sum(1).sub(1).abs().max() < 1e-5


def test_an_ensemble_of_one_model_twice_is_that_model(trained):
    one = Predictor.load(trained, device="cpu")
    two = Predictor.load(trained, trained / "last.pt", device="cpu", options=InferOptions(weights=(1, 0)))
    assert np.array_equal(one.predict(IMAGE), two.predict(IMAGE))


def test_an_ensemble_of_other_classes_names_the_files(trained, tmp_path):
    content = torch.load(trained / "best.pt", weights_only=True)
    content["config"]["data"]["classes"][0]["name"] = "heaven"
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(CheckpointError) as error:
        Predictor.load(trained, tmp_path / "other.pt", device="cpu")
    names = [item["name"] for item in content["config"]["data"]["classes"]][1:]
    expected = f"{tmp_path / 'other.pt'}: has classes heaven, {', '.join(names)}, but {trained} has classes "
    assert str(error.value).startswith(expected)


def test_tuned_thresholds_lie_beside_the_checkpoint(trained, tmp_path):
    content = torch.load(trained / "best.pt", weights_only=True)
    content["config"]["data"]["multilabel"] = True
    for item in content["config"]["data"]["classes"]:
        item["value"] = None
    names = [item["name"] for item in content["config"]["data"]["classes"]]
    torch.save(content, tmp_path / "best.pt")
    assert load_network(tmp_path, device="cpu").task.thresholds == [0.5] * 7
    tuned = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    path, thresholds = tmp_path / "best.thresholds.json", dict(zip(names, tuned, strict=True))
    path.write_text(json.dumps({"epoch": 1, "thresholds": thresholds}))
    assert load_network(tmp_path, device="cpu").task.thresholds == tuned
    assert load_network(tmp_path / "best.pt", device="cpu").task.thresholds == tuned
    shutil.copy(tmp_path / "best.pt", tmp_path / "last.pt")
    assert load_network(tmp_path / "last.pt", device="cpu").task.thresholds == [0.5] * 7  # they are not its own
    one = names[0]
    reasons = {
        "{": "contains no thresholds of classes: ",
        "[]": "contains no thresholds of classes: ",
        json.dumps({"epoch": 1, "thresholds": {}}): f"has no '{one}'; delete it to use thresholds of 0.5",
        json.dumps({"epoch": 1, "thresholds": []}): "contains no thresholds of classes: ",
        json.dumps({"epoch": 1, "thresholds": thresholds | {one: True}}): (
            "contains no thresholds of classes: thresholds [True, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]: this model has mode"
        ),
        json.dumps({"epoch": 1, "thresholds": thresholds | {one: 2.0}}): "contains no thresholds of classes: ",
    }
    for text, reason in reasons.items():
        path.write_text(text)
        with pytest.raises(CheckpointError) as error:
            load_network(tmp_path, device="cpu")
        assert str(error.value).startswith(f"{path}: {reason}") and "\n" not in str(error.value)
    path.write_text(json.dumps({"epoch": 3, "thresholds": thresholds}))
    with pytest.raises(CheckpointError) as error:
        load_network(tmp_path, device="cpu")
    assert str(error.value) == (
        f"{path}: was tuned for the model of epoch 3, but the checkpoint is from epoch 1; delete it to use 0.5, then "
        f"evaluate with --tune-threshold again"
    )
