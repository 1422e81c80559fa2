"""benchmarks.gpu in small on the CPU: what it measures, and that what it does not measure is a row as well."""

import json
from argparse import Namespace
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks.gpu import Bench, Job, run_job, show
from tests.conftest import run

COMPILED = "bf16+channels_last+compile"
MEASURED = ("bf16+channels_last", "none")


def draw_camvid(root: Path) -> Path:
    """CamVid's layout: JPEG images and PNG masks of 96 x 128 pixels, four for training and two for validation."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for kind in (split, f"{split}annot"):
            (root / kind).mkdir(parents=True)
        for index in range(count):
            mask = rng.integers(0, 12, (6, 8)).repeat(16, 0).repeat(16, 1).astype(np.uint8)
            image = np.stack([mask * 20, 255 - mask * 20, mask * 10], axis=-1)
            assert cv2.imwrite(str(root / split / f"{index:03d}.jpg"), image)
            assert cv2.imwrite(str(root / f"{split}annot" / f"{index:03d}.png"), mask)
    return root


@pytest.fixture(scope="module")
def camvid(tmp_path_factory) -> Path:
    return draw_camvid(tmp_path_factory.mktemp("gpu") / "camvid")


def measure(camvid: Path, output: Path, *flags: str) -> tuple[dict, str]:
    """The file, and the table, of a small benchmark on the CPU."""
    done = run("-m benchmarks.gpu", camvid, "-o", output, "--device", "cpu", "--tiny", *flags)
    assert done.returncode == 0, done.stderr
    return json.loads(output.read_text(encoding="utf-8")), done.stdout


def test_every_network_is_measured_in_every_way(camvid: Path, tmp_path: Path) -> None:
    report, table = measure(camvid, tmp_path / "out.json", "--settings", *MEASURED, COMPILED)
    networks = report["options"]["networks"]
    assert [name.split("/")[0] for name in networks] == ["Unet", "DeepLabV3Plus", "Segformer", "EoMT"]
    rows = {(row["what"], row["network"], row["settings"]): row for row in report["rows"]}
    assert len(rows) == len(report["rows"])
    for network in networks:
        for settings in MEASURED:
            bare, fit = (rows[what, network, settings] for what in ("bare step", "fit"))
            assert bare["images_per_second"] > 0 and bare["ratio"] is None
            assert fit["ratio"] == pytest.approx(fit["images_per_second"] / bare["images_per_second"])
        forward, whole, tiled = (rows[what, network, "bf16+channels_last"] for what in ("forward", "whole", "tiled"))
        assert whole["ratio"] == pytest.approx(whole["images_per_second"] / forward["images_per_second"])
        assert (forward["height_width"], tiled["height_width"]) == ([96, 128], [96, 96])
        assert tiled["ratio"] == pytest.approx(0.75 * tiled["images_per_second"] / forward["images_per_second"])
        for what in ("bare step", "fit"):
            assert rows[what, network, COMPILED]["reason"] == "skipped: --tiny compiles nothing"
    counts = Counter(row["what"] for row in report["rows"])
    assert (counts["bare step"], counts["fit"]) == (12, 12)
    assert counts["forward"] == counts["whole"] == counts["tiled"] == 4
    for runtime in ("ONNX Runtime", "TensorRT"):
        first, *others = (row for row in report["rows"] if row["what"] == runtime)
        assert first["ratio"] > 0 if not first["reason"] else first["reason"].startswith(("not installed", "skipped"))
        assert {row["reason"] for row in others} <= {"skipped: --tiny exports one network"}
    assert all(("images_per_second" in row) == (not row["reason"]) for row in report["rows"])
    assert not [row for row in report["rows"] if row["reason"].startswith("failed")], table
    assert report["environment"]["torch"] and report["environment"]["gpu"] is None
    assert table.count("\nfit ") == 8 and table.count("\nbare step, fit ") == 4


def test_what_comes_too_late_is_a_row(camvid: Path, tmp_path: Path) -> None:
    report, table = measure(camvid, tmp_path / "out.json", "--minutes", "0", "--settings", "none")
    late = [row for row in report["rows"] if row["reason"] == "skipped: too little is left of the 0 minutes"]
    assert Counter(row["what"] for row in late if row["what"] != "ONNX Runtime") == dict.fromkeys(
        ("bare step", "fit", "forward", "whole", "tiled"), 4
    )
    assert not [row for row in report["rows"] if not row["reason"]]
    assert "\nforward, whole, tiled Segformer/" in table


def test_a_failure_is_a_row(tmp_path: Path) -> None:
    def fail(*_: object) -> dict:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")

    bench = Bench(Namespace(rounds=1), torch.device("cpu"), tmp_path, iter(()), 0, np.zeros((8, 8, 3), np.uint8))
    rows = run_job(bench, Job(("bare step", "fit"), "Unet/resnet34", "none", fail))
    assert [row["what"] for row in rows] == ["bare step", "fit"]
    told = "failed: OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"
    assert {row["reason"] for row in rows} == {told} and show(rows).endswith(told)
