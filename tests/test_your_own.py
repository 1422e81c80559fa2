"""The loss and the network of docs/how-to/your-own.md, copied from there into the folder of a user, and used."""

import re
from types import SimpleNamespace

import pandas
import pytest

from segtrain.checkpoint import load_checkpoint
from tests.conftest import PROJECT, SMALL, draw_folders, run

NAMED = ["model.name=my_models.SmallNet", "model.width=24", "loss.my_losses.EdgeLoss={coef: 0.5, radius: 1}"]


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> SimpleNamespace:
    root = tmp_path_factory.mktemp("own")
    text = (PROJECT / "docs/how-to/your-own.md").read_text(encoding="utf-8")
    for name, block in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, flags=re.DOTALL):
        (root / name).write_text(block, encoding="utf-8")
    (root / "config.yml").write_bytes((PROJECT / "config.yml").read_bytes())
    draw_folders(root / "street", train=8, val=4)
    layers = [line for line in SMALL if not line.startswith("model.")]
    done = run("train.py", *layers, *NAMED, "model.aux=0.4", "data.root=street", "train.epochs=1", cwd=root)
    return SimpleNamespace(root=root, done=done, run="runs/street-1")


def test_they_are_trained(own):
    assert (own.done.returncode, own.done.stderr) == (0, "")
    assert "model    my_models.SmallNet, " in own.done.stdout
    columns = pandas.read_csv(own.root / own.run / "metrics.csv").columns
    assert {"train/loss/my_losses.EdgeLoss", "train/loss/aux"} <= {*columns}
    best, last = (load_checkpoint(own.root / own.run / name)["model"] for name in ("best.pt", "last.pt"))
    assert last.keys() - best.keys() == {"net.aux.weight", "net.aux.bias"}
    # An auxiliary output that nobody asked for is not there.
    done = run("train.py", "--check", *NAMED, cwd=own.root)
    assert (done.returncode, done.stderr) == (0, "") and "ok: street: my_models.SmallNet, " in done.stdout


COMMANDS = {
    "predict": ("predict.py", "street/val/images", "-o", "out"),
    "evaluate": ("-m segtrain", "-o", "scores"),
    "export": ("-m segtrain", "--to", "onnx"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_its_checkpoint_is_loaded_where_it_is_trusted(own, command):
    script, *arguments = COMMANDS[command]
    arguments = [*([] if script == "predict.py" else [command]), own.run, *arguments]
    done = run(script, *arguments, cwd=own.root)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"{own.run}/best.pt: uses the network my_models.SmallNet, and importing it can run any code; add --trust if "
        f"you trust its source\n"
    )
    done = run(script, *arguments, "--trust", cwd=own.root)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_training_starts_from_it(own):
    start = [*NAMED, f"model.weights={own.run}", "data.root=street"]
    done = run("train.py", "--check", *start, cwd=own.root)
    assert (done.returncode, done.stderr) == (0, "")
    # The experiment vouches for the network that it names, and for no other.
    (own.root / "other_models.py").write_text((own.root / "my_models.py").read_text())
    done = run("train.py", "--check", *start, "model.name=other_models.SmallNet", cwd=own.root)
    assert done.returncode == 2
    assert done.stderr == (
        f"{own.run}/best.pt: uses the network my_models.SmallNet, and importing it can run any code; write "
        "model.name: my_models.SmallNet if you trust its source\n"
    )


REFUSED = {
    "my_models.No": "model.name: 'my_models.No' cannot be imported: module 'my_models' has no attribute 'No'",
    "my_losses.torch": "model.name: 'my_losses.torch' is not a subclass of torch.nn.Module",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_a_network(own, name):
    done = run("train.py", "--check", f"model.name={name}", cwd=own.root)
    assert (done.returncode, done.stdout) == (2, "") and REFUSED[name] in done.stderr


def test_what_a_network_does_not_take(own):
    done = run("train.py", "--check", *NAMED, "model.widht=3", "model.encoder_name=resnet18", cwd=own.root)
    assert done.returncode == 2 and done.stderr.splitlines() == [
        "command line: model.widht=3: model.widht: my_models.SmallNet has no argument 'widht'; did you mean 'width'?",
        "command line: model.encoder_name=resnet18: model.encoder_name: my_models.SmallNet has no encoder to choose; "
        "remove this line",
    ]


# A decoder of one's own on any encoder, as a subclass of smp's.
DECODER = """
import segmentation_models_pytorch as smp


class OwnFPN(smp.FPN):
    def __init__(self, in_channels, classes, encoder_name="resnet18", encoder_weights=None, channels=16):
        super().__init__(
            encoder_name, encoder_weights=encoder_weights, in_channels=in_channels, classes=classes,
            decoder_pyramid_channels=channels,
        )
"""


def test_a_network_on_an_encoder(own):
    (own.root / "my_decoders.py").write_text(DECODER)
    changes = ["model.name=my_decoders.OwnFPN", "model.encoder_name=mobilenet_v2", "model.aux=0.4", "model.channels=8"]
    done = run("train.py", "--check", *changes, cwd=own.root)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok: street: my_decoders.OwnFPN mobilenet_v2, ")
