import os
import threading
import time
import warnings
from _thread import interrupt_main
from argparse import Namespace

import numpy as np
import pytest
import torch
from PIL import Image

from segtrain.__main__ import main as segtrain
from segtrain.command import run_command
from segtrain.commands.predict import pipeline
from segtrain.commands.predict.result import encode_jpeg
from segtrain.errors import DataError
from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from tests.bad_input import assert_one_line
from tests.commands.predict.predicting import names_in, run, small_disk
from tests.painted import COLORS, LAYERS, TASK, Painted, paint, painted, random_classes, read

DEFAULT_FILES = (".png", "_color.png", "_overlay.jpg")


@pytest.mark.parametrize(
    ("files", "kinds", "clash"),
    [
        (("2.jpg", "2.png"), None, "2.png"),
        (("2.jpg", "2.png"), ("geojson",), "2.geojson"),
        (("a.png", "a_color.png"), None, "a_color.png"),
        (("a.avi", "a.mp4"), None, "a_overlay.mp4"),
    ],
)
def test_two_images_that_would_write_one_file(tmp_path, files, kinds, clash):
    for name in files:
        paint(tmp_path / "in" / f"{name}.png", [[0]])
        (tmp_path / "in" / f"{name}.png").rename(tmp_path / "in" / name)
    with pytest.raises(DataError) as error:
        run(tmp_path / "in", tmp_path / "out", kinds=kinds)
    one, other = (tmp_path / "in" / name for name in files)
    assert (
        str(error.value)
        == f"{one} and {other} would both be written to {tmp_path / 'out' / clash}; use a separate -o for each"
    )
    assert not (tmp_path / "out").exists()


def test_names_that_only_look_alike_are_no_clash(tmp_path):
    for name in ("a.png", "a_color.png"):
        paint(tmp_path / "in" / name, [[0]])
    assert run(tmp_path / "in", tmp_path / "out", kinds=["index"]).status == 0
    assert names_in(tmp_path / "out") == ["a.png", "a_color.png", "manifest.csv"]


def test_three_files_for_each_image_at_its_own_size(tmp_path):
    classes = {"a": random_classes(0, 20, 30), "sub/b.c": random_classes(1, 41, 17), "d": random_classes(2, 33, 64)}
    suffixes = {"a": ".png", "sub/b.c": ".webp", "d": ".bmp"}
    images = {}
    for name, red in classes.items():
        path = tmp_path / "in" / f"{name}{suffixes[name]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        images[name] = np.dstack([red, red * 20, 255 - red])
        Image.fromarray(images[name]).save(path, lossless=True)
    out = tmp_path / "out"
    report = run(tmp_path / "in", out)
    assert (report.images, report.frames, report.failures, report.notes, report.status) == (3, 0, [], [], 0)
    expected = [f"{name}{end}" for name in classes for end in DEFAULT_FILES]
    assert names_in(out) == sorted([*expected, "manifest.csv"])
    for name, red in classes.items():
        index, color, overlay = (Image.open(out / f"{name}{end}") for end in DEFAULT_FILES)
        assert index.mode == "L" and np.array_equal(np.asarray(index), red)
        painted_by_hand = np.array(COLORS, np.uint8)[red]
        assert color.mode == "P" and np.array_equal(np.asarray(color.convert("RGB")), painted_by_hand)
        assert overlay.format == "JPEG" and np.asarray(overlay).shape == (*red.shape, 3)
        by_hand = np.rint(0.4 * images[name] + 0.6 * painted_by_hand).astype(np.uint8)
        assert (out / f"{name}_overlay.jpg").read_bytes() == encode_jpeg(by_hand)


def test_an_empty_output_is_not_the_current_folder(capsys):
    with pytest.raises(SystemExit):
        segtrain(["predict", "runs/a", "images", "-o", ""], prog="predict.py")
    assert capsys.readouterr().err.endswith("argument -o/--output: is empty; give a file or folder to write to\n")


def test_images_of_one_size_that_follow_one_another_go_together(tmp_path):
    for place, width in enumerate([30, 30, 30, 12, 30]):
        paint(tmp_path / "in" / f"{place}.png", random_classes(place, 20, width))
    predictor = painted(batch_size=2)
    assert run(tmp_path / "in", tmp_path / "out", predictor, kinds=["index"]).images == 5
    assert predictor.networks[0].shapes == [(2, 3, 20, 30), (1, 3, 20, 30), (1, 3, 20, 12), (1, 3, 20, 30)]
    for place, width in enumerate([30, 30, 30, 12, 30]):
        assert np.array_equal(read(tmp_path / "out" / f"{place}.png"), random_classes(place, 20, width))


