import json
import shutil
from pathlib import Path

import albumentations
import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from segtrain.checkpoint import save_checkpoint
from segtrain.commands.export import hub
from segtrain.commands.export.graph import ExportError
from segtrain.errors import CheckpointError
from segtrain.inference.load import load_trained
from segtrain.inference.predictor import Predictor
from tests.commands.export.exporting import loaded, options_of, tiny_network
from tests.commands.export.hub_export import BEST, CAMVID, export, train

IMAGE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return train(tmp_path_factory.mktemp("hub") / "run", data=CAMVID)


@pytest.fixture(scope="module")
def folder(run) -> Path:
    return export(run, run.parent / "hub", license="cc-by-4.0")


def logits_of_smp(folder: Path, image: np.ndarray) -> torch.Tensor:
    prepared = albumentations.Compose.from_pretrained(folder)(image=image)["image"]
    with torch.inference_mode():
        return smp.from_pretrained(folder).eval()(torch.from_numpy(prepared.transpose(2, 0, 1)[None]))


def test_smp_and_albumentations_give_the_logits_of_the_predictor(run, folder):
    images = torch.from_numpy(IMAGE).permute(2, 0, 1)[None]
    torch.testing.assert_close(logits_of_smp(folder, IMAGE), load_trained(run, device="cpu").logits(images))


def test_files(folder):
    assert sorted(path.name for path in folder.iterdir()) == sorted(hub.FILES)
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1
    assert "somebody" not in "".join(path.read_text() for path in folder.iterdir() if path.suffix != ".safetensors")


def test_segtrain_loads_the_network_bit_for_bit(run, folder):
    trained, exported = Predictor.load(run, device="cpu"), Predictor.load(folder, device="cpu")
    assert exported.task == trained.task
    assert torch.equal(exported.probabilities([IMAGE]), trained.probabilities([IMAGE]))
    assert loaded(folder, precision="bf16").dtype == torch.bfloat16


def test_card_and_weights_are_of_one_checkpoint(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    network = load_trained(copy, device="cpu")
    content = torch.load(copy / "best.pt")
    next(iter(content["model"].values())).add_(1)
    save_checkpoint(copy / "best.pt", content | {"epoch": 9})  # as its training does meanwhile
    hub.export(network, tmp_path / "hub", options_of())
    assert f"the weights are those after epoch {BEST['epoch']}" in (tmp_path / "hub/README.md").read_text()
    weights = load_trained(run, device="cpu").model.state_dict()
    for name, weight in loaded(tmp_path / "hub").model.state_dict().items():
        assert torch.equal(weight, weights[name])


def test_flags_that_mean_nothing_here(run, tmp_path):
    for given in ({"labels": True}, {"size": (64, 64)}):
        with pytest.raises(ExportError, match=r"^--to hub writes the weights, .*: remove --labels and --size$"):
            export(run, tmp_path / "hub", **given)


@pytest.fixture
def broken(folder, tmp_path):
    """A copy of the folder to be broken, and how loading it is refused."""
    copy = tmp_path / "hub"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())

    def refused() -> str:
        with pytest.raises(CheckpointError) as error:
            Predictor.load(copy, device="cpu")
        assert "\n" not in str(error.value)
        return str(error.value).removeprefix(str(copy))

    return copy, refused


def test_a_folder_of_somebody_else(broken):
    folder, refused = broken
    (folder / hub.NOTE).unlink()
    (folder / "config.json").unlink()
    how = "export one with python -m segtrain export RUN --to hub"
    assert refused() == f": was not exported by segtrain: it has no segtrain.json; {how}"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 2}, "is damaged: format: Input should be 1"),
        ({"std": [0.0, 1.0, 1.0]}, "is damaged: std.0: Input should be greater than 0"),
        ({"model": {"name": "os.system"}}, "uses the model 'os.system', which neither segtrain nor smp has"),
        (
            {"model": {"encoder_name": "tu-hf-hub:me/code"}},
            "model.encoder_name: timm has no model 'hf-hub:me/code'; none of the 1371 known names is similar",
        ),
    ],
)
def test_a_note_that_was_changed(broken, change, reason):
    folder, refused = broken
    content = json.loads((folder / hub.NOTE).read_text())
    (folder / hub.NOTE).write_text(json.dumps(content | change))
    assert refused() == f"/segtrain.json: {reason}"


def test_a_note_that_is_no_json(broken):
    folder, refused = broken
    (folder / hub.NOTE).write_text("{")
    assert refused().startswith("/segtrain.json: is damaged: the content: Invalid JSON: ")


def test_damaged_weights(broken):
    folder, refused = broken
    weights = (folder / hub.WEIGHTS).read_bytes()
    (folder / hub.WEIGHTS).write_bytes(weights[: len(weights) // 2])
    assert refused().startswith("/model.safetensors: is damaged: ")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"task": {"names": ["a", "b"], "colors": [[0, 0, 0], [1, 1, 1]], "mask_values": None}},
            "size mismatch for net.segmentation_head",
        ),
        ({"mean": [1.0]}, "size mismatch for mean: copying a param with shape torch.Size([1, 1, 1, 1]) from"),
        ({"model": {"name": "Unet", "encoder_name": "resnet18"}}, "size mismatch for net."),
    ],
)
def test_weights_of_another_network(broken, change, reason):
    folder, refused = broken
    content = json.loads((folder / hub.NOTE).read_text())
    change = change | ({"task": content["task"] | change["task"]} if "task" in change else {})
    (folder / hub.NOTE).write_text(json.dumps(content | change))
    assert refused().startswith(f"/model.safetensors: its weights do not match its configuration: {reason}")


def test_a_network_that_smp_does_not_have(tmp_path):
    with pytest.raises(ExportError) as error:
        hub.export(tiny_network(3), tmp_path / "hub", options_of())
    assert str(error.value) == "--to hub: smp must be able to load the folder, but TinyNet is not one of its networks"
    assert not (tmp_path / "hub").exists()
