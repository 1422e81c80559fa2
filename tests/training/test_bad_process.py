"""What goes wrong in a whole process: one line, exit status 2, and what was saved before is kept."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from segtrain.checkpoint import load_checkpoint
from segtrain.errors import CheckpointError
from segtrain.training.resume import start_run
from tests.bad_input import ONE_EPOCH, assert_one_line, contents, truncate
from tests.conftest import PROJECT, SMALL, draw_folders, run
from tests.log.wandb_records import find_runs, read_history, read_records


def limited(limit: str, layers: list[str], **environment: str) -> subprocess.CompletedProcess:
    """Run train.py, with everything imported, under a limit of the operating system."""
    text = f"""
import os, resource, sys
from segtrain.__main__ import main
from segtrain.training import train
from segtrain.command import run_command
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit({limit})
sys.exit(main(["train", *sys.argv[1:]]))
"""
    full = os.environ | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"} | environment
    line = [sys.executable, "-c", text, *layers]
    return subprocess.run(line, cwd=PROJECT, env=full, capture_output=True, text=True, timeout=300)


def assert_failed(done: subprocess.CompletedProcess, pattern: str) -> None:
    assert done.returncode == 2, done.stderr
    assert_one_line(done.stderr, pattern)
    assert "Traceback" not in done.stdout


def test_process_with_wrong_keys(tmp_path):
    (tmp_path / "bad.yml").write_text("seed: 1\noptimiser: {lr: 1}\ntrain:\n  epochs: soon\n")
    done = run("train.py", tmp_path / "bad.yml")
    assert (done.returncode, done.stdout) == (2, "")
    assert sorted(done.stderr.splitlines()) == [
        f"{tmp_path / 'bad.yml'}:2: optimiser: unknown key; did you mean 'optimizer'?",
        f"{tmp_path / 'bad.yml'}:4: train.epochs: expected an integer, not 'soon'",
    ]


def test_process_with_a_truncated_image_and_workers(dataset, tmp_path):
    truncate(dataset / "val/images/002.png")
    done = run("train.py", *ONE_EPOCH, f"data.root={dataset}", f"runs_dir={tmp_path / 'runs'}", "data.workers=1")
    assert_failed(done, re.escape(str(dataset / "val/images/002.png")) + ": cannot be read as an image: .+")
    assert "epoch 1/1" not in done.stdout


def test_a_full_shared_memory_is_told_by_the_worker(dataset, tmp_path, main, monkeypatch, capsys):
    def refuse(_: torch.Tensor) -> None:  # as torch does, in the worker that this process is forked to
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)
    assert main(*ONE_EPOCH, f"data.root={dataset}", f"runs_dir={tmp_path / 'runs'}", "data.workers=1") == 2
    assert_one_line(
        capsys.readouterr().err,
        r"/dev/shm, which passes batches between processes, is full; lower data\.workers \(now 1\) or write 0; in a "
        r"container, raise shared memory, like --shm-size=4g",
    )


def test_process_without_a_hub(tmp_path):
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "TORCH_HOME": str(tmp_path)}
    layers = [*SMALL, "model.encoder_name=resnet18", "model.encoder_weights=imagenet"]
    done = run("train.py", "--check", *layers, **environment)
    assert_failed(
        done,
        r"model: Unet with encoder resnet18: the weights 'imagenet' cannot be downloaded: .+; "
        r"write model\.encoder_weights: null or the path of a local file",
    )


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the address space, and /proc")
@pytest.mark.parametrize(
    "layers",
    [
        ["transforms.train=[{RandomCrop: {height: 30000, width: 30000, pad_if_needed: true}}]", "data.workers=1"],
        ["transforms.train=[{Resize: {height: 3072, width: 3072}}]", "data.workers=0"],
    ],
    ids=["image", "step"],
)
def test_process_without_memory(dataset, tmp_path, layers):
    layers = [*ONE_EPOCH, f"data.root={dataset}", f"runs_dir={tmp_path / 'runs'}", *layers]
    done = limited("resource.RLIMIT_AS, (used + 2**31, used + 2**31)", layers)
    assert_failed(
        done,
        r"not enough memory \(.+\); lower data\.batch_size \(now 4; train\.accumulate_steps compensates for it\), "
        r"the crop in transforms\.train or data\.eval_batch_size, or use a smaller model\.encoder_name \(now .+\)",
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of the size of files")
def test_process_without_disk_space_keeps_the_older_checkpoints(kept):
    before = contents(kept)
    done = limited("resource.RLIMIT_FSIZE, (2**17, 2**17)", ["--resume", str(kept), "train.epochs=2"])
    pattern = (
        r": cannot be saved \(\d+ MiB\): File too large; the previous one is kept; free some disk space, then "
        "use --resume"
    )
    assert_failed(done, re.escape(str(kept)) + r"/\w+\.pt" + pattern)
    after = contents(kept)
    assert {name: after[name] for name in ("best.pt", "last.pt")} == {
        name: before[name] for name in ("best.pt", "last.pt")
    }
    assert not [name for name in after if name.endswith(".tmp")]


OWN_LOSS = """
import multiprocessing
import torch

