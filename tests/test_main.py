import json
import re

import pytest

from segtrain.__main__ import COMMANDS, main
from segtrain.config import libraries as resolve
from segtrain.config.libraries import library_index
from tests.conftest import run


def call(capsys, *arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `python -m segtrain ARGUMENTS`."""
    status = main(arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture
def probed(tmp_path, monkeypatch) -> None:
    """The index of the repository, taken for one of the versions that are installed: the probe of timm's models takes
    minutes, and what is said of them is the same with every timm."""
    index = json.loads(resolve.INDEX_FILE.read_text(encoding="utf-8")) | {"versions": resolve.installed_versions()}
    (tmp_path / "index.json").write_text(json.dumps(index))
    monkeypatch.setattr(resolve, "INDEX_FILE", tmp_path / "index.json")
    library_index.cache_clear()
    yield
    library_index.cache_clear()


def test_models_with_a_word(capsys):
    status, out, _ = call(capsys, "models", "unet")
    assert status == 0
    lines = out.splitlines()
    title = "pyramid decoders, with any encoder that has a feature pyramid"
    unet = "Unet            14.3 M   22.3 G  Ronneberger 2015    the first choice: fine borders, little data"
    assert lines[0].startswith(f"{title}: ") and f"  {unet}" in lines
    assert not any(line.startswith("encoders") for line in lines)  # none has it in its name
    _, out, _ = call(capsys, "models", "MobileNetV3_small")
    listed = [line for line in out.splitlines() if line.startswith("  ")]
    assert "  tu-mobilenetv3_small_050" in listed and all("mobilenetv3_small" in line for line in listed)
    assert f"encoders of timm: {len(listed)}" in out


def test_models_lists_what_can_be_written(capsys, probed):
    _, out, _ = call(capsys, "models")
    listed = {line.split()[0] for line in out.splitlines() if line.startswith("  ")}
    index = library_index()
    assert index["names"]["model"].keys() | index["encoders"].keys() <= listed
    assert {"tu-resnet18", "tu-convnext_tiny", "tu-vit_tiny_patch16_224"} <= listed
    assert "  resnet18 (imagenet, ssl, swsl)" in out.splitlines()
    assert "tu-beit_base_patch16_224" not in listed
    plain = out.partition("plain transformers of timm: ")[2]
    assert "  tu-vit_tiny_patch16_224\n" in plain and "convnext" not in plain


def test_models_measures_a_pair(capsys):
    status, out, _ = call(capsys, "models", "Unet", "resnet18", "--size", "100", "224")
    assert status == 0
    # resnet18 has 11.69 M parameters, 0.51 M of them in the classifier that is not there
    assert out.splitlines()[0] == "encoder         11.18 M parameters"
    assert re.fullmatch(r"full model      14\.\d\d M parameters", out.splitlines()[1])
    assert re.fullmatch(r"multiply-adds +\d\.\d\d G for one image of 100 x 224", out.splitlines()[2])
    assert out.splitlines()[3] == "image sides are padded to multiples of 32"
    arguments = "decoder_attention_type, decoder_channels, decoder_interpolation, decoder_use_norm, encoder_depth"
    assert out.splitlines()[4] == f"arguments     {arguments}"
    assert out.splitlines()[5] == "paper         Ronneberger 2015, https://arxiv.org/abs/1505.04597"
    weights = [f"smp-hub/resnet18.{name}" for name in ("imagenet", "ssl", "swsl")]
    assert out.splitlines()[6:] == [f"pretrained    {name}" for name in weights]


def test_models_tells_the_licenses_of_weights(capsys):
    status, out, _ = call(capsys, "models", "FPN", "tu-resnet18.fb_ssl_yfcc100m_ft_in1k", "--size", "32", "32")
    first, *others = [line for line in out.splitlines() if line.startswith("pretrained")]
    assert status == 0
    assert first == "pretrained    timm/resnet18.fb_ssl_yfcc100m_ft_in1k, license cc-by-nc-4.0"
    assert "pretrained    timm/resnet18.tv_in1k, license bsd-3-clause" in others


@pytest.mark.parametrize(
    ("architecture", "encoder", "expected"),
    [
        ("Unett", "resnet18", ["models: unknown model 'Unett'; did you mean 'Unet'?"]),
        ("Unet", "resnet81", ["models: smp has no encoder 'resnet81'; did you mean 'resnet18'?"]),
        ("Unet", "convnext_tiny", ["models: smp has no encoder 'convnext_tiny'; timm has it: write tu-convnext_tiny"]),
        ("Unet", "tu-resnet81", ["models: timm has no model 'resnet81'; did you mean 'tu-resnet18'?"]),
        (
            "Unet",
            "tu-vit_tiny_patch16_224",
            [
                "models: timm's vit_tiny_patch16_224 is a plain transformer with a single resolution: model.name: "
                "DPT, LinearHead and EoMT accept it, Unet does not"
            ],
        ),
        (
            "Unet",
            "tu-beit_base_patch16_224",
            [
                "models: timm's beit_base_patch16_224 provides no features that a decoder can use for images of any "
                "size; python -m segtrain models tu- lists those that do"
            ],
        ),
    ],
)
def test_a_misspelt_name(capsys, probed, architecture, encoder, expected):
    status, out, err = call(capsys, "models", architecture, encoder)
    assert (status, out, err.splitlines()) == (2, "", expected)


def test_schema(capsys):
    status, out, _ = call(capsys, "schema")
    schema = json.loads(out)
    assert status == 0 and {"data", "model", "loss", "train"} <= schema["properties"].keys()


def test_demo(tmp_path):
    root = tmp_path / "street"
    done = run("-m segtrain", "demo", root)
    assert (done.returncode, done.stdout) == (0, f"{root}: the demo dataset is ready\n")
    assert len(list(root.glob("train/images/*"))) == 160 and len(list(root.glob("val/masks/*"))) == 40


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "runs/a", "-o", ""],
        ["export", "runs/a", "--to", "onnx", "-o", ""],
        ["init", "images", "masks", "-o", ""],
        ["check", "a.yml", "-o", ""],
        ["demo", ""],
        ["download", "voc", ""],
    ],
)
def test_nothing_is_no_place_to_write_to(capsys, arguments):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert capsys.readouterr().err.endswith(": is empty; give a file or folder to write to\n")


def test_no_command_says_which_there_are():
    done = run("-m segtrain")
    assert done.returncode == 2 and "COMMAND" in done.stderr


def test_help_lists_every_command_and_a_typo_is_told(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert set(COMMANDS) <= {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")}
    with pytest.raises(SystemExit) as stop:
        main(["trian"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.endswith("python -m segtrain: error: no command 'trian'; did you mean 'train'?\n")
