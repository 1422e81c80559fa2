import re

import pytest
import segmentation_models_pytorch as smp
import torch

from segtrain.checkpoint import save_checkpoint
from segtrain.config.schema import Config
from segtrain.errors import CheckpointError, ConfigError
from segtrain.models.model import build_model
from segtrain.training.build import place_model

CPU = torch.device("cpu")
ENCODER = {"name": "FPN", "encoder_name": "mobilenet_v2"}
HEAD = "segmentation_head.0"


def config_of(classes, *, channels=3, **model) -> Config:
    data = {"root": ".", "channels": channels, "classes": [{"name": name} for name in classes]}
    return Config.model_validate({"data": data, "model": ENCODER | {"decoder_pyramid_channels": 16} | model})


@pytest.fixture
def trained(tmp_path):
    """A run of sky, road and car, and its network."""
    config = config_of(["sky", "road", "car"], mean=[0.1, 0.2, 0.3])
    torch.manual_seed(1)
    model = build_model(config.model, channels=3, outputs=3)
    (tmp_path / "run").mkdir()
    content = {"kind": "best", "config": config.model_dump(mode="json"), "model": model.state_dict()}
    save_checkpoint(tmp_path / "run" / "best.pt", content)
    return tmp_path / "run", model.net.state_dict()


def start(config: Config) -> tuple[dict, str, torch.Tensor]:
    torch.manual_seed(2)
    model = place_model(config, CPU)
    return model.net.state_dict(), model.origin, model.mean.flatten() / 255


def test_the_same_classes_start_with_all_of_it(trained):
    run, weights = trained
    for source in (run, run / "best.pt"):
        state, said, mean = start(config_of(["sky", "road", "car"], weights=str(source)))
        assert state.keys() == weights.keys() and all(torch.equal(state[key], weights[key]) for key in state)
        assert said == f"FPN mobilenet_v2 of {source}"
        torch.testing.assert_close(mean, torch.tensor([0.1, 0.2, 0.3]))


def test_classes_keep_the_outputs_of_their_names(trained):
    run, weights = trained
    state, said, _ = start(config_of(["tree", "car", "pole", "sky"], weights=str(run)))
    for part in ("weight", "bias"):
        mine, theirs = state[f"{HEAD}.{part}"], weights[f"{HEAD}.{part}"]
        assert torch.equal(mine[1], theirs[2]) and torch.equal(mine[3], theirs[0])
    torch.manual_seed(2)
    untrained = build_model(
        config_of(
            ["a"] * 1,
        ).model,
        channels=3,
        outputs=4,
    ).net.state_dict()
    assert torch.equal(state[f"{HEAD}.weight"][[0, 2]], untrained[f"{HEAD}.weight"][[0, 2]])
    assert all(torch.equal(state[key], weights[key]) for key in state if HEAD not in key)
    assert said.endswith("; outputs initialized from scratch: tree, pole")


def test_one_class_has_one_output(trained):
    run, weights = trained
    state, said, _ = start(config_of(["road"], weights=str(run)))
    assert torch.equal(state[f"{HEAD}.weight"][0], weights[f"{HEAD}.weight"][1]) and "anew" not in said


def test_other_channels_and_written_normalization(trained):
    run, weights = trained
    config = config_of(["sky", "road", "car"], channels=4, weights=str(run), mean=[0.5] * 4)
    state, said, mean = start(config)
    first = next(iter(weights))
    torch.testing.assert_close(state[first], weights[first][:, [0, 1, 2, 0]] * 3 / 4)
    assert f"; {first} adapted to 4 channels" in said and mean.tolist() == [0.5] * 4


def test_a_folder_of_smp(tmp_path):
    torch.manual_seed(3)
    network = smp.FPN("mobilenet_v2", encoder_weights=None, decoder_pyramid_channels=16, classes=2)
    network.save_pretrained(tmp_path / "smp")
    state, said, _ = start(config_of(["sky", "road"], weights=str(tmp_path / "smp")))
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items() if HEAD not in key)
    assert said == f"FPN mobilenet_v2 of {tmp_path}/smp; outputs initialized from scratch: sky, road"


def test_dilations_are_those_that_the_weights_were_trained_with(tmp_path):
    """smp's own, in a folder that smp wrote; corrected ones in a run of segtrain."""
    settings = {"encoder_name": "resnet18", "decoder_channels": 8}
    smp.DeepLabV3(**settings, encoder_weights=None, classes=2).save_pretrained(tmp_path / "smp")
    data = {"root": ".", "classes": [{"name": "sky"}, {"name": "road"}]}
    config = Config.model_validate({"data": data, "model": {"name": "DeepLabV3", **settings}})
    ours = build_model(config.model, channels=3, outputs=2)
    save_checkpoint(tmp_path / "run.pt", {"config": config.model_dump(mode="json"), "model": ours.state_dict()})
    first = {}
    for source in ("smp", "run.pt"):
        config.model.weights = str(tmp_path / source)
        first[source] = place_model(config, CPU).net.encoder.layer4[0].conv1.dilation
    assert first == {"smp": (4, 4), "run.pt": (2, 2)}


WRONG = {
    "another network": ({"name": "Unet"}, "is another network, FPN mobilenet_v2, not Unet mobilenet_v2: "),
    "another encoder": ({"encoder_name": "resnet18"}, "is another network, FPN mobilenet_v2, not FPN resnet18: "),
    "another width": ({"decoder_pyramid_channels": 32}, "is built differently: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_networks_that_do_not_fit(trained, case):
    run, _ = trained
    changes, text = WRONG[case]
    config = config_of(["sky"], weights=str(run))
    model = {"name": "FPN", "encoder_name": "mobilenet_v2", "weights": str(run)} | changes
    config = Config.model_validate(config.model_dump() | {"model": model})
    with pytest.raises(ConfigError, match=f"^model.weights: {re.escape(f'{run} {text}')}.* differs; ") as error:
        start(config)
    assert str(error.value).endswith(f"or use only its encoder: model.encoder_weights: {run}/best.pt")


def test_what_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError) as error:
        start(config_of(["sky"], weights="runs/x-1"))
    assert str(error.value) == "model.weights: runs/x-1 does not exist here, and the Hugging Face hub cannot be reached"
    with pytest.raises(ConfigError, match=r"^model.weights: \./runs/x-1 does not exist$"):
        start(config_of(["sky"], weights="./runs/x-1"))


def test_an_exported_file_is_not_loaded(tmp_path):
    path = tmp_path / "model.pt2"
    path.write_bytes(b"a program")
    with pytest.raises(CheckpointError) as error:
        start(config_of(["sky"], weights=str(path)))
    assert str(error.value) == f"{path}: is an exported file; give the run or checkpoint that it was exported from"
