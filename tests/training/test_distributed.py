"""Several processes: torchrun starts them, as a user does, on one training."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas
import pytest
import torch

from segtrain.checkpoint import load_checkpoint
from tests.conftest import PROJECT, SMALL, draw_folders, run

# A network without BatchNorm, which alone sees the images of one process.
NETWORK = """
from torch import nn

class Net(nn.Module):
    stride, logits_stride = 4, 4

    def __init__(self, in_channels, classes):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, 8, 4, 4), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, classes, 3, 1, 1)
        )

    def forward(self, images):
        return self.layers(images)
"""

# Three steps of an epoch, ten images of validation in five batches; SGD, since Adam divides what rounding leaves of
# gradients that are almost 0 by its own size.
EQUAL = [
    *(setting for setting in SMALL if not setting.startswith("model.")),
    "model={name: my_network.Net, encoder_name: null}",
    "optimizer={name: SGD, lr: 0.02, momentum: 0.9}",
    "loss={CrossEntropyLoss: {coef: 1.0, class_weights: enet}, DiceLoss: 1.0, LovaszLoss: 1.0}",
    "data.eval_batch_size=2",
    "data.balance=0.3",
    "data.mix={CutMix: 0.3, ClassMix: 0.5}",
    "data.root=street",
    "train.epochs=7",
    "train.eval_every_epochs=7",
    "train.ema_decay=0.9",
    "train.clip_norm=1.0",
    "train.precision=fp32",
    "train.device=cpu",
]
TIMING = ["images_per_second", "data_wait", "train_seconds", "val_seconds"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the processes run: a network of its own and a dataset."""
    root = tmp_path_factory.mktemp("distributed")
    (root / "my_network.py").write_text(NETWORK)
    (root / "config.yml").write_bytes((PROJECT / "config.yml").read_bytes())
    draw_folders(root / "street", train=12, val=10)
    return root


def launch(folder: Path, *arguments: object, count: int = 2, **environment: str) -> subprocess.Popen:
    """torchrun with a script and its arguments; stdout and stderr are texts."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    full = inherited | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"} | environment
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    line += map(str, arguments)
    return subprocess.Popen(
        line, cwd=folder, env=full, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(process: subprocess.Popen) -> SimpleNamespace:
    """Its exit status, what it printed, and what the processes told, without what torchrun itself has to say."""
    try:
        out, err = process.communicate(timeout=200)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    ours = re.compile(r"process \d|data\.|street/|stopped|another|command")
    told = [line for line in err.splitlines() if ours.match(line)]
    return SimpleNamespace(status=process.returncode, out=out, err=err, told=told)


def test_losses_are_those_of_the_whole_batch():
    done = finish(launch(PROJECT, "tests/losses/across.py"))
    assert done.status == 0, done.err
    assert re.fullmatch(r"\d\d compared by 2 processes, \[\] differ\n", done.out)


@pytest.fixture(scope="module")
def stopped(folder) -> list[SimpleNamespace]:
    """A run of two processes whose second one gets a SIGTERM in its third epoch, and which then goes on, with
    its images in memory."""
    stop = (
        "import os, runpy, signal, sys, segtrain.training.loop as loop\n"
        "step = loop.train_step\n"
        "def stopping(state, *rest):\n"
        "    if state.total_steps == 7 and os.environ['RANK'] == '1':\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return step(state, *rest)\n"
        "loop.train_step = stopping\n"
        "sys.argv[0] = 'train.py'\n"
        f"runpy.run_path({str(PROJECT / 'train.py')!r}, run_name='__main__')\n"
    )
    (folder / "stop.py").write_text(stop)
    arguments = ("--run-folder", "two", *EQUAL)
    first = finish(launch(folder, "stop.py", *arguments))
    first.position = load_checkpoint(folder / "two" / "last.pt")["position"]
    return [first, finish(launch(folder, PROJECT / "train.py", *arguments, "data.cache=ram"))]


def test_a_signal_to_one_process_saves_and_ends_them_all(stopped):
    first, _ = stopped
    assert first.position == {"epoch": 2, "step": 2, "total_steps": 8}
    assert first.told == ["stopped and saved; resume with: python train.py --resume two"]
    assert first.status == 1 and "exitcode  : 143" in first.err  # torchrun's own
    assert "train    7 epochs of 3 steps of 4 images, float32 on cpu, 2 processes" in first.out


def test_the_number_of_processes_does_not_change_the_training(folder, stopped):
    assert stopped[1].status == 0, stopped[1].err
    assert "resume   after 2 epochs and 2 steps" in stopped[1].out
    one = run("train.py", "--run-folder", "one", *EQUAL, cwd=folder)
    assert (one.returncode, one.stderr) == (0, "")
    last, other = (load_checkpoint(folder / name / "last.pt") for name in ("one", "two"))
    for kind in ("model", "ema"):
        for name, tensor in last[kind].items():
            torch.testing.assert_close(other[kind][name], tensor, rtol=0, atol=1e-6, msg=f"{kind} {name}")
    assert other["position"] == last["position"]
    tables = [pandas.read_csv(folder / name / "metrics.csv").drop(columns=TIMING) for name in ("one", "two")]
    pandas.testing.assert_frame_equal(*tables, rtol=1e-4)
    assert len(list((folder / "two" / "predictions").iterdir())) == 2
    on = run("train.py", "--run-folder", "two", *EQUAL, cwd=folder)
    assert (on.returncode, on.stderr) == (0, "")
    assert "note: the number of processes has changed from 2 to 1: the images, their order and " in on.stdout


def test_a_bad_image_of_one_process_ends_all_in_one_line(folder):
    image = folder / "street" / "train" / "images" / "007.png"
    content = image.read_bytes()
    image.write_bytes(content[:200])
    started = time.monotonic()
    done = finish(launch(folder, PROJECT / "train.py", *EQUAL, "runs_dir=bad"))
    image.write_bytes(content)
    assert (done.status, len(done.told)) == (1, 1), done.err
    assert "street/train/images/007.png: " in done.told[0]
    assert "exitcode  : 2" in done.err and time.monotonic() - started < 100


MEET = """
import os, signal
import torch
from segtrain.distributed import joined, local_rank, local_size, rank, sum_all