@pytest.mark.parametrize(("name", "value"), [("IN_FLIGHT_BYTES", 1), ("AHEAD_IMAGES", 1), ("BATCH_BYTES", 1)])
def test_little_memory_changes_nothing_but_the_speed(tmp_path, monkeypatch, name, value):
    monkeypatch.setattr(pipeline, name, value)
    for place in range(7):
        paint(tmp_path / "in" / f"{place}.png", random_classes(place))
    assert run(tmp_path / "in", tmp_path / "out").images == 7
    for place in range(7):
        assert np.array_equal(read(tmp_path / "out" / f"{place}.png"), random_classes(place))


def test_tiles_and_whole_images_give_the_same_files(tmp_path):
    paint(tmp_path / "in" / "a.png", random_classes(0, 70, 90))
    for out, options in (("whole", {}), ("tiles", {"tile_px": 32})):
        run(tmp_path / "in", tmp_path / out, painted(**options), kinds=["index", "npz"])
        assert np.array_equal(read(tmp_path / out / "a.png"), random_classes(0, 70, 90))
    whole, tiles = (np.load(tmp_path / out / "a.npz")["probabilities"] for out in ("whole", "tiles"))
    assert np.allclose(whole, tiles, atol=1e-3)


def test_the_manifest_says_what_was_written(tmp_path):
    paint(tmp_path / "in" / "b" / "a.png", [[0, 0, 1, 2], [0, 0, 1, 1]])
    (tmp_path / "in" / "none.jpg").write_text("no picture")
    out = tmp_path / "out"
    run(tmp_path / "in", out, kinds=["index", "overlay"])
    assert (out / "manifest.csv").read_text() == (
        "image,width,height,files,error,share_sky,share_road,share_car\n"
        f"{tmp_path}/in/b/a.png,4,2,b/a.png;b/a_overlay.jpg,,0.5,0.375,0.125\n"
        f"{tmp_path}/in/none.jpg,,,,{tmp_path}/in/none.jpg: is not an image of a supported type; is the file "
        f"complete?,,,\n"
    )


def test_shares_of_classes_that_overlap(tmp_path):
    paint(tmp_path / "in" / "a.png", [[255, 255], [0, 255]], [[255, 0], [0, 0]], [[0, 0], [0, 0]])
    run(tmp_path / "in", tmp_path / "out", painted(LAYERS), kinds=["color"])
    rows = (tmp_path / "out" / "manifest.csv").read_text().splitlines()
    assert rows[0] == "image,width,height,files,error,share_wet,share_road/lane,share_car"
    assert rows[1].endswith(",2,2,a_color.png,,0.75,0.25,0")


def test_failures_are_skipped_and_told(tmp_path):
    for name in "abc":
        paint(tmp_path / "in" / f"{name}.png", random_classes(0))
    broken = tmp_path / "in" / "b.png"
    broken.write_bytes(broken.read_bytes()[:60])
    (tmp_path / "in" / "d.jpg").write_text("no picture")
    report = run(tmp_path / "in", tmp_path / "out")
    first, second = report.failures
    assert first == f"{broken}: cannot be read as an image: image file is truncated; is the file complete?"
    assert second == f"{tmp_path}/in/d.jpg: is not an image of a supported type; is the file complete?"
    assert report.images == 2 and report.status == 1
    assert names_in(tmp_path / "out") == sorted(
        [f"{name}{end}" for name in "ac" for end in DEFAULT_FILES] + ["manifest.csv"]
    )


def test_nothing_but_failures(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "d.jpg").write_text("no picture")
    report = run(tmp_path / "in", tmp_path / "out")
    assert (
        report.status == 2
        and report.summary(tmp_path, 1.0) == f"no images predicted, written to {tmp_path} (0.0 images/s)"
    )
    assert names_in(tmp_path / "out") == ["manifest.csv"]


def test_warnings_of_pillow_are_nobodys_business(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)  # it warns from here on, and refuses twice as many
    before = list(warnings.filters)  # of pytest: a warning is an error
    for place in range(40):
        paint(tmp_path / "in" / f"{place}.png", random_classes(place))
    report = run(tmp_path / "in", tmp_path / "out", kinds=["index"])
    assert (report.images, report.failures) == (40, [])
    assert warnings.filters == before


def test_an_image_that_memory_cannot_hold_is_not_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "SAFE_PX", 32 * 32)
    monkeypatch.setattr(pipeline, "LEAST_CHANNELS", 2**40)
    paint(tmp_path / "in" / "a.png", np.tile(random_classes(0), (2, 1)))  # counts as 64 x 32, to which it is padded
    paint(tmp_path / "in" / "b.png", [[1]])
    report = run(tmp_path / "in", tmp_path / "out")
    pattern = (
        rf"{tmp_path}/in/a.png: 30 x 40 pixels need at least 8388608.0 GiB of memory, but \d+\.\d [GM]iB are free; "
        "write --tile 512"
    )
    assert_one_line(report.failures[0], pattern)
    assert report.images == 1
    assert run(tmp_path / "in", tmp_path / "tiles", painted(tile_px=16)).images == 2


