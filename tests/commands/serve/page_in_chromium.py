"""The page of the server in a real browser: `make page`. Not among the tests that need nothing but Python."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.commands.serve.chromium import open_chromium
from tests.commands.serve.serving import Channels, serving

IMAGE = np.zeros((60, 100, 3), np.uint8)
IMAGE[..., 2] = 200
IMAGE[:30, :50] = 200, 0, 0
SHOWN = "!document.getElementById('result').hidden && document.getElementById('message').hidden"
FAILED = "document.getElementById('message').className === 'error'"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_chromium(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def page(browser, tmp_path):
    """The page of a server with a largest request of 20 kB, opened."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    browser.events.clear()
    with serving(folder, Channels(), max_bytes=20_000) as client:
        browser.client = client
        browser.url = f"http://127.0.0.1:{client.port}/"
        browser.open(browser.url)
        browser.wait("document.getElementById('about').textContent")
        yield browser
        browser.call("Page.navigate", url="about:blank")


def save(path: Path, pixels=IMAGE) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def text(page, identity: str) -> str:
    return page.run(f"document.getElementById('{identity}').textContent")


def legend(page) -> list[list[str]]:
    lines = "[...document.querySelectorAll('#legend li')]"
    parts = ".map((line) => [...line.children].map((part) => part.textContent || part.style.background))"
    return [parts[:3] for parts in page.run(lines + parts)]


def pixel(page, identity: str, x: int, y: int) -> list[int]:
    """The color of a pixel of an <img>, RGB."""
    drawn = f"context.drawImage(image, 0, 0); return [...context.getImageData({x}, {y}, 1, 1).data]"
    canvas = "const context = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext('2d')"
    return page.run(f"((image) => {{ {canvas}; {drawn} }})(document.getElementById('{identity}'))")[:3]


def test_the_page_says_what_it_is_for(page):
    assert text(page, "title") == "street-1"
    assert text(page, "about") == "3 classes: red, green, blue"
    assert text(page, "limits") == "up to 0.02 MB and 16 million pixels"
    assert page.run("document.getElementById('result').hidden && document.getElementById('message').hidden")


def test_a_dropped_image_is_shown_with_its_classes(page, tmp_path):
    page.drop_file(400, 300, save(tmp_path / "street.png"))
    page.wait(SHOWN)
    assert legend(page) == [["rgb(0, 0, 200)", "blue", "75.0 %"], ["rgb(200, 0, 0)", "red", "25.0 %"]]
    assert text(page, "heading") == "2 of 3 classes"
    assert text(page, "caption") == "street.png, 100 x 60 pixels"
    assert pixel(page, "color", 10, 10) == [200, 0, 0] and pixel(page, "color", 60, 10) == [0, 0, 200]
    assert np.abs(np.subtract(pixel(page, "image", 10, 10), IMAGE[10, 10])).max() < 10  # a JPEG
    boxes = [
        page.run(f"JSON.stringify(document.getElementById('{name}').getBoundingClientRect())")
        for name in ("image", "color")
    ]
    assert boxes[0] == boxes[1] and json.loads(boxes[0])["width"] > 300


def test_a_chosen_and_a_pasted_image(page, tmp_path):
    page.choose_file("#file", save(tmp_path / "one.png"))
    page.wait(SHOWN)
    assert text(page, "caption") == "one.png, 100 x 60 pixels"
    content = save(tmp_path / "two.png", IMAGE[:, :40]).read_bytes()
    page.run(
        f"""const files = new DataTransfer();
        files.items.add(new File([new Uint8Array({list(content)})], "two.png", {{type: "image/png"}}));
        document.body.dispatchEvent(new ClipboardEvent("paste", {{clipboardData: files, bubbles: true}}))"""
    )
    page.wait(f"{SHOWN} && document.getElementById('caption').textContent === 'two.png, 40 x 60 pixels'")
    page.choose_file("#file", tmp_path / "one.png")
    page.wait("document.getElementById('caption').textContent === 'one.png, 100 x 60 pixels'")


def test_the_slider_sets_the_opacity(page, tmp_path):
    page.drop_file(400, 300, save(tmp_path / "street.png"))
    page.wait(SHOWN)
    assert page.run("getComputedStyle(document.getElementById('color')).opacity") == "0.6"
    page.run("document.getElementById('opacity').focus()")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="Home", windowsVirtualKeyCode=36)
    page.wait("document.getElementById('percent').textContent === '0 %'")
    assert page.run("getComputedStyle(document.getElementById('color')).opacity") == "0"


def test_the_mask_is_downloaded(page, tmp_path):
    image = save(tmp_path / "street.v2.png")
    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path), eventsEnabled=True)
    page.drop_file(400, 300, image)
    page.wait(SHOWN)
    page.run("document.getElementById('download').click()")
    page.wait_for_event("Browser.downloadProgress", state="completed")
    assert (tmp_path / "street.v2_mask.png").read_bytes() == page.client.send(image.read_bytes()).body


def test_what_goes_wrong_is_said_and_the_next_image_works(page, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    page.drop_file(400, 300, tmp_path / "notes.txt")
    page.wait(FAILED)
    types = "PNG, JPEG, BMP, TIFF, GIF, WEBP, PPM, JPEG2000, AVIF, NumPy"
    assert text(page, "message") == f"notes.txt: the file is not an image of a supported type: {types}."
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    page.drop_file(400, 300, save(tmp_path / "noise.png", noise))
    page.wait("document.getElementById('message').textContent.startsWith('noise.png')")
    assert text(page, "message") == "noise.png is 0.03 MB; at most 0.02 MB are accepted."
    page.drop_file(400, 300, save(tmp_path / "street.png"))
    page.wait(SHOWN)
    assert not page.run("document.getElementById('result').classList.contains('old')")


def test_a_server_that_is_gone_is_told(browser, tmp_path):
    image = save(tmp_path / "street.png")
    (tmp_path / "uploads").mkdir()
    with serving(tmp_path / "uploads") as client:
        browser.open(f"http://127.0.0.1:{client.port}/")
        browser.wait("document.getElementById('about').textContent")
    browser.drop_file(400, 300, image)
    browser.wait(FAILED)
    assert text(browser, "message") == "The connection was lost. Is the server still running?"


@pytest.mark.parametrize("width", [320, 400, 1280])
def test_nothing_is_wider_than_the_window(page, tmp_path, width):
    name = "a-name-without-any-place-to-break-it-" * 4
    page.open(page.url, width=width)
    page.drop_file(100, 300, save(tmp_path / f"{name}.png"))
    page.wait(SHOWN)
    assert page.run("document.documentElement.scrollWidth") <= width
    beside = page.run("document.querySelector('.side').getBoundingClientRect().left") > width / 2
    assert beside == (width == 1280)


def test_light_and_dark(page):
    grounds = {}
    for scheme in ("light", "dark"):
        page.open(page.url, scheme=scheme)
        grounds[scheme] = page.run("getComputedStyle(document.body).backgroundColor")
    assert grounds == {"light": "rgb(246, 246, 244)", "dark": "rgb(25, 25, 24)"}


def test_it_runs_alone_and_without_complaint(page, tmp_path):
    page.drop_file(400, 300, save(tmp_path / "street.png"))
    page.wait(SHOWN)
    methods = [event["method"] for event in page.events]
    assert "Runtime.exceptionThrown" not in methods and "Log.entryAdded" not in methods
    asked = [
        event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"
    ]
    assert {url.removeprefix(page.url) for url in asked if not url.startswith("data:")} == {
        "",
        "page.css",
        "serve.css",
        "page.js",
        "model",
        "predict?output=json",
    }
