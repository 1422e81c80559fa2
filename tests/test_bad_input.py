"""Every mistake of a user is one line that says what to do, exit status 2, and costs nothing that was there before."""

import os
import re
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import PROJECT, SMALL, draw_folders, draw_sample, run
from PIL import Image
from wandb_records import find_runs, read_history, read_records

import predict
import train
from segtrain.checkpoint import load_checkpoint
from segtrain.command import run_command

ONE_EPOCH = [*SMALL, "train.epochs=1"]


@pytest.fixture
def main(monkeypatch) -> Callable[..., int]:
    """train.py in this process: its exit status."""
    monkeypatch.chdir(PROJECT)

    def main(*layers: str, resume: Path | None = None) -> int:
        return run_command(train.main, Namespace(layers=list(layers), resume=resume and str(resume), check=False))

    return main


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A finished run of one epoch; its data set lies beside it."""
    root = tmp_path_factory.mktemp("trained")
    layers = [*ONE_EPOCH, f"data.root={draw_folders(root / 'street')}", f"runs_dir={root / 'runs'}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        assert run_command(train.main, Namespace(layers=layers, resume=None, check=False)) == 0
    return root / "runs" / "street-1"


@pytest.fixture
def kept(trained, tmp_path) -> Path:
    """A copy of that run, to be broken."""
    return Path(shutil.copytree(trained, tmp_path / "kept"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_one_line(text: str, pattern: str) -> None:
    assert len(text.splitlines()) == 1, text
    assert re.fullmatch(pattern, text.removesuffix("\n")), text
    assert "Traceback" not in text


# What is written on the command line, and the line that it gives behind "command line: WRITTEN: ".
WRITTEN = {
    "unknown key": ("train.epoch=3", r"train\.epoch: unknown key; did you mean 'epochs'\?"),
    "unknown section": ("optimiser={lr: 1}", r"optimiser: unknown key; did you mean 'optimizer'\?"),
    "wrong type": ("train.epochs=many", r"train\.epochs: expected a whole number, not 'many'"),
    "out of range": ("train.epochs=0", r"train\.epochs: should be greater than or equal to 1, not 0"),
    "none of the words": (
        "train.precision=fp8",
        r"train\.precision: 'fp8' is none of auto, fp32, bf16, fp16; .+",
    ),
    "argument of smp": (
        "model.decoder_chanels=[8]",
        r"model\.decoder_chanels: Unet has no argument 'decoder_chanels'; did you mean 'decoder_channels'\?",
    ),
    "argument of torch": (
        "optimizer.momentun=0.9",
        r"optimizer\.momentun: AdamW has no argument 'momentun'; .+",
    ),
    "argument of timm": (
        "optimizer={name: Lamb, beta: 1}",
        r"optimizer\.beta: Lamb has no argument 'beta'; did you mean 'betas'\?",
    ),
    "argument of a schedule": (
        "schedule.pct_stat=0.1",
        r"schedule\.pct_stat: OneCycleLR has no argument 'pct_stat'; did you mean 'pct_start'\?",
    ),
    "argument of albumentations": (
        "transforms.train=[{HorizontalFlip: {prob: 1}}]",
        r"transforms\.train\.0\.HorizontalFlip\.prob: HorizontalFlip has no argument 'prob'; known: p",
    ),
    "argument of a loss": (
        "loss.DiceLoss={smoth: 1}",
        r"loss\.DiceLoss\.smoth: DiceLoss has no argument 'smoth'; did you mean 'smooth'\?",
    ),
    "architecture": ("model.name=UNet3", r"model\.name: unknown model 'UNet3'; did you mean 'Unet'\?"),
    "encoder": (
        "model.encoder_name=resnet19",
        r"model\.encoder_name: smp has no encoder 'resnet19'; did you mean 'resnet\d+'\?",
    ),
    "timm encoder": (
        "model.encoder_name=tu-mobilenetv3_smal_050",
        r"model\.encoder_name: timm has no model 'mobilenetv3_smal_050'; did you mean 'tu-mobilenetv3_small_050'\?",
    ),
    "loss": ("loss.DiceLos=1", r"loss\.DiceLos: unknown loss 'DiceLos'; did you mean 'DiceLoss'\?"),
    "transform": (
        "transforms.train=[HorizontalFlop]",
        r"transforms\.train\.0: unknown transform 'HorizontalFlop'; did you mean 'HorizontalFlip'\?",
    ),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_what_is_written_wrong(main, dataset, tmp_path, capsys, case):
    written, pattern = WRITTEN[case]
    assert main(*ONE_EPOCH, f"data.root={dataset}", f"runs_dir={tmp_path / 'runs'}", written) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert_one_line(captured.err, re.escape(f"command line: {written}: ") + pattern)
    assert not (tmp_path / "runs").exists()


# Settings that only the library itself, or the data, can refuse.
REFUSED = {
    "range of albumentations": (
        ["transforms.train=[{HorizontalFlip: {p: 2}}]"],
        r"transforms\.train\.0: HorizontalFlip: p: Input should be less than or equal to 1, not 2",
    ),
    "range of a schedule": (["schedule.pct_start=3"], r"schedule: OneCycleLR: .+pct_start.+"),
    "range of an optimizer": (["optimizer.betas=[2, 2]"], r"optimizer: AdamW: Invalid beta parameter at index 0: 2"),
    "depth of a decoder": (["model.decoder_channels=[8, 8]"], r"model: Unet with encoder tu-mobilenetv3_small_050: .+"),
    "weights of a loss": (
        ["loss={CrossEntropyLoss: {class_weights: [1, 2]}}"],
        r"loss\.CrossEntropyLoss: class_weights are 2 numbers for 7 classes",
    ),
    "weights of torch's loss": (
        ["loss={torch.nn.CrossEntropyLoss: {weight: [1, 2]}}"],
        r"loss\.torch\.nn\.CrossEntropyLoss: weight tensor should be defined .+",
    ),
    "crop larger than the image": (
        ["transforms.train=[{RandomCrop: {height: 96, width: 64}}]"],
        r".+/images/\d+\.png: .*\(96, 64\).+\(64, 80\).*; write pad_if_needed: true for the crop in transforms\.train",
    ),
    "images of one batch differ": (
        ["transforms.train=[{RandomScale: {scale_limit: [-0.5, 0.5], p: 1}}]"],
        r"images of one batch differ in height and width: .+; end transforms\.train with RandomCrop: .+",
    ),
    "a batch of one": (
        ["model.name=UPerNet", "data.batch_size=1"],
        r"data\.batch_size: UPerNet with tu-mobilenetv3_small_050 has a BatchNorm that needs two images or more in a "
        r"training batch, and there is one; raise data\.batch_size, with as many images",
    ),
    "device": (["train.device=cuda:99"], r"train\.device: 'cuda:99' cannot be used: .+"),
    "runs_dir is a file": (["runs_dir=train.py"], r"train\.py: a run folder cannot be written there: .+"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_libraries_refuse(main, dataset, tmp_path, capsys, case):
    written, pattern = REFUSED[case]
    assert main(*ONE_EPOCH, f"data.root={dataset}", f"runs_dir={tmp_path / 'runs'}", *written) == 2
    assert_one_line(capsys.readouterr().err, pattern)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def to_jpeg(path: Path) -> None:
    Image.open(path).save(path.with_suffix(".jpg"))
    path.unlink()


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def paint(path: Path, value: int) -> None:
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    mask[10, 10:13] = value
    cv2.imwrite(str(path), mask)


def resize(path: Path) -> None:
    cv2.imwrite(str(path), np.zeros((50, 80), np.uint8))


# How the data set is broken, and the line; ROOT stands for its folder.
BROKEN = {
    "missing folder": (
        lambda root: shutil.rmtree(root),
        "data.root: ROOT does not exist; .+ holds: .+",
    ),
    "missing subfolder": (
        lambda root: shutil.rmtree(root / "val" / "masks"),
        r"data \(val\).masks: ROOT/val/masks does not exist; ROOT/val holds: images",
    ),
    "image without mask": (
        lambda root: (root / "train/masks/003.png").unlink(),
        r"data \(train\): 1 of 8 images have no mask in ROOT/train/masks: ROOT/train/images/003.png",
    ),
    "mask without image": (
        lambda root: (root / "train/images/003.png").unlink(),
        r"data \(train\): 1 of 8 masks have no image in ROOT/train/images: ROOT/train/masks/003.png",
    ),
    "empty split": (
        lambda root: (empty(root / "val/images"), empty(root / "val/masks")),
        r"data \(val\): no images in ROOT/val/images; known suffixes: .+",
    ),
    "sizes that differ": (
        lambda root: resize(root / "train/masks/003.png"),
        r"ROOT/train/masks/003.png: is 80 x 50 pixels, but its image ROOT/train/images/003.png is 80 x 64 pixels",
    ),
    "truncated image": (
        lambda root: truncate(root / "train/images/003.png"),
        r"ROOT/train/images/003.png: cannot be read as an image: .+; is the file complete\?",
    ),
    "truncated mask": (
        lambda root: truncate(root / "val/masks/001.png"),
        r"ROOT/val/masks/001.png: cannot be read as an image: .+; is the file complete\?",
    ),
    "unclaimed value": (
        lambda root: paint(root / "train/masks/003.png", 77),
        r"ROOT/train/masks/003.png: no class claims value 77 \(3 pixels\); give it to a class in data.classes, "
        r"\{name: .., value: 77\}, or write data.ignore_values: \[77\]",
    ),
    "JPEG mask": (
        lambda root: to_jpeg(root / "train/masks/003.png"),
        r"ROOT/train/masks/003.jpg: a JPEG changes the values of a mask; save masks as PNG, from the original "
        r"annotation",
    ),
}


# These two are found by the reading processes, where there are any.
@pytest.mark.parametrize(
    ("case", "workers"), [*((case, 0) for case in BROKEN), ("sizes that differ", 2), ("truncated image", 2)]
)
def test_what_is_wrong_with_the_data(main, dataset, tmp_path, capsys, case, workers):
    damage, pattern = BROKEN[case]
    damage(dataset)
    assert main(*ONE_EPOCH, f"data.root={dataset}", f"runs_dir={tmp_path / 'runs'}", f"data.workers={workers}") == 2
    assert_one_line(capsys.readouterr().err, pattern.replace("ROOT", re.escape(str(dataset))))


def test_a_class_that_never_occurs_is_a_warning(main, tmp_path, capsys):
    dataset = draw_folders(tmp_path / "six", train=4, val=2, classes=6)
    assert main(*ONE_EPOCH, f"data.root={dataset}", f"runs_dir={tmp_path / 'runs'}") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    warning = "warning: no training mask has a pixel of: person; are the values in data.classes right?"
    assert captured.out.splitlines()[0] == warning
    assert (tmp_path / "runs" / "street-1" / "best.pt").exists()


class Code:
    """What a hostile checkpoint holds."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


