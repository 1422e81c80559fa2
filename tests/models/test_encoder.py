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
from safetensors.torch import load_file, save

from tests.conftest import run
from tests.models.encoders import FIRST, SMP, TIMM, equal

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
    print("built", model.origin)
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
    said = ["built smp-hub/mobilenet_v2.imagenet", "built timm/mobilenetv3_small_050.lamb_in1k, license apache-2.0"]
    assert build_from_hub(tmp_path, SMP, f"tu-{TIMM}", HF_ENDPOINT=hub) == said
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
    assert len(build_from_hub(tmp_path, SMP, f"tu-{TIMM}", HF_HUB_OFFLINE="1")) == 2
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
        assert text.startswith(f"model: FPN with encoder {encoder}: the weights 'imagenet' cannot be downloaded: ")
        assert text.endswith("; write model.encoder_weights: null or the path of a local file")