class Failing(Painted):
    """Raises `error` for batches of more than `most` images, and for images of more than 40 pixels in width."""

    def __init__(self, error: BaseException, most: int):
        super().__init__(TASK)
        self.error = error
        self.most = most

    def probabilities(self, images):
        if len(images) > self.most or images.shape[3] > 40:
            raise self.error
        return super().probabilities(images)


NO_MEMORY = RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: 8 bytes")


@pytest.mark.parametrize("error", [NO_MEMORY, MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
@pytest.mark.parametrize(("tile_px", "remedy"), [(None, "--tile 512"), (64, "a smaller --tile or --batch-size")])
def test_where_memory_ends_images_are_computed_alone(tmp_path, error, tile_px, remedy):
    for place in range(3):
        paint(tmp_path / "in" / f"{place}.png", random_classes(place))
    paint(tmp_path / "in" / "wide.png", random_classes(0, 20, 50))
    predictor = Predictor([Failing(error, most=1)], InferOptions(tile_px=tile_px))
    report = run(tmp_path / "in", tmp_path / "out", predictor, kinds=["index"])
    assert report.images == 3
    expected = f"{tmp_path}/in/wide.png: there is not enough memory to predict 50 x 20 pixels; write {remedy}"
    assert report.failures == [expected]


def test_an_error_in_a_thread_ends_the_whole(tmp_path):
    for place in range(40):
        paint(tmp_path / "in" / f"{place}.png", random_classes(place))
    (tmp_path / "out" / "1.png").mkdir(parents=True)
    (tmp_path / "out" / "manifest.csv").write_text("image,width,height,files,error\n")
    with pytest.raises(DataError) as error:
        run(tmp_path / "in", tmp_path / "out", kinds=["index", "coco"])
    assert str(error.value) == f"{tmp_path}/out/1.png: cannot be written: Is a directory"
    assert not [name for name in names_in(tmp_path / "out") if name.startswith(".") or name == "coco.json"]


def test_an_error_of_the_network_ends_the_whole(tmp_path):
    paint(tmp_path / "in" / "a.png", random_classes(0, 20, 50))
    with pytest.raises(RuntimeError, match="shapes do not go together"):
        predictor = Predictor([Failing(RuntimeError("shapes do not go together"), most=9)])
        run(tmp_path / "in", tmp_path / "out", predictor)


def test_a_full_disk(tmp_path):
    noise = np.random.default_rng(0).integers(0, 3, (160, 160))
    for name in ("a", "b", "c"):
        paint(tmp_path / "in" / f"{name}.png", noise)
    with small_disk(4096):
        with pytest.raises(DataError) as error:
            run(tmp_path / "in", tmp_path / "out", kinds=["index"])
        with pytest.raises(DataError) as table:
            run(tmp_path / "in", tmp_path / "tables", kinds=["coco"])
    assert str(error.value) == f"{tmp_path}/out/a.png: cannot be written: File too large"
    assert str(table.value) == f"{tmp_path}/tables/coco.json: cannot be written: File too large"
    assert not [name for name in names_in(tmp_path) if ".part" in name]


def test_an_interruption_leaves_whole_files_and_says_which(tmp_path):
    for place in range(30):
        paint(tmp_path / "in" / f"{place:02d}.png", random_classes(place))

    class Interrupted(Painted):
        def probabilities(self, images):
            if len(self.shapes) == 8:
                while not (tmp_path / "out" / "03.png").exists():
                    time.sleep(0.01)
                interrupt_main()  # as SIGINT does
            return super().probabilities(images)

    predictor = Predictor([Interrupted(TASK)], InferOptions(batch_size=1))
    options = Namespace(call=lambda: run(tmp_path / "in", tmp_path / "out", predictor, kinds=["index", "coco", "rle"]))
    assert run_command(lambda options: options.call(), options) == 130
    *pictures, manifest = sorted(names_in(tmp_path / "out"))
    assert manifest == "manifest.csv" and "03.png" in pictures and len(pictures) < 10  # no coco.json, no rle.csv
    for name in pictures:
        assert np.array_equal(read(tmp_path / "out" / name), random_classes(int(name[:2])))
    rows = (tmp_path / "out" / "manifest.csv").read_text().splitlines()[1:]
    assert [row.split(",")[3] for row in rows if "was stopped" not in row] == pictures and len(rows) == 30


def test_threads_step_back_only_where_the_network_needs_the_cores():
    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    for device, lower in (("cpu", pipeline.NICE), ("cuda", 0)):
        with pipeline.helping_threads(2, torch.device(device)) as threads:
            assert threads.submit(priority).result() == min(priority() + lower, 19)
    assert priority() == os.nice(0)