CHECKPOINTS = {
    "truncated": (
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        r"FILE: .*(damaged|truncated|incomplete|no checkpoint).*",
    ),
    "not ours": (
        lambda path: torch.save({"state_dict": {}}, path),
        r"FILE: is no checkpoint of segtrain; it has no 'segtrain' entry",
    ),
    "would run code": (
        lambda path: torch.save({"segtrain": 1, "model": Code(path.parent / "pwned")}, path),
        r"FILE: holds more than tensors and plain values, and is not loaded: it could run code",
    ),
    "text": (lambda path: path.write_text("weights"), r"FILE: .+"),
    "of a later version": (
        lambda path: torch.save({"segtrain": 2}, path),
        r"FILE: has format 2, this version reads 1; update segtrain",
    ),
    "missing": (lambda path: path.unlink(), r"RUN: has no NAME; the run stopped before it was first saved"),
}


@pytest.mark.parametrize("case", CHECKPOINTS)
@pytest.mark.parametrize("name", ["best.pt", "last.pt"])
def test_a_checkpoint_that_cannot_be_used(main, kept, tmp_path, capsys, case, name):
    damage, pattern = CHECKPOINTS[case]
    damage(kept / name)
    before = contents(kept)
    if name == "best.pt":
        draw_sample(tmp_path / "new", "a", seed=1)
        inputs, output = [str(tmp_path / "new" / "images")], tmp_path / "out"
        options = Namespace(run=kept, inputs=inputs, output=output, device="cpu", precision=None)
        assert run_command(predict.main, options) == 2
        assert not output.exists()
    else:
        assert main(resume=kept) == 2
    pattern = pattern.replace("FILE", re.escape(str(kept / name))).replace("RUN", re.escape(str(kept)))
    assert_one_line(capsys.readouterr().err, pattern.replace("NAME", name))
    assert contents(kept) == before


