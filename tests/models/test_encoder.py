import hashlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import load_file, save, save_file

from segtrain.config.schema import ModelConfig
from segtrain.errors import ConfigError
from segtrain.models.encoder import load_encoder_file
from segtrain.models.model import build_model
from tests.conftest import run

SMP, TIMM = "mobilenet_v2", "mobilenetv3_small_050"
FIRST = "features.0.0.weight"


def encoder_of(name: str, channels: int = 3):
    return smp.encoders.get_encoder(name, in_channels=channels, weights=None)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """A state dict of smp's encoder."""
    torch.manual_seed(1)
    return encoder_of(SMP).state_dict()


@pytest.fixture(scope="module")
def classifier() -> dict[str, torch.Tensor]:
    """A state dict of a whole timm model, with its classification head."""
    torch.manual_seed(2)
    return timm.create_model(TIMM).state_dict()


def equal(state: dict, other: dict) -> bool:
    return state.keys() == other.keys() and all(torch.equal(tensor, other[key]) for key, tensor in state.items())


PREFIXES = ("", "encoder.", "net.encoder.", "module.", "backbone.", "model.", "module.encoder.")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_of_a_state_dict(tmp_path, weights, prefix):
    path = str(tmp_path / "encoder.safetensors")
    save_file({prefix + key: tensor for key, tensor in weights.items()} | {"classifier.1.bias": torch.ones(5)}, path)
    encoder = encoder_of(SMP)
    load_encoder_file(encoder, path, channels=3)
    assert equal(encoder.state_dict(), weights)


@pytest.mark.parametrize("key", [None, "state_dict", "model", "model_state_dict"])
def test_a_pth_file_with_the_state_dict_in_it(tmp_path, weights, key):
    path = str(tmp_path / "encoder.pth")
    torch.save(weights if key is None else {key: weights, "epoch": 3}, path)
    encoder = encoder_of(SMP)
    load_encoder_file(encoder, path, channels=3)
    assert equal(encoder.state_dict(), weights)


def test_timm_names_and_a_head_that_is_dropped(tmp_path, classifier):
    path = str(tmp_path / "model.safetensors")
    save_file(classifier, path)
    model = build_model(ModelConfig(encoder_name=f"tu-{TIMM}", encoder_weights=path), channels=3, outputs=2)
    for key, tensor in model.net.encoder.state_dict().items():
        assert torch.equal(tensor, classifier[key.removeprefix("model.")])
    assert "classifier.weight" in classifier


def test_a_first_convolution_for_another_number_of_channels(tmp_path, weights):
    path = str(tmp_path / "encoder.pth")
    torch.save(weights, path)
    rgb = weights[FIRST]
    for channels in (1, 5):
        encoder = encoder_of(SMP, channels)
        load_encoder_file(encoder, path, channels=channels)
        # Grey: the sum of red, green and blue. Five: they are repeated, and weigh 3/5 as much.
        expected = rgb.sum(1, keepdim=True) if channels == 1 else rgb[:, [0, 1, 2, 0, 1]] * 3 / 5
        torch.testing.assert_close(encoder.state_dict()[FIRST], expected)


def refused(path: Path | str, encoder_name: str = SMP) -> str:
    with pytest.raises(ConfigError) as error:
        load_encoder_file(encoder_of(encoder_name), str(path), channels=3)
    return str(error.value)


def test_the_weights_of_another_encoder(tmp_path, weights, classifier):
    path = tmp_path / "encoder.pth"
    torch.save(classifier, path)
    assert refused(path).startswith(
        f"model.encoder_weights: {path} does not fit this encoder: 260 of its 312 tensors are missing, "
        f"like {FIRST}; the file holds conv_stem.weight, "
    )
    torch.save(weights | {FIRST: torch.zeros(8, 3, 3, 3)}, path)
    assert refused(path) == (
        f"model.encoder_weights: {path} does not fit this encoder: "
        f"{FIRST} is (8, 3, 3, 3) in the file, (32, 3, 3, 3) in the encoder"
    )


class Touch:
    """Pickled, it makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_files_that_hold_no_weights(tmp_path):
    path = tmp_path / "encoder.pth"
    assert refused(path) == (
        f"model.encoder_weights: {path} is not a file; write a path that exists, a name like imagenet, or null"
    )
    for content in ([1, 2], {"a": 1}, {}):
        torch.save(content, path)
        assert refused(path) == f"model.encoder_weights: {path} is not a state dict of tensors"
    torch.save({"encoder": Touch(tmp_path / "proof")}, path)
    assert refused(path) == f"model.encoder_weights: {path} holds more than tensors, and is not loaded"
    assert not (tmp_path / "proof").exists()
    path.write_text("<html>not found</html>")
    assert refused(path) == f"model.encoder_weights: {path} holds more than tensors, and is not loaded"
    path.write_bytes(b"")
    assert refused(path) == f"model.encoder_weights: {path} cannot be read: it ends too early"
    path = tmp_path / "encoder.safetensors"
    path.write_bytes(save({"a": torch.zeros(9)})[:-1])
    assert refused(path).startswith(f"model.encoder_weights: {path} cannot be read: ")


# The hub, in processes of their own: its client reads its settings when it is imported.

BUILD = """
import sys, time
from pathlib import Path
from safetensors.torch import save_file
from segtrain.errors import ConfigError
from segtrain.config.schema import ModelConfig
from segtrain.models.model import build_model

