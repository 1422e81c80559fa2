import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from segtrain.commands.export import tflite
from segtrain.errors import CheckpointError, ConfigError
from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from tests.commands.export.exporting import CPU, images_of, loaded, options_of, refused, tiny_network

# Logits are the channels of a pixel, normalized by mean 0.5 and std 0.25; commands/export/tensorflow_forms.py
# writes it.
COLORS = Path(__file__).parent / "colors.tflite"
SIZE = (20, 48)
ADVICE = "export one with python -m segtrain export RUN"


@pytest.fixture
def copied(tmp_path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(COLORS.read_bytes())
    return path


def test_probabilities_of_a_file():
    network = loaded(COLORS)
    images = torch.zeros(1, 3, *SIZE, dtype=torch.uint8)
    images[:, 0, :10], images[:, 1, :10], images[:, 2, :10] = 255, 204, 51  # logits 2, 1.2, -1.2
    given = network.probabilities(images)
    assert given.shape == (1, 3, *SIZE) and given.dtype == torch.float32
    scores = np.exp([2, 1.2, -1.2])
    torch.testing.assert_close(given[0, :, 5, 30], torch.tensor(scores / scores.sum(), dtype=torch.float32))
    torch.testing.assert_close(given[0, :, 15, 30], torch.full((3,), 1 / 3))


def test_what_a_file_says_of_itself():
    network = loaded(COLORS)
    assert network.task.names == ["red", "green", "blue"] and network.task.mode == "multiclass"
    assert network.input_size == SIZE and network.batch_size == 1 and network.device == CPU
    with zipfile.ZipFile(COLORS) as archive:
        assert archive.namelist() == ["segtrain.json", "names.json", "colors.json"]
        assert json.loads(archive.read("names.json")) == ["red", "green", "blue"]


@pytest.mark.parametrize("shape", [(20, 48), (7, 50), (61, 100)])
def test_images_of_any_size_are_predicted_in_tiles(shape):
    image = images_of(1, *shape)[0].permute(1, 2, 0).numpy()
    predictor = Predictor([loaded(COLORS)], InferOptions(flip="d4"))
    clear = np.sort(image, axis=2)
    clear = clear[..., 2] > clear[..., 1]
    assert np.array_equal(predictor.predict(image)[clear], image.argmax(2)[clear]) and clear.mean() > 0.9


def test_a_note_lies_behind_the_model_and_is_found_again(tmp_path):
    path = tmp_path / "model.tflite"
    content = COLORS.read_bytes()
    path.write_bytes(content[: content.index(b"PK\3\4")])
    bare = path.read_bytes()
    note = options_of(size=SIZE).note(tiny_network().task, batch_size=1)
    tflite.append_note(path, note)
    assert path.read_bytes().startswith(bare) and loaded(path).note == note


def test_files_that_are_no_model(tmp_path):
    path = tmp_path / "model.tflite"
    assert refused(path) == f"{path}: does not exist"
    path.write_bytes(b"")
    assert refused(path) == f"{path}: is not a TFLite model"
    path.write_bytes(b"PK\3\4" + b"\0" * 100)
    assert refused(path) == f"{path}: is not a TFLite model"


def test_a_model_of_somebody_else(copied):
    content = copied.read_bytes()
    expected = f"{copied}: was not exported by segtrain: its metadata has no 'segtrain'; {ADVICE}"
    copied.write_bytes(content[: content.index(b"PK\3\4")])
    assert refused(copied) == expected
    with zipfile.ZipFile(copied, "a") as archive:
        archive.writestr("labels.txt", "red")
    assert refused(copied) == expected


def test_a_damaged_graph(copied):
    content = bytearray(copied.read_bytes())
    content[8:400] = b"\xff" * 392
    copied.write_bytes(content)
    assert refused(copied).startswith(f"{copied}: is not a TFLite model or is damaged: ")


def test_a_note_of_another_model(copied):
    content = copied.read_bytes()
    copied.write_bytes(content[: content.index(b"PK\3\4")])
    bare = copied.read_bytes()
    tflite.append_note(copied, options_of(size=(32, 32)).note(tiny_network(2).task, batch_size=1))
    with pytest.raises(CheckpointError) as error:
        loaded(copied).probabilities(images_of(1, 32, 32))
    assert str(error.value).startswith(f"{copied}: fails on images 1 x 3 x 32 x 32 uint8: Cannot set tensor: ")
    copied.write_bytes(bare)
    tflite.append_note(copied, options_of(size=SIZE, labels=True).note(tiny_network(2).task, batch_size=1))
    with pytest.raises(CheckpointError) as error:
        loaded(copied).probabilities(images_of(1, *SIZE))
    assert str(error.value) == (
        f"{copied}: returns 1 x 3 x 20 x 48 float32 for images 1 x 3 x 20 x 48 uint8, but its metadata 'segtrain' "
        f"says 1 x 20 x 48 uint8"
    )


def flagged(content: bytes, place: int, value: int) -> bytes:
    """The archive with another byte in both headers of its only record, `place` in that at the front."""
    changed = bytearray(content)
    changed[content.index(b"PK\3\4") + place] = changed[content.index(b"PK\1\2") + place + 2] = value
    return bytes(changed)


def test_an_archive_that_cannot_be_read(copied):
    bare = copied.read_bytes()
    copied.write_bytes(bare[: bare.index(b"PK\3\4")])
    with zipfile.ZipFile(copied, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("segtrain.json", " " * 100_000)
    says = f"{copied}: its metadata 'segtrain' is damaged: "
    swollen = copied.read_bytes()
    assert refused(copied).startswith(f"{says}the content: Invalid JSON")
    copied.write_bytes(bare[: bare.index(b"PK\3\4")])
    with zipfile.ZipFile(copied, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("segtrain.json", bytes(range(256)))
    content = copied.read_bytes()
    encrypted, unknown = flagged(content, 6, 1), flagged(content, 8, 97)
    start = content.index(b"PK\3\4") + 30 + len("segtrain.json")
    broken = content[:start] + b"\xff" * 20 + content[start + 20 :]
    for damaged in (encrypted, unknown, broken):
        copied.write_bytes(damaged)
        assert refused(copied).startswith(says)
    assert len({encrypted, unknown, broken, content, swollen}) == 5


def test_without_the_libraries(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(ConfigError) as error:
        loaded(COLORS)
    assert str(error.value) == f'{COLORS} needs ai_edge_litert; in the segtrain folder, run: pip install -e ".[tflite]"'
    monkeypatch.setitem(sys.modules, "litert_torch", None)
    with pytest.raises(ConfigError) as error:
        tflite.export(tiny_network(), tmp_path / "model.tflite", options_of(size=SIZE))
    assert str(error.value) == (
        "--to tflite needs litert_torch; in the segtrain folder, run: "
        'python3 -m venv .venv-export && . .venv-export/bin/activate && pip install -e ".[tflite-export]"'
    )
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_is_there_and_broken(monkeypatch, tmp_path):
    (tmp_path / "ai_edge_litert.py").write_text('raise ImportError("libm.so.9: cannot open shared object file")')
    monkeypatch.delitem(sys.modules, "ai_edge_litert", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError) as error:
        loaded(COLORS)
    reason = "which cannot be imported: libm.so.9: cannot open shared object file"
    assert str(error.value) == f"{COLORS} needs ai_edge_litert, {reason}"
