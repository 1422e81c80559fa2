import json
import subprocess
import sys

import pytest
import torch

from segtrain.config import libraries as resolve
from segtrain.config.libraries import (
    accepted,
    check_encoder,
    find,
    fit_arguments,
    installed_versions,
    library_index,
    read_libraries,
)
from segtrain.errors import ConfigError
from tests.conftest import PROJECT, run

TRANSFORMS = "albumentations.BasicTransform or albumentations.BaseCompose or torchvision.transforms.v2.Transform"


def test_the_index_is_what_the_libraries_say():
    stored = json.loads(resolve.INDEX_FILE.read_text())
    stored.pop("timm_features")  # test_encoder_probe.py has it
    libraries = read_libraries()
    if stored["versions"] == installed_versions():
        assert stored == libraries
    else:  # other versions are installed: then the libraries themselves are asked
        assert {key: value for key, value in library_index().items() if key != "timm_features"} == libraries


def test_other_versions_ask_the_libraries(tmp_path, monkeypatch):
    index = json.loads(resolve.INDEX_FILE.read_text())
    index["encoders"] = {}
    monkeypatch.setattr(resolve, "INDEX_FILE", tmp_path / "index.json")
    try:
        for package in ("torch", "timm"):
            index["versions"] = installed_versions() | {package: "0.0.1"}
            (tmp_path / "index.json").write_text(json.dumps(index))
            library_index.cache_clear()
            assert "resnet18" in library_index()["encoders"]
            # What timm's models give was probed with one timm, whatever the torch.
            assert (resolve.encoder_groups() is None) == (package == "timm")
        monkeypatch.setattr(resolve, "INDEX_FILE", tmp_path / "none.json")
        library_index.cache_clear()
        assert library_index()["versions"] == installed_versions()
    finally:
        library_index.cache_clear()


@pytest.mark.parametrize(
    ("kind", "name", "module"),
    [
        ("loss", "DiceLoss", "segtrain"),
        ("loss", "SoftBCEWithLogitsLoss", "segmentation_models_pytorch.losses"),
        ("loss", "MSELoss", "torch.nn"),
        ("optimizer", "AdamW", "torch.optim"),
        ("optimizer", "Lamb", "timm.optim"),
        ("schedule", "StepLR", "torch.optim.lr_scheduler"),
        ("transform", "HorizontalFlip", "albumentations"),
        ("transform", "RandomCrop", "albumentations"),
        ("transform", "ScaleJitter", "torchvision.transforms.v2"),
        ("transform", "torchvision.transforms.v2.RandomCrop", "torchvision.transforms.v2"),
        ("model", "Unet", "segmentation_models_pytorch"),
        ("model", "GCN", "segtrain.models.networks.gcn"),
    ],
)
def test_the_first_library_that_has_a_name_gives_it(kind, name, module):
    assert find(kind, name).__module__.startswith(module)
    assert accepted(kind, name) == resolve.signature_arguments(find(kind, name))


def test_a_dotted_path_is_imported():
    assert find("loss", "torch.nn.Conv2d") is torch.nn.Conv2d
    assert accepted("loss", "torch.nn.Conv2d") == resolve.signature_arguments(torch.nn.Conv2d)


@pytest.mark.parametrize(
    ("kind", "name", "bases"),
    [
        ("transform", "os.system", TRANSFORMS),
        ("transform", "os.path.basename", TRANSFORMS),
        ("loss", "builtins.dict", "torch.nn.Module"),
        ("loss", "torch.nn.functional.mse_loss", "torch.nn.Module"),
        ("optimizer", "subprocess.Popen", "torch.optim.Optimizer"),
        ("schedule", "timm.scheduler.CosineLRScheduler", "torch.optim.lr_scheduler.LRScheduler"),
    ],
)
def test_a_dotted_path_names_a_class_of_the_right_base(kind, name, bases):
    with pytest.raises(ConfigError) as error:
        find(kind, name)
    assert str(error.value) == f"'{name}' is not a subclass of {bases}"


def test_a_module_that_is_broken_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "broken_for_resolve.py").write_text("class Loss(:\n")
    with pytest.raises(ConfigError) as error:
        find("loss", "broken_for_resolve.Loss")
    expected = "'broken_for_resolve.Loss' cannot be imported: invalid syntax (broken_for_resolve.py, line 1)"
    assert str(error.value) == expected


def test_what_no_library_has():
    assert accepted("loss", "NoLoss") is None
    with pytest.raises(ConfigError) as error:
        find("loss", "NoLoss")
    assert str(error.value) == "'NoLoss' is not in segtrain.losses, segmentation_models_pytorch.losses, torch.nn"


@pytest.mark.parametrize("name", ["resnet18", "mit_b0", "tu-resnet18", "tu-convnext_tiny.fb_in22k"])
def test_encoders_that_are_there(name):
    assert list(check_encoder(name, path=())) == []


def test_an_encoder_must_be_a_word():
    (mistake,) = check_encoder(18, path=("model", "encoder_name"))
    assert mistake.message == "expected the name of an encoder, not 18"


def test_validating_imports_no_torch(tmp_path):
    (tmp_path / "index.json").write_text(json.dumps(library_index()))  # of the versions that are installed
    code = (
        "import pathlib, sys; from segtrain.config import libraries; libraries.INDEX_FILE = pathlib.Path(sys.argv[1]);"
        "from segtrain.config.rules import load_config; load_config(['optimizer.name=SGD']);"
        "slow = {'torch', 'timm', 'albumentations', 'segmentation_models_pytorch', 'numpy', 'pandas', 'cv2'};"
        "print(sorted(slow & set(sys.modules)))"
    )
    line = [sys.executable, "-c", code, str(tmp_path / "index.json")]
    done = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_mistake_ends_train_with_one_line_and_status_2():
    done = run("train.py", "optimizer.name=AdamX")
    assert done.returncode == 2 and done.stdout == ""
    expected = "command line: optimizer.name=AdamX: optimizer.name: unknown optimizer 'AdamX'; did you mean 'Adamax'?\n"
    assert done.stderr == expected


def test_arguments_of_the_types_that_a_class_says():
    class Net:
        def __init__(
            self, width: int, blocks: tuple[int, int], rates: tuple[int, ...] = (), dropout: float | None = None
        ):
            pass

    given = {"width": 8, "blocks": [3, 21], "rates": [1, 2], "dropout": 1}
    assert fit_arguments(Net, given, path="model") == {"width": 8, "blocks": (3, 21), "rates": (1, 2), "dropout": 1.0}
    for change, expected in (
        ({"width": "wide"}, "model.width: expected an integer, not 'wide'"),
        ({"width": 1.5}, "model.width: expected an integer, not 1.5"),
        ({"blocks": [1, 2, 3]}, "model.blocks: expected a list of 2 integers, not [1, 2, 3]"),
        ({"rates": 4}, "model.rates: expected a list of integers, not 4"),
        ({"dropout": "much"}, "model.dropout: expected a number or null, not 'much'"),
    ):
        with pytest.raises(ConfigError) as error:
            fit_arguments(Net, given | change, path="model")
        assert str(error.value) == expected
