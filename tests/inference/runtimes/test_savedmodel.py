import sys
from pathlib import Path

import pytest

from segtrain.commands.export import savedmodel
from segtrain.errors import ConfigError
from segtrain.inference.model_files import find_kind
from tests.commands.export.exporting import loaded, options_of, refused, tiny_network

# What needs TensorFlow itself is in tests/commands/export/tensorflow_forms.py.


@pytest.fixture
def folder(tmp_path) -> Path:
    """As far as it is looked at before TensorFlow is imported."""
    note = options_of(size=(32, 48)).note(tiny_network().task, batch_size=1)
    extra = tmp_path / "savedmodel" / "assets.extra"
    extra.mkdir(parents=True)
    (extra / "segtrain.json").write_text(note.metadata()["segtrain"])
    (tmp_path / "savedmodel" / "saved_model.pb").write_bytes(b"")
    return tmp_path / "savedmodel"


def test_a_folder_is_known_by_its_graph(folder):
    assert find_kind(folder) == "savedmodel"


def test_a_model_of_somebody_else(folder):
    (folder / "assets.extra" / "segtrain.json").unlink()
    advice = "export one with python -m segtrain export RUN"
    expected = f"{folder}: was not exported by segtrain: its metadata has no 'segtrain'; {advice}"
    assert refused(folder) == expected


def test_without_the_libraries(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ConfigError) as error:
        loaded(folder)
    assert str(error.value) == f'{folder} needs tensorflow; in the segtrain folder, run: pip install -e ".[savedmodel]"'
    monkeypatch.setitem(sys.modules, "litert_torch", None)
    with pytest.raises(ConfigError) as error:
        savedmodel.export(tiny_network(), tmp_path / "new", options_of(size=(32, 48)))
    assert str(error.value) == (
        "--to savedmodel needs litert_torch; in the segtrain folder, run: "
        'python3 -m venv .venv-export && . .venv-export/bin/activate && pip install -e ".[savedmodel-export]"'
    )
    assert not (tmp_path / "new").exists()
