from _thread import interrupt_main
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segtrain.command import run_command
from segtrain.commands.predict.job import predict_files
from segtrain.commands.predict.movies import VideoReader
from segtrain.commands.predict.outputs import Wanted
from segtrain.commands.predict.writer import Report
from segtrain.errors import DataError
from segtrain.inference.inputs import find_images
from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from tests.commands.predict.predicting import names_in, small_disk
from tests.painted import BINARY, COLORS, TASK, Painted, paint, painted, random_classes

HEIGHT, WIDTH = 48, 64


def shades(count: int) -> list[int]:
    """The red of each frame: none of two neighbors is close, so that frames can be told apart after compression."""
    return [20 + 180 * (place % 2) + 2 * place % 40 for place in range(count)]


def write_video(path: Path, count: int, *, fps: float = 12.5, code: str = "mp4v", noise: bool = False) -> Path:
    """A video of 64 x 48 pixels; its frames are of one color, or noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), fps, (WIDTH, HEIGHT))
    rng = np.random.default_rng(0)
    for shade in shades(count):
        frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        frame[..., 2] = shade  # BGR
        writer.write(rng.integers(0, 256, frame.shape, dtype=np.uint8) if noise else frame)
    writer.release()
    return path


def read_video(path: Path) -> tuple[float, list[np.ndarray]]:
    """Frames a second, and the frames in RGB."""
    capture = cv2.VideoCapture(str(path))
    fps, frames = capture.get(cv2.CAP_PROP_FPS), []
    while (item := capture.read())[0]:
        frames.append(item[1][..., ::-1])
    capture.release()
    return fps, frames


def run(*inputs: Path, predictor: Predictor | None = None, **options) -> tuple[Report, Path]:
    out = inputs[0].parent / "out"
    images = find_images([str(item) for item in inputs], output=out)
    return predict_files(predictor or painted(BINARY), images, out, Wanted(**options)), out


@pytest.mark.parametrize(("name", "code"), [("clip.mp4", "mp4v"), ("clip.avi", "MJPG")])
def test_a_video_becomes_an_overlay_of_the_same_speed_and_size(tmp_path, name, code):
    path = write_video(tmp_path / name, 9, code=code)
    report, out = run(path)
    assert (report.images, report.frames, report.failures, report.status) == (0, 9, [], 0)
    assert report.summary(out, 900.0).endswith("(100 s per image)")
    assert report.summary(out, 2.0) == f"9 frames predicted, written to {out} (4.5 images/s)"
    assert names_in(out) == ["clip_overlay.mp4", "manifest.csv"]
    fps, frames = read_video(out / "clip_overlay.mp4")
    assert fps == 12.5 and len(frames) == 9 and frames[0].shape == (HEIGHT, WIDTH, 3)
    for frame, shade in zip(frames, shades(9), strict=True):
        expected = 0.4 * np.array([shade, 0, 0]) + 0.6 * np.array(COLORS[int(shade > 127)])
        assert np.abs(frame.mean((0, 1)) - expected).max() < 12  # it was compressed twice


def test_the_manifest_has_a_row_for_a_video(tmp_path):
    path = write_video(tmp_path / "clip.mp4", 8)
    _, out = run(path)
    header = "image,width,height,files,error,share_background,share_road\n"
    assert (out / "manifest.csv").read_text() == f"{header}{path},64,48,clip_overlay.mp4,,0.5,0.5\n"


def test_frames_are_written_where_that_is_asked_for(tmp_path):
    path = write_video(tmp_path / "clip.mp4", 3)
    report, out = run(path, kinds=["index", "geojson", "npz"])
    assert report.frames == 3
    files = [f"clip/00000{place}.{kind}" for place in range(3) for kind in ("geojson", "npz", "png")]
    assert names_in(out) == sorted([*files, "clip_overlay.mp4", "manifest.csv"])
    for place, shade in enumerate(shades(3)):
        assert (np.asarray(Image.open(out / f"clip/00000{place}.png")) == (shade > 127)).all()
    rows = (out / "manifest.csv").read_text().splitlines()[1:]
    assert [row.split(",")[3] for row in rows] == [
        *(f"clip/00000{place}.png;clip/00000{place}.geojson;clip/00000{place}.npz" for place in range(3)),
        "clip_overlay.mp4",
    ]


def test_images_and_videos_go_together(tmp_path):
    write_video(tmp_path / "in" / "clip.mp4", 2)
    paint(tmp_path / "in" / "a.png", random_classes(0))
    report, out = run(tmp_path / "in")
    assert (report.images, report.frames) == (1, 2)
    assert report.summary(out, 1.0) == f"1 image and 2 frames predicted, written to {out} (3.0 images/s)"
    assert names_in(out) == ["a.png", "a_color.png", "a_overlay.jpg", "clip_overlay.mp4", "manifest.csv"]


def test_a_folder_of_frames_becomes_a_video(tmp_path):
    for place in (10, 9, 1):  # in the order of their numbers, not of their letters
        paint(tmp_path / "walk" / f"frame{place}.png", np.full((HEIGHT, WIDTH), place % 3))
    paint(tmp_path / "walk" / "more" / "x.png", np.full((32, 32), 2))
    report, out = run(tmp_path / "walk", predictor=painted(TASK), fps=5.0)
    assert (report.images, report.frames, report.failures) == (0, 4, [])
    assert names_in(out) == ["manifest.csv", "more_overlay.mp4", "walk_overlay.mp4"]
    fps, frames = read_video(out / "walk_overlay.mp4")
    assert fps == 5 and [frame.shape for frame in frames] == 3 * [(HEIGHT, WIDTH, 3)]
    for frame, place in zip(frames, (1, 9, 10), strict=True):
        assert np.abs(frame.mean((0, 1)) - 0.6 * np.array(COLORS[place % 3])).max() < 12


def test_a_folder_of_frames_can_be_submitted(tmp_path):
    for place in range(2):
        paint(tmp_path / "walk" / f"{place}.png", np.full((HEIGHT, WIDTH), 255 * place))
    (tmp_path / "sample.csv").write_text("id,rle\n1,\n0,\n")
    _, out = run(tmp_path / "walk", fps=5.0, sample=tmp_path / "sample.csv")
    assert names_in(out) == ["manifest.csv", "rle.csv", "walk_overlay.mp4"]
    assert (out / "rle.csv").read_text() == f"id,rle\n1,1 {HEIGHT * WIDTH}\n0,\n"


def test_frames_that_would_write_one_file(tmp_path):
    for suffix in ("png", "bmp"):
        paint(tmp_path / "walk" / f"0.{suffix}", np.zeros((HEIGHT, WIDTH)))
    with pytest.raises(DataError) as error:
        run(tmp_path / "walk", fps=5.0, kinds=["index"])
    first, second = (tmp_path / "walk" / name for name in ("0.bmp", "0.png"))
    assert (
        str(error.value)
        == f"{first} and {second} would both be written to {tmp_path}/out/0.png; use a separate -o for each"
    )
    assert run(tmp_path / "walk", fps=5.0)[0].frames == 2


def test_frames_that_do_not_go_into_the_video_are_left_out(tmp_path):
    for place, width in enumerate([WIDTH, WIDTH + 2, WIDTH]):
        paint(tmp_path / "walk" / f"{place}.png", np.full((HEIGHT, width), place))
    (tmp_path / "walk" / "3.png").write_text("no picture")
    report, out = run(tmp_path / "walk", predictor=painted(TASK), fps=5.0)
    assert report.failures == [
        f"{tmp_path}/walk/1.png: is 66 x 48 pixels, but the video is 64 x 48; resize it to that size",
        f"{tmp_path}/walk/3.png: is not an image of a supported type; is the file complete?",
    ]
    assert report.frames == 2 and report.status == 1
    assert len(read_video(out / "walk_overlay.mp4")[1]) == 2


def test_a_folder_without_a_readable_frame(tmp_path):
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk" / "0.png").write_text("no picture")
    report, out = run(tmp_path / "walk", fps=5.0)
    assert report.status == 2 and names_in(out) == ["manifest.csv"]


def test_of_odd_sides_a_row_and_a_column_are_left_out(tmp_path):
    for place in range(2):
        paint(tmp_path / "walk" / f"{place}.png", np.zeros((33, 47)))
    report, out = run(tmp_path / "walk", fps=5.0)
    assert report.failures == []
    assert [frame.shape for frame in read_video(out / "walk_overlay.mp4")[1]] == 2 * [(32, 46, 3)]


def test_what_was_read_of_a_video_that_ends_early_is_written(tmp_path):
    path = write_video(tmp_path / "clip.avi", 60, code="MJPG", noise=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    report, out = run(path)
    frames = report.frames
    assert 20 < frames < 40 and report.status == 1
    failure = f"{path}: ends after {frames} of 60 frames; is the file complete?"
    assert report.failures == [failure]
    assert len(read_video(out / "clip_overlay.mp4")[1]) == frames
    assert f",clip_overlay.mp4,{failure}," in (out / "manifest.csv").read_text()


@pytest.mark.parametrize("content", [b"", b"garbage" * 100, "half"])
def test_what_is_no_video_is_named(tmp_path, content, capfd):
    path = write_video(tmp_path / "clip.mp4", 60, noise=True)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)  # an MP4 is nothing without its end
    report, out = run(path)
    assert report.failures == [f"{path}: cannot be read as a video; is the file complete?"]
    assert report.status == 2 and names_in(out) == ["manifest.csv"]
    assert capfd.readouterr().err == ""  # FFmpeg says nothing of its own


@pytest.mark.parametrize("change", [{"channels": 5}, {"scale": 65535}, {"bands": [3, 2, 1]}])
def test_a_model_that_takes_no_pictures(tmp_path, change):
    path = write_video(tmp_path / "clip.mp4", 2)
    report, _ = run(path, predictor=painted(BINARY.model_copy(update=change)))
    expected = "this model needs other images than a video has, which are RGB in 8 bits"
    assert report.failures == [f"{path}: {expected}"]


def test_frames_are_what_the_model_takes(tmp_path):
    path = write_video(tmp_path / "clip.mp4", 2)
    color, gray, scaled = (
        next(VideoReader(path, BINARY.model_copy(update=change)).sources(Path("clip"))).read()
        for change in ({}, {"channels": 1}, {"scale": 255.0})
    )
    assert np.array_equal(gray, np.asarray(Image.fromarray(color).convert("L"))[..., None])
    assert scaled.dtype == np.float32 and np.array_equal(scaled, color.astype(np.float32) / np.float32(255))


def test_a_video_that_cannot_be_written(tmp_path, capsys):
    path = write_video(tmp_path / "clip.mp4", 2)
    (tmp_path / "out" / "clip_overlay.mp4").mkdir(parents=True)
    (tmp_path / "out" / "manifest.csv").write_text("image,width,height,files,error\n")
    options = Namespace(call=lambda: run(path))
    assert run_command(lambda options: options.call(), options) == 2
    printed = capsys.readouterr()
    assert printed.err == f"{tmp_path}/out/clip_overlay.mp4: cannot be written: Is a directory\n"
    assert names_in(tmp_path / "out") == ["manifest.csv"]


def test_a_full_disk(tmp_path):
    path = write_video(tmp_path / "clip.avi", 60, code="MJPG", noise=True)
    with small_disk(2**15), pytest.raises(DataError) as error:
        run(path)
    assert str(error.value) == f"{tmp_path}/out/clip_overlay.mp4: could not be written completely; is the disk full?"
    assert names_in(tmp_path / "out") == ["manifest.csv"]


def test_an_interruption_leaves_no_half_video(tmp_path):
    class Interrupted(Painted):
        def probabilities(self, images):
            if len(self.shapes) == 5:
                interrupt_main()  # as SIGINT does
            return super().probabilities(images)

    path = write_video(tmp_path / "clip.mp4", 40)
    predictor = Predictor([Interrupted(BINARY)], InferOptions(batch_size=2))
    options = Namespace(call=lambda: run(path, predictor=predictor))
    assert run_command(lambda options: options.call(), options) == 130
    assert names_in(tmp_path / "out") == ["manifest.csv"]


def test_frames_are_ranked_by_their_names(tmp_path):
    path = write_video(tmp_path / "clip.mp4", 4)  # reds of about 20, 202, 24 and 206: 202 is closest to 127.5
    report, out = run(path, ranked=True)
    assert report.frames == 4 and names_in(out) == ["clip_overlay.mp4", "manifest.csv", "rank.csv", "rank.jpg"]
    rows = [line.split(",")[:2] for line in (out / "rank.csv").read_text().splitlines()]
    assert rows[:2] == [["rank", "image"], ["1", "clip/000001"]]
    assert sorted(image for _, image in rows[1:]) == [f"clip/00000{index}" for index in range(4)]
