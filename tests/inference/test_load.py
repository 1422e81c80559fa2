import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from segtrain.checkpoint import save_checkpoint
from segtrain.config.schema import Config
from segtrain.errors import CheckpointError
from segtrain.inference.network import TorchNetwork
from segtrain.inference.predictor import Predictor
from segtrain.models.model import build_model

CPU = torch.device("cpu")
MODEL = {"name": "Unet", "encoder_name": "tu-mobilenetv3_small_050", "decoder_channels": [16, 16, 8, 8, 8]}
IMAGE = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)


def config_of(*, classes: int = 3, val: list | None = None, precision: str = "fp32") -> Config:
    data = {"root": "data", "classes": [f"class {index}" for index in range(classes)]}
    settings = {"data": data, "model": MODEL, "transforms": {"val": val or []}, "train": {"precision": precision}}
    return Config.model_validate(settings)


def predictor_of(config: Config, seed: int = 0) -> Predictor:
    torch.manual_seed(seed)
    model = build_model(config.model, channels=3, outputs=len(config.data.classes))
    return Predictor([TorchNetwork(model, config, device=CPU, dtype=torch.float32)])


def logits_by_hand(predictor: Predictor, image: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        return predictor.networks[0].model(torch.tensor(image.transpose(2, 0, 1)[None]))


def save(predictor: Predictor, path, **changes) -> dict:
    config = predictor.networks[0].config.model_dump(mode="json")
    content = {"config": config, "model": predictor.networks[0].model.state_dict()} | changes
    save_checkpoint(path, content)
    return content


def refused(path) -> str:
    with pytest.raises(CheckpointError) as error:
        Predictor.load(path, device="cpu")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_prediction_is_the_class_of_the_largest_logit():
    predictor = predictor_of(config_of())
    prediction = predictor.predict(IMAGE)
    assert prediction.shape == (50, 70) and prediction.dtype == np.int64
    expected = logits_by_hand(predictor, IMAGE)[0].argmax(0)
    assert np.array_equal(prediction, expected) and len(np.unique(prediction)) > 1
    assert not predictor.networks[0].model.training


def test_one_class_is_there_from_a_logit_of_zero_on():
    predictor = predictor_of(config_of(classes=1))
    bias = predictor.networks[0].model.net.segmentation_head[0].bias
    with torch.no_grad():
        bias -= logits_by_hand(predictor, IMAGE).median()
    expected = (logits_by_hand(predictor, IMAGE)[0, 0] >= 0).long()
    assert np.array_equal(predictor.predict(IMAGE), expected)
    assert 0.4 < expected.float().mean() < 0.6


def test_a_resized_image_is_predicted_at_its_own_size():
    predictor = predictor_of(config_of(val=[{"Resize": {"height": 32, "width": 64}}]))
    logits = logits_by_hand(predictor, cv2.resize(IMAGE, (64, 32), interpolation=cv2.INTER_LINEAR))
    whole = functional.interpolate(logits.softmax(1), size=(50, 70), mode="bilinear", align_corners=False)
    assert np.array_equal(predictor.predict(IMAGE), whole[0].argmax(0))


def test_bf16_is_close_to_fp32():
    predictor = predictor_of(config_of())
    images = torch.from_numpy(IMAGE).permute(2, 0, 1)[None]
    exact = predictor.networks[0].logits(images)
    predictor.networks[0].dtype = torch.bfloat16
    rough = predictor.networks[0].logits(images)
    assert rough.dtype == torch.float32 and not torch.equal(rough, exact)
    assert (rough - exact).abs().max() < 0.1 * exact.abs().max()


@pytest.mark.parametrize("given", ["run", "file"])
def test_what_is_loaded_predicts_as_what_was_saved(tmp_path, given):
    predictor = predictor_of(config_of(val=[{"Resize": {"height": 32, "width": 64}}]))
    save(predictor, tmp_path / "best.pt")
    torch.manual_seed(77)
    loaded = Predictor.load(tmp_path if given == "run" else tmp_path / "best.pt", device="cpu")
    assert loaded.networks[0].config == predictor.networks[0].config and loaded.networks[0].dtype == torch.float32
    assert np.array_equal(loaded.predict(IMAGE), predictor.predict(IMAGE))
    assert Predictor.load(tmp_path, device="cpu", precision="bf16").networks[0].dtype == torch.bfloat16


def test_the_moving_average_is_what_a_state_predicts_with(tmp_path):
    raw, average = predictor_of(config_of(), seed=1), predictor_of(config_of(), seed=2)
    save(raw, tmp_path / "last.pt", ema=average.networks[0].model.state_dict())
    assert not np.array_equal(raw.predict(IMAGE), average.predict(IMAGE))
    assert np.array_equal(Predictor.load(tmp_path / "last.pt").predict(IMAGE), average.predict(IMAGE))


def test_encoder_weights_are_not_fetched_for_what_is_loaded(tmp_path):
    predictor = predictor_of(config_of())
    config = predictor.networks[0].config.model_dump(mode="json")
    config["model"]["encoder_weights"] = "there/is/no/such.pth"
    save(predictor, tmp_path / "best.pt", config=config)
    assert np.array_equal(Predictor.load(tmp_path, device="cpu").predict(IMAGE), predictor.predict(IMAGE))


@pytest.mark.parametrize(
    ("section", "value", "reason"),
    [
        (
            "model",
            {"name": "os.system"},
            "uses the network os.system, and importing it can run any code; add --trust if you trust its source",
        ),
        ("model", {"name": "NoNet"}, "uses the model 'NoNet', which neither segtrain nor smp has"),
        (
            "model",
            {"encoder_name": "tu-hf-hub:me/code"},
            "model.encoder_name: timm has no model 'hf-hub:me/code'; none of the 1371 known names is similar",
        ),
        ("transforms", {"val": ["os.mkdir"]}, "transforms.val contains os.mkdir, which albumentations does not have"),
        (
            "transforms",
            {"val": [{"OneOf": ["Blur", {"my.module.Evil": {"p": 1}}]}]},
            "transforms.val.0: OneOf is not a pixel-level transform",
        ),
    ],
)
def test_a_checkpoint_cannot_name_foreign_code(tmp_path, section, value, reason):
    predictor = predictor_of(config_of())
    config = predictor.networks[0].config.model_dump(mode="json")
    config[section] |= value
    path = tmp_path / "best.pt"
    save(predictor, path, config=config)
    assert refused(tmp_path) == f"{path}: {reason}"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("model.torchscript", "TorchScript"),
        ("model.pt2", "torch.export"),
        ("savedmodel/saved_model.pb", "TensorFlow SavedModel"),
    ],
)
def test_programs_are_loaded_only_where_they_are_trusted(tmp_path, name, what):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    path = path if path.parent == tmp_path else path.parent
    assert refused(path) == (
        f"{path}: is a program ({what}), and loading it can run any code; add --trust if you trust its source"
    )
    with pytest.raises(CheckpointError, match=r": is not a |: was not exported by segtrain: "):
        Predictor.load(path, device="cpu", trust=True)


@pytest.mark.parametrize("name", ["model.onnx", "model.torchscript"])
def test_an_exported_file_that_is_not_there(tmp_path, name):
    assert refused(tmp_path / name) == f"{tmp_path / name}: does not exist"


def test_a_checkpoint_that_does_not_fit_itself(tmp_path):
    predictor = predictor_of(config_of())
    path = tmp_path / "best.pt"
    save(predictor, path, config={"model": 3})
    assert refused(path).startswith(f"{path}: its configuration cannot be read: ")
    config = config_of(classes=5).model_dump(mode="json")
    save(predictor, path, config=config)
    assert refused(path).startswith(f"{path}: its weights do not match its configuration: size mismatch for net.")
    save(predictor, path, model={"net.weight": torch.zeros(2)})
    assert refused(path).startswith(f"{path}: its weights do not match its configuration: ")
    save(predictor, path, model=[1, 2])
    assert refused(path).startswith(f"{path}: its weights do not match its configuration: ")
    save_checkpoint(path, {"config": predictor.networks[0].config.model_dump(mode="json")})
    assert refused(path).startswith(f"{path}: its weights do not match its configuration: ")