def test_the_best_checkpoint_is_none_to_resume_from(main, kept, capsys):
    shutil.copy(kept / "best.pt", kept / "last.pt")
    assert main(resume=kept) == 2
    line = f"{kept / 'last.pt'}: is no checkpoint to resume from, it holds weights alone; take the run's own last.pt"
    assert capsys.readouterr().err == line + "\n"


def test_a_folder_that_is_no_run(tmp_path, capsys):
    draw_sample(tmp_path / "new", "a", seed=1)
    (tmp_path / "empty").mkdir()
    for folder, text in (("nowhere", "there is no such run folder"), ("empty", "is no run folder; it has neither .+")):
        inputs, output = [str(tmp_path / "new" / "images")], tmp_path / "out"
        options = Namespace(run=tmp_path / folder, inputs=inputs, output=output, device="cpu", precision=None)
        assert run_command(predict.main, options) == 2
        assert_one_line(capsys.readouterr().err, re.escape(f"{tmp_path / folder}: ") + text)


# From here on in processes of their own, one for each family at least.


def limited(limit: str, layers: list[str], **environment: str) -> subprocess.CompletedProcess:
    """Run train.py, with everything imported, under a limit of the operating system."""
    text = f"""
import os, resource, sys
import train
from segtrain import build, loop, losses
from segtrain.command import run_command
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit({limit})
sys.exit(run_command(train.main, train.parse_arguments(sys.argv[1:])))
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
        f"{tmp_path / 'bad.yml'}:4: train.epochs: expected a whole number, not 'soon'",
    ]


def test_process_with_a_truncated_image_and_workers(dataset, tmp_path):
    truncate(dataset / "val/images/002.png")
    done = run("train.py", *ONE_EPOCH, f"data.root={dataset}", f"runs_dir={tmp_path / 'runs'}", "data.workers=1")
    assert_failed(done, re.escape(str(dataset / "val/images/002.png")) + ": cannot be read as an image: .+")
    assert "epoch 1/1" not in done.stdout


def test_process_without_a_hub(tmp_path):
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "TORCH_HOME": str(tmp_path)}
    layers = [*SMALL, "model.encoder_name=resnet18", "model.encoder_weights=imagenet"]
    done = run("train.py", "--check", *layers, **environment)
    assert_failed(
        done,
        r"model: Unet with encoder resnet18: the weights 'imagenet' cannot be fetched: .+; "
        r"write model\.encoder_weights: null, or the path to a local file",
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
        r"not enough memory \(.+\); lower data\.batch_size \(now 4; train\.accumulate_steps makes up for it\), "
        r"the crop in transforms\.train, data\.eval_batch_size, or take a smaller model\.encoder_name \(now .+\)",
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of the size of files")
def test_process_without_disk_space_keeps_the_older_checkpoints(kept):
    before = contents(kept)
    done = limited("resource.RLIMIT_FSIZE, (2**17, 2**17)", ["--resume", str(kept), "train.epochs=2"])
    pattern = r": cannot be saved \(\d+ MiB\): File too large; the older one is kept; free some space and --resume"
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
        assert_failed(done, place + r"the last checkpoint before it is kept; lower optimizer\.lr, set .+")
        (told,) = find_runs(tmp_path / "runs" / "street-1")
        assert [record.exit.exit_code for record in read_records(told) if record.HasField("exit")] == [1]
        assert [row["epoch"] for row in read_history(told) if "epoch" in row] == [1]
    else:
        reason = r"\(DataLoader worker .+ (exited unexpectedly|killed by signal).*\)"
        assert_failed(done, rf"a process that reads images was ended from outside {reason}, .+ lower data\.workers .+")
    last = load_checkpoint(tmp_path / "runs" / "street-1" / "last.pt")
    assert last["position"]["epoch"] >= 1
    assert all(torch.isfinite(tensor).all() for tensor in last["model"].values())