for encoder in sys.argv[2:]:
    started = time.monotonic()
    try:
        config = ModelConfig(name="FPN", encoder_name=encoder, encoder_weights="imagenet")
        model = build_model(config, channels=3, outputs=2)
    except ConfigError as error:
        print(f"{time.monotonic() - started:.1f} {error}")
        continue
    save_file(model.net.encoder.state_dict() | {"mean": model.mean}, Path(sys.argv[1]) / f"{encoder}.safetensors")
    print("built")
"""


def build_from_hub(folder: Path, *encoders: str, **environment: str) -> list[str]:
    """Build a model with each encoder and its weights from the hub; a line each."""
    script = folder / "build.py"
    script.write_text(BUILD)
    settings = {"HF_HOME": str(folder / "home"), "no_proxy": "*", "HF_HUB_DISABLE_TELEMETRY": "1"} | environment
    done = run(str(script), folder, *encoders, **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def hub_files(weights: dict, classifier: dict) -> dict[str, bytes]:
    """What the hub holds: name of the file at the hub -> content."""
    source = smp.encoders.encoders[SMP]["pretrained_settings"]["imagenet"]
    folder = f"{source['repo_id']}/resolve/{source['revision']}"
    settings = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "input_space": "RGB", "input_range": [0, 1]}
    timm_repository = timm.get_pretrained_cfg(TIMM).hf_hub_id
    assert timm_repository == "timm/mobilenetv3_small_050.lamb_in1k"
    return {
        f"/{folder}/config.json": json.dumps(settings).encode(),
        f"/{folder}/model.safetensors": save(weights),
        f"/{timm_repository}/resolve/main/model.safetensors": save(classifier),
    }


@pytest.fixture
def hub(weights, classifier):
    """The address of a hub on this machine, with the encoder of smp and that of timm."""
    files = hub_files(weights, classifier)

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            revision = self.path.split("/")[-2]
            self.send_header("X-Repo-Commit", "0" * 40 if revision == "main" else revision)
            self.send_header("ETag", f'"{hashlib.sha256(content or b"").hexdigest()}"')
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(files.get(self.path, b""))

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_weights_by_name_come_from_the_hub(tmp_path, hub, weights, classifier):
    assert build_from_hub(tmp_path, SMP, f"tu-{TIMM}", HF_ENDPOINT=hub) == ["built", "built"]
    built = load_file(tmp_path / f"{SMP}.safetensors")
    torch.testing.assert_close(built.pop("mean").flatten(), torch.tensor([0.1, 0.2, 0.3]) * 255)
    assert equal(built, weights)
    built = load_file(tmp_path / f"tu-{TIMM}.safetensors")
    torch.testing.assert_close(built.pop("mean").flatten(), torch.tensor([0.485, 0.456, 0.406]) * 255)
    assert all(torch.equal(tensor, classifier[key.removeprefix("model.")]) for key, tensor in built.items())


def test_weights_in_the_cache_need_no_hub(tmp_path, weights, classifier):
    for name, content in hub_files(weights, classifier).items():
        _, owner, repository, _, revision, file = name.split("/")
        cache = tmp_path / "home" / "hub" / f"models--{owner}--{repository}"
        commit = "0" * 40 if revision == "main" else revision
        path = cache / "snapshots" / commit / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        (cache / "refs").mkdir(exist_ok=True)
        (cache / "refs" / "main").write_text(commit)
    assert build_from_hub(tmp_path, SMP, f"tu-{TIMM}", HF_HUB_OFFLINE="1") == ["built", "built"]
    assert load_file(tmp_path / f"{SMP}.safetensors")[FIRST].equal(weights[FIRST])


@pytest.mark.parametrize("kind", ["refuses", "never answers"])
def test_a_hub_that_cannot_be_reached_is_told_in_seconds(tmp_path, kind):
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts connections; nobody ever answers them
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        if kind == "refuses":
            server.close()
        lines = build_from_hub(tmp_path, SMP, f"tu-{TIMM}", HF_ENDPOINT=address)
    for line, encoder in zip(lines, (SMP, f"tu-{TIMM}"), strict=True):
        seconds, _, text = line.partition(" ")
        assert float(seconds) < 15
        assert text.startswith(f"model: FPN with encoder {encoder}: the weights 'imagenet' cannot be fetched: ")
        assert text.endswith("; write model.encoder_weights: null, or the path to a local file")
