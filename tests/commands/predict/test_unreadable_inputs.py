import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from segtrain.commands.predict import raster
from segtrain.commands.predict.pipeline import image_source, predict_stream
from segtrain.commands.predict.writer import Report
from segtrain.errors import DataError
from segtrain.images.reading import read_image
from segtrain.inference.predictor import Predictor
from segtrain.inference.task import Task
from tests.bad_input import assert_one_line
from tests.commands.predict import predicting
from tests.painted import TASK, Painted, paint, painted, random_classes

RED = random_classes(0)
IMAGE = np.dstack([RED, np.full_like(RED, 90), np.full_like(RED, 200)])
NOISE = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)


def run(folder: Path, task: Task = TASK, *, kinds: tuple[str, ...] = ("index",)) -> tuple[Report, Path]:
    out = folder / "out"
    return predicting.run(folder / "in", out, painted(task), kinds=kinds), out


def png_of(width: int, height: int, content: bytes) -> bytes:
    """A gray PNG with this header and these bytes of pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packed = chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + packed


def save(path: Path, kind: str) -> None:
    path.parent.mkdir(exist_ok=True)
    picture = Image.fromarray(IMAGE)
    match kind:
        case "alpha":
            picture.putalpha(7)
            picture.save(path)
        case "palette" | "CMYK" | "L" | "LA" | "1":
            picture.convert({"palette": "P"}.get(kind, kind)).save(path)
        case "turned":
            picture.transpose(Image.Transpose.ROTATE_90).save(path, exif=_exif(6))


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif


KINDS = ["a.png alpha", "a.tif alpha", "a.png turned", "a.tif CMYK", "a.jpg CMYK", "a.png L", "a.png LA", "a.png 1"]


@pytest.mark.parametrize("case", [*KINDS, "a.gif palette"])
def test_pictures_of_every_mode_are_read_as_rgb(tmp_path, case):
    name, _, kind = case.partition(" ")
    path = tmp_path / "in" / name
    save(path, kind)
    report, out = run(tmp_path)
    assert (report.failures, report.notes, report.images) == ([], [], 1)
    index = np.asarray(Image.open(out / "a.png"))
    assert np.array_equal(index, painted().predict(read_image(path))) and index.shape == (20, 30)


def test_opacity_is_left_out_and_orientation_is_followed(tmp_path):
    save(tmp_path / "in" / "alpha.png", "alpha")
    save(tmp_path / "in" / "turned.png", "turned")
    _, out = run(tmp_path)
    for name in ("alpha", "turned"):
        assert np.array_equal(np.asarray(Image.open(out / f"{name}.png")), RED)


def frames(path: Path, **options) -> None:
    first, *others = (Image.fromarray(np.full((20, 30, 3), value, np.uint8)) for value in (1, 2, 0))
    path.parent.mkdir(exist_ok=True)
    first.save(path, save_all=True, append_images=others, **options)


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_of_an_animation_the_first_frame_is_predicted_with_a_note(tmp_path, name):
    path = tmp_path / "in" / name
    frames(path, **({"lossless": True} if name == "a.webp" else {}))
    report, out = run(tmp_path)
    assert report.notes == [f"{path}: contains 3 images, of which the first is predicted; save them as separate files"]
    assert report.status == 0
    assert (np.asarray(Image.open(out / "a.png")) == 1).all()


def test_of_pages_the_first_is_predicted_with_a_note(tmp_path):
    path = tmp_path / "in" / "a.tif"
    path.parent.mkdir()
    pages = [np.full((20, 30), value, np.uint8) for value in (1, 2, 0)]
    tifffile.imwrite(path, np.stack(pages), photometric="minisblack")
    report, out = run(tmp_path)
    assert report.notes == [f"{path}: contains 3 images, of which the first is predicted; save them as separate files"]
    assert (np.asarray(Image.open(out / "a.png")) == 1).all()


def test_overviews_and_other_bands_are_no_further_pictures(tmp_path):
    path = tmp_path / "in" / "overviews.tif"
    path.parent.mkdir()
    with tifffile.TiffWriter(path) as file:
        file.write(IMAGE, photometric="rgb")
        file.write(IMAGE[::2, ::2], photometric="rgb", subfiletype=1)
    report, out = run(tmp_path)
    assert (report.notes, report.failures) == ([], [])
    assert np.array_equal(np.asarray(Image.open(out / "overviews.png")), RED)
    path.unlink()
    bands = np.stack([IMAGE[..., place % 3] for place in range(5)])
    tifffile.imwrite(path.with_name("bands.tif"), bands, photometric="minisblack")
    report, _ = run(tmp_path, TASK.model_copy(update={"channels": 5}))
    assert (report.notes, report.failures) == ([], [])


def broken(path: Path, kind: str) -> None:
    deep = np.arange(600, dtype=np.uint16).reshape(20, 30)
    match kind:
        case "empty":
            path.touch()
        case "text":
            path.write_text("hello")
        case "truncated":
            Image.fromarray(NOISE).save(path)
            path.write_bytes(path.read_bytes()[:6000])
        case "bomb":
            path.write_bytes(png_of(100_000, 100_000, b""))
        case "wide":
            path.write_bytes(png_of(100_000, 20, b"\0" * 99))
        case "no width":
            path.write_bytes(png_of(0, 5, b""))
        case "deep":
            path.write_bytes(imagecodecs.png_encode(deep))
        case "deep rgb":
            path.write_bytes(imagecodecs.png_encode(np.dstack([deep] * 3)))
        case "no rows":
            np.save(path, np.zeros((0, 4, 3), np.uint8))
        case "channels":
            np.save(path, np.zeros((4, 4, 5), np.uint8))
        case "floats":
            np.save(path, np.full((4, 4, 3), 0.5, np.float32))


NO_IMAGE = "is not an image of a supported type; is the file complete?"
CUT = "cannot be read as an image: image file is truncated"
SCALE = "write data.scale: {0}, the value that means white ({0} is a guess from that range), and train with it"
DEEP = f"has uint16 values from 0 to 599; {SCALE.format(1023)}"
LIMIT = (
    "exceeds limit of 178956970 pixels, could be decompression bomb DOS attack; save it as a tiled TIFF, which "
    "predict.py reads in rows and training reads in windows with data.tile"
)
BROKEN = {
    "a.png empty": NO_IMAGE,
    "a.jpg text": NO_IMAGE,
    "a.png truncated": f"{CUT}; is the file complete?",
    "a.png bomb": f"Image size (10000000000 pixels) {LIMIT}",
    "a.png wide": f"{CUT} (0 bytes not processed); is the file complete?",
    "a.png no width": NO_IMAGE,
    "a.png deep": DEEP,
    "a.png deep rgb": DEEP,
    "a.npy no rows": "expected an image of HWC numbers, not uint8 of shape (0, 4, 3)",
    "a.npy channels": "has 5 channels, but data.channels is 3; data.bands: [1, 2, 3] selects the first",
    "a.npy floats": f"has float32 values from 0.5 to 0.5; {SCALE.format(1)}",
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_image_that_cannot_be_read_is_named_and_skipped(tmp_path, case):
    name, _, kind = case.partition(" ")
    paint(tmp_path / "in" / "z.png", RED)
    broken(tmp_path / "in" / name, kind)
    report, out = run(tmp_path)
    assert report.failures == [f"{tmp_path}/in/{name}: {BROKEN[case]}"]
    assert report.images == 1 and report.status == 1
    assert np.array_equal(np.asarray(Image.open(out / "z.png")), RED)


def test_a_jpeg_that_ends_too_early(tmp_path):
    paint(tmp_path / "in" / "z.png", RED)
    broken(tmp_path / "in" / "a.jpg", "truncated")
    report, _ = run(tmp_path)
    (failure,) = report.failures
    assert_one_line(failure, rf"{tmp_path}/in/a.jpg: {CUT} \(\d+ bytes not processed\); is the file complete\?")


def test_a_transform_that_refuses_an_image(tmp_path):
    task = TASK.model_copy(update={"channels": 5, "transforms": ["ToGray"]})
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "a.npy", np.zeros((4, 4, 5), np.uint8))
    report, _ = run(tmp_path, task)
    (failure,) = report.failures
    assert failure.startswith(f"{tmp_path}/in/a.npy: transforms.val: ")


def test_a_large_tiff_is_written_in_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(raster, "LARGE_PX", 20 * 30 - 1)
    monkeypatch.setattr(raster, "TILE_PX", 16)
    paint(tmp_path / "in" / "big.tif", RED)
    paint(tmp_path / "in" / "small.tif", [[1, 2]])
    report, out = run(tmp_path, kinds=["index", "overlay", "coco"])
    path = tmp_path / "in" / "big.tif"
    assert report.notes == [
        f"{path}: is large, so it is predicted in tiles, as with --tile 16",
        f"{path}: is too large for coco; see big.tif for its classes",
    ]
    assert report.images == 2 and not report.failures
    written = ["big.tif", "big_overlay.jpg", "coco.json", "manifest.csv", "small.png", "small_overlay.jpg"]
    assert sorted(item.name for item in out.iterdir()) == written
    assert np.array_equal(tifffile.imread(out / "big.tif"), RED)
    shares = (np.bincount(RED.ravel()) / RED.size).tolist()
    row = ",".join([str(path), "30,20,big.tif;big_overlay.jpg,", *(f"{share:.6g}" for share in shares)])
    assert (out / "manifest.csv").read_text().splitlines()[1] == row


def test_a_large_tiff_that_cannot_be_read_in_rows_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(raster, "LARGE_PX", 20 * 30 - 1)
    path = tmp_path / "in" / "big.tif"
    path.parent.mkdir()
    colors = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(path, RED, photometric="palette", colormap=colors)
    report, _ = run(tmp_path)
    why = "is too large to be read at once, and cannot be read in rows: its colors are PALETTE; save it as RGB or gray"
    assert report.failures == [f"{path}: {why}"] and report.status == 2


def test_large_tiffs_that_would_write_one_file(tmp_path, monkeypatch):
    monkeypatch.setattr(raster, "LARGE_PX", 20 * 30 - 1)
    for name in ("big.tif", "big.tiff"):
        paint(tmp_path / "in" / name, RED)
    with pytest.raises(DataError) as error:
        run(tmp_path, kinds=["coco"])
    first, second = (tmp_path / "in" / name for name in ("big.tif", "big.tiff"))
    clash = f"{first} and {second} would both be written to {tmp_path}/out/big.tif; use a separate -o for each"
    assert str(error.value) == clash and not (tmp_path / "out").exists()


def test_a_large_tiff_that_has_to_be_seen_as_a_whole_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(raster, "LARGE_PX", 20 * 30 - 1)
    task = TASK.model_copy(update={"transforms": ["ToGray"]})
    paint(tmp_path / "in" / "big.tif", RED)
    report, _ = run(tmp_path, task)
    why = "an image that is read in strips does not support transforms.val, which contains ToGray"
    assert report.failures == [f"{tmp_path}/in/big.tif: is too large to be predicted without tiles: {why}"]
    assert report.status == 2


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_a_large_tiff_that_memory_does_not_hold_is_skipped(tmp_path, monkeypatch, error):
    monkeypatch.setattr(raster, "LARGE_PX", 20 * 30 - 1)
    paint(tmp_path / "in" / "big.tif", RED)
    paint(tmp_path / "in" / "small.png", [[1]])

    class Small(Painted):
        def probabilities(self, images):
            if images.shape[2:].numel() > 64:
                raise error
            return super().probabilities(images)

    report = predicting.run(tmp_path / "in", tmp_path / "out", Predictor([Small(TASK)]), kinds=["index"])
    reason = "there is not enough memory, even with tiles; write a smaller --tile or --batch-size"
    assert (report.images, report.failures) == (1, [f"{tmp_path}/in/big.tif: {reason}"])


def test_an_image_that_memory_does_not_hold_is_skipped(tmp_path):
    def read():
        raise MemoryError

    path = tmp_path / "a.png"
    paint(path, RED)
    source = image_source(path, Path("a"), read)
    ((_, error),) = predict_stream(painted(), [source], str, with_probabilities=False)
    assert isinstance(error, DataError)
    assert str(error) == f"{path}: there is not enough memory to read 30 x 20 pixels"


def test_links_that_lead_nowhere_are_told(tmp_path):
    paint(tmp_path / "in" / "z.png", RED)
    (tmp_path / "in" / "dangling.png").symlink_to("nowhere")
    (tmp_path / "in" / "loop.png").symlink_to("loop.png")
    report, _ = run(tmp_path)
    dangling, loop = report.failures
    assert dangling == f"{tmp_path}/in/dangling.png: does not exist"
    assert_one_line(loop, rf"{tmp_path}/in/loop.png: cannot be read as an image: .*symbolic links.*")
    assert report.images == 1