class Failing(torch.nn.Module):
    def __init__(self, *, how):
        super().__init__()
        self.how, self.trained = how, 0

    def forward(self, logits, mask):
        self.trained += logits.requires_grad
        if self.trained == 3 and self.how == "kill a worker":
            multiprocessing.active_children()[0].kill()
        return (logits * (float("nan") if self.trained == 3 and self.how == "nan" else 0)).sum()
"""


@pytest.mark.parametrize("how", ["nan", "kill a worker"])
def test_process_that_fails_while_it_trains(dataset, tmp_path, how):
    (tmp_path / "own_loss.py").write_text(OWN_LOSS)
    (tmp_path / "config.yml").write_bytes((PROJECT / "config.yml").read_bytes())
    layers = [*SMALL, "data.root=street", "train.epochs=90", "data.workers=1"]
    layers += ["log.wandb.mode=offline"] if how == "nan" else []
    done = run("train.py", *layers, f"loss={{own_loss.Failing: {{how: {how}}}}}", cwd=tmp_path)
    if how == "nan":
        place = r"training stopped at step 3 \(epoch 2\): own_loss\.Failing is nan; "
        assert_failed(done, place + r"the last checkpoint before it was kept; lower optimizer\.lr or set .+")
        (told,) = find_runs(tmp_path / "runs" / "street-1")
        assert [record.exit.exit_code for record in read_records(told) if record.HasField("exit")] == [1]
        assert [row["epoch"] for row in read_history(told) if "epoch" in row] == [1]
    else:
        reason = r"\(.*\)"  # it depends on what the process was doing
        assert_failed(done, rf"a process that reads images was killed {reason}, .+ lower data\.workers .+")
    last = load_checkpoint(tmp_path / "runs" / "street-1" / "last.pt")
    assert last["position"]["epoch"] >= 1
    assert all(torch.isfinite(tensor).all() for tensor in last["model"].values())


def wait_for(folder: Path, pattern: str, process: subprocess.Popen) -> None:
    """Until a file is there; as often as the machine can look."""
    while not any(folder.glob(pattern)):
        assert process.poll() is None


def test_a_training_that_is_killed_while_it_saves(dataset, tmp_path):
    """Until then no other process may train in its folder; after it one can, and nothing hidden stays behind."""
    layers = [*SMALL, f"data.root={dataset}", f"runs_dir={tmp_path}", "train.device=cpu", "train.epochs=9000"]
    line = [sys.executable, "train.py", *layers, "train.save_every_minutes=0.0001", "log.images=0"]
    folder = tmp_path / "street-1"
    with subprocess.Popen(line, cwd=PROJECT, stdout=subprocess.DEVNULL) as training:
        try:
            wait_for(folder, "last.pt", training)
            refused = run("train.py", "--resume", folder)
            assert (refused.returncode, refused.stderr) == (
                2,
                f"{folder}: another process is training in it; wait until it ends\n",
            )
            wait_for(folder, ".*.part.pt", training)
        finally:
            training.kill()
    epoch = load_checkpoint(folder / "last.pt")["position"]["epoch"]
    done = run("train.py", "--resume", folder, f"train.epochs={epoch + 1}")
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == [".lock"]


def test_a_run_folder_that_another_process_was_faster_in(kept, prepare):
    config = prepare().config
    before = contents(kept)
    with pytest.raises(CheckpointError, match="another process has just started it; repeat the command to resume it"):
        start_run(config, folder=kept)
    assert contents(kept) == before


def test_a_run_folder_of_a_process_that_was_killed_at_once(tmp_path, prepare):
    config = prepare().config
    folder = tmp_path / "named"
    folder.mkdir()
    (folder / ".lock").touch()
    with start_run(config, folder=folder):
        assert (folder / "config.yml").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(CheckpointError, match="contains files that are not from a run"):
        start_run(config, folder=tmp_path / "other")


def test_predictions_that_are_killed(kept, tmp_path):
    images, output = draw_folders(tmp_path / "many", train=150, val=1) / "train" / "images", tmp_path / "out"
    line = [sys.executable, "predict.py", str(kept), str(images), "-o", str(output), "--device", "cpu"]
    with subprocess.Popen(line, cwd=PROJECT, stdout=subprocess.DEVNULL) as predicting:
        try:
            wait_for(output, "**/*.*", predicting)  # most often the hidden one
        finally:
            predicting.kill()
    done = run("predict.py", kept, images, "-o", output, "--device", "cpu")
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(output.glob("**/.*"))
