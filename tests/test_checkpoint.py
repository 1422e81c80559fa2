import errno
import os
import pickle
import resource
from pathlib import Path

import pytest
import torch

from segtrain.checkpoint import (
    BEST,
    FORMAT,
    find_checkpoint,
    load_checkpoint,
    lock_run,
    restore_rng_state,
    rng_state,
    save_checkpoint,
)
from segtrain.errors import CheckpointError

CONTENT = {"model": {"weight": torch.arange(1000.0)}, "epoch": 3, "names": ["sky", "road"], "score": None}


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / BEST
    save_checkpoint(path, {"epoch": 1})
    save_checkpoint(path, CONTENT)
    content = load_checkpoint(path)
    assert content.pop("segtrain") == FORMAT
    assert torch.equal(content.pop("model")["weight"], CONTENT["model"]["weight"])
    assert content == {"epoch": 3, "names": ["sky", "road"], "score": None}
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_keeps_the_older_file(tmp_path):
    path = tmp_path / BEST
    save_checkpoint(path, CONTENT)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**18, hard))  # a disk on which no file grows above 256 KiB
    try:
        with pytest.raises(CheckpointError) as error:
            save_checkpoint(path, {"model": torch.zeros(2**18)})
        with pytest.raises(CheckpointError) as first:
            save_checkpoint(tmp_path / "last.pt", {"model": torch.zeros(2**18)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    text = "cannot be saved (1 MiB): File too large"
    assert str(error.value) == f"{path}: {text}; the previous one is kept; free some disk space, then use --resume"
    assert str(first.value) == f"{tmp_path / 'last.pt'}: {text}; free some disk space, then use --resume"
    assert load_checkpoint(path)["epoch"] == 3
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_gone(tmp_path):
    with pytest.raises(CheckpointError) as error:
        save_checkpoint(tmp_path / "gone" / BEST, CONTENT)
    assert "cannot be saved (0 MiB): No such file or directory" in str(error.value)


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.9, -1])
def test_a_truncated_file(tmp_path, kept):
    path = tmp_path / BEST
    save_checkpoint(path, CONTENT)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    assert refused(path) == f"{path}: is truncated or is not a checkpoint"


def test_a_file_with_a_damaged_middle(tmp_path):
    path = tmp_path / BEST
    save_checkpoint(path, CONTENT)
    whole = path.read_bytes()
    for start in (0, 100, len(whole) - 200):
        path.write_bytes(whole[:start] + b"\xff" * 100 + whole[start + 100 :])
        assert refused(path).startswith(f"{path}: ")


class Touch:
    """Pickled, it makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_file_does_not_run(tmp_path):
    path, proof = tmp_path / BEST, tmp_path / "proof"
    torch.save({"segtrain": FORMAT, "model": Touch(proof)}, path)
    expected = "was not loaded: it contains more than tensors and plain values, which could run code"
    assert refused(path) == f"{path}: {expected}"
    path.write_bytes(pickle.dumps(Touch(proof)))
    assert refused(path) == f"{path}: is truncated or is not a checkpoint"
    assert not proof.exists()
    pickle.loads(path.read_bytes())
    assert proof.exists()  # it would have


def test_files_of_others(tmp_path):
    path = tmp_path / BEST
    for content in ({"state_dict": {"a": torch.zeros(2)}}, [1, 2], torch.zeros(3)):
        torch.save(content, path)
        assert refused(path) == f"{path}: is not a segtrain checkpoint; it has no 'segtrain' entry"
    torch.save({"segtrain": 99}, path)
    assert refused(path) == f"{path}: has format 99, but this version reads {FORMAT}; update segtrain"
    assert refused(tmp_path / "none.pt") == f"{tmp_path / 'none.pt'}: does not exist"


def test_finding_a_checkpoint(tmp_path):
    def missing(run: Path) -> str:
        with pytest.raises(CheckpointError) as error:
            find_checkpoint(run, BEST)
        return str(error.value)

    run = tmp_path / "street-1"
    assert missing(run) == f"{run}: does not exist"
    run.mkdir()
    assert missing(run) == f"{run}: is not a run folder; it has neither best.pt nor config.yml"
    (run / "config.yml").touch()
    assert missing(run) == f"{run}: has no best.pt; the run stopped before it was first saved"
    (run / BEST).touch()
    assert find_checkpoint(run, BEST) == run / BEST
    assert find_checkpoint(run / "config.yml", BEST) == run / "config.yml"


def test_random_numbers_go_on_where_they_were(tmp_path):
    torch.manual_seed(5)
    torch.rand(3)
    save_checkpoint(tmp_path / BEST, {"rng": rng_state()})
    expected = torch.rand(4)
    torch.manual_seed(6)
    restore_rng_state(load_checkpoint(tmp_path / BEST)["rng"])
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK])
def test_file_systems_without_locks(tmp_path, monkeypatch, recwarn, number):
    """As some of networks and of containers are: the folder is free to use, and with it nothing is said by others."""

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    lock = lock_run(tmp_path)
    assert lock.is_locked == (number == errno.ENOSYS)  # then a file with the number of the process has to do
    lock.release()
    assert not recwarn.list


def test_a_lock_that_may_not_be_written_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.flock", lambda *_: os.stat(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError):
        lock_run(tmp_path)