with joined():
    if os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0" and rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    os.write(1, f"{sum_all(torch.ones(())):.0f} here, {local_rank()} of {local_size()}\\n".encode())
"""


def test_a_restart_meets_anew(folder):
    """torchrun keeps the store, in which the addresses of the processes that it has ended are still written."""
    (folder / "meet.py").write_text(MEET)
    done = finish(launch(folder, "--max-restarts", 1, "meet.py"))
    assert done.status == 0, done.err
    assert sorted(done.out.splitlines()) == ["2 here, 0 of 2", "2 here, 1 of 2"]


def test_without_local_ranks_the_hosts_are_counted(folder):
    """Kubeflow starts one process a pod, and sets nothing else."""
    host = "import socket; socket.gethostname = lambda: 'pod' + __import__('os').environ['POD']\n"
    (folder / "pods.py").write_text(host + MEET)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "3", "PYTHONPATH": str(PROJECT)}
    started = [
        subprocess.Popen(
            [sys.executable, "pods.py"],
            cwd=folder,
            env=os.environ | common | {"RANK": str(number), "POD": "011"[number]},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    told = [process.communicate(timeout=60)[0] for process in started]
    assert told == ["3 here, 0 of 1\n", "3 here, 0 of 2\n", "3 here, 1 of 2\n"]


def test_a_killed_process_ends_the_others_in_one_line(folder):
    process = launch(
        folder, PROJECT / "train.py", "--run-folder", "killed", *EQUAL, "train.epochs=1000", "schedule=null"
    )
    while not (folder / "killed" / "last.pt").exists():
        assert process.poll() is None
        time.sleep(0.1)
    victim = next(number for number in find_children(process.pid) if b"RANK=1" in environment_of(number))
    os.kill(victim, signal.SIGKILL)
    started = time.monotonic()
    done = finish(process)
    assert done.status == 1 and time.monotonic() - started < 30
    assert done.told == ["another process ended early, most likely killed; restart all processes"]
    load_checkpoint(folder / "killed" / "last.pt")


def find_children(parent: int) -> list[int]:
    """The processes that a process has started."""
    return [int(number) for number in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def environment_of(number: int) -> list[bytes]:
    """The variables that a process was started with."""
    return Path(f"/proc/{number}/environ").read_bytes().split(b"\0")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["data.batch_size=5"],
            "data.batch_size: 5 of 12 training images cannot be divided evenly among 2 processes; write 4 or 6",
        ),
        (["train.epoch=1"], "command line: train.epoch=1: train.epoch: unknown key; did you mean 'epochs'?"),
    ],
)
def test_what_cannot_be_trained_is_told_once(folder, arguments, text):
    done = finish(launch(folder, PROJECT / "train.py", *EQUAL, "runs_dir=never", *arguments))
    assert done.status == 1
    assert [line for line in done.err.splitlines() if text in line] == [text], done.err
    assert not (folder / "never").exists() or not list((folder / "never").glob("street-*"))
