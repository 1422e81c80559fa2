import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from segtrain.__main__ import main as segtrain
from segtrain.inference.predictor import Predictor
from tests.commands.serve.serving import LAYERS, Channels, Picky, decode, draw, png, serving

IMAGE = draw(0)


def test_health_and_model(client):
    health = {"status": "ok", "models": ["street-1"], "device": "cpu", "images": 0, "batches": 0, "waiting": 0}
    assert client.ask("GET", "/health").json == health
    assert client.send(png(IMAGE)).status == 200
    assert client.ask("GET", "/health").json == {**health, "images": 1, "batches": 1}
    assert client.ask("GET", "/model").json == {
        "models": ["street-1"],
        "mode": "multiclass",
        "classes": [
            {"name": "red", "color": "#c80000"},
            {"name": "green", "color": "#00c800"},
            {"name": "blue", "color": "#0000c8"},
        ],
        "max_bytes": 32000000,
        "max_pixels": 16000000,
    }


def test_the_mask_is_what_the_predictor_gives(client):
    reply = client.send(png(IMAGE))
    assert (reply.status, reply.headers["content-type"]) == (200, "image/png")
    assert np.array_equal(decode(reply.body), Predictor([Channels()]).predict(IMAGE))
    assert client.ask("POST", "/predict", png(IMAGE)).body == reply.body


def test_a_form_gives_what_the_bare_file_gives(client):
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="../../a.png"\r\n\r\n'
    form = head + png(IMAGE) + b"\r\n--x--\r\n"
    reply = client.ask("POST", "/predict?output=overlay", form, Content_Type="multipart/form-data; boundary=x")
    assert reply == client.send(png(IMAGE), output="overlay")._replace(headers=reply.headers)
    assert reply.status == 200


def test_json_has_all_that_the_page_shows(client):
    image = np.zeros((2, 5, 3), np.uint8)
    image[..., 2] = 250
    image[0, 0] = 250, 0, 0
    answer = client.send(png(image), output="json").json
    assert (answer["width"], answer["height"]) == (5, 2)
    assert answer["classes"] == [
        {"name": "red", "color": "#c80000", "share": 0.1},
        {"name": "green", "color": "#00c800", "share": 0.0},
        {"name": "blue", "color": "#0000c8", "share": 0.9},
    ]
    heads = {key: answer[key].split(",")[0] for key in ("image", "color", "index")}
    assert heads == {
        "image": "data:image/jpeg;base64",
        "color": "data:image/png;base64",
        "index": "data:image/png;base64",
    }


def test_layers_come_as_a_zip_and_have_shares_that_overlap(tmp_path):
    image = np.zeros((2, 5, 3), np.uint8)
    image[0] = 200
    with serving(tmp_path, Channels(LAYERS)) as client:
        reply = client.send(png(image))
        answer = client.send(png(image), output="json").json
        colors = Image.open(io.BytesIO(client.send(png(image), output="color").body)).convert("RGB")
    assert reply.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(reply.body)) as archive:
        assert archive.namelist() == ["image_0_red.png", "image_1_a_b.png"]
        layers = [decode(archive.read(name)) for name in archive.namelist()]
    assert np.array_equal(layers[0], [[255] * 5, [0] * 5]) and np.array_equal(layers[1], layers[0])
    assert [item["share"] for item in answer["classes"]] == [0.5, 0.5]
    assert [item["color"] for item in answer["classes"]] == ["#c80000", "#00c800"]
    assert colors.getpixel((0, 0)) == (0, 200, 0) and colors.getpixel((0, 1)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/predict", 405, "GET is not allowed for /predict; use POST"),
        ("POST", "/health", 405, "POST is not allowed for /health; use GET or HEAD"),
        ("GET", "/etc", 404, "there is nothing at /etc; available are GET /, /health, /model and POST /predict"),
        (
            "GET",
            "/../page.js",
            404,
            "there is nothing at /../page.js; available are GET /, /health, /model and POST /predict",
        ),
        ("POST", "/predict", 400, "the request is empty; send an image as the body or as a file in a form"),
        (
            "POST",
            "/predict?output=gif",
            400,
            "there is no output 'gif'; use one of index, color, overlay, geojson, json",
        ),
    ],
)
def test_wrong_addresses_and_methods(client, method, path, status, text):
    reply = client.ask(method, path)
    assert reply.status == status and reply.headers["content-type"] == "application/json"
    assert reply.json["error"] == text


def test_other_names_and_other_pages_are_refused(client):
    for host in ("evil.example", "127.0.0.1.evil.example", "", "[::1", "localhost.:80"):
        reply = client.ask("GET", "/health", Host=host)
        assert reply.status == 403, host
    text = "this server does not respond to the name 'evil.example'; use 127.0.0.1 or localhost"
    assert client.ask("GET", "/", Host="evil.example").json == {"error": text}
    for host in ("localhost", "127.0.0.1:1", "[::1]:8000", "LOCALHOST:80"):
        assert client.ask("GET", "/health", Host=host).status == 200, host
    for origin in ("https://evil.example", "null", "http://[", f"http://127.0.0.1:{client.port + 1}"):
        reply = client.ask("POST", "/predict", png(IMAGE), Origin=origin)
        assert (reply.status, reply.json["error"]) == (403, f"pages of {origin} may not use this server")
    own = f"http://127.0.0.1:{client.port}"
    reply = client.ask("POST", "/predict", png(IMAGE), Origin=own)
    assert reply.status == 200 and "access-control-allow-origin" not in reply.headers


def test_the_page_takes_nothing_from_outside(client):
    page = client.ask("GET", "/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; ")
    kinds = dict.fromkeys(["/page.css", "/serve.css"], "text/css; charset=utf-8")
    kinds["/page.js"] = "text/javascript; charset=utf-8"
    parts = {path: client.ask("GET", path) for path in kinds}
    assert {path: reply.headers["content-type"] for path, reply in parts.items()} == kinds
    for content in (page.body, *(reply.body for reply in parts.values())):
        assert b"://" not in content


def test_the_parts_of_the_page_know_one_another(client):
    page, style, script = (client.ask("GET", path).body.decode() for path in ("/", "/serve.css", "/page.js"))
    there = set(re.findall(r'id="(\w+)"', page))
    assert set(re.findall(r'element\("(\w+)"\)', script)) <= there
    assert set(re.findall(r"#([a-z]+)(?=[ .:,])", style)) <= there
    assert re.findall(r'(?:href|src)="([^"]*)"', page) == ["data:,", "page.css", "serve.css", "page.js"]


def test_what_fails_is_told_without_a_traceback_and_harms_nobody_else(tmp_path, caplog):
    white = IMAGE.copy()
    white[0, 0] = 255
    with serving(tmp_path, Picky()) as client:
        reply = client.send(png(white))
        assert (reply.status, reply.json) == (
            500,
            {"error": "the prediction failed; see the server's output for the reason"},
        )
        assert client.send(png(IMAGE)).status == 200
    assert "RuntimeError: a white corner" in caplog.text


def test_answers_are_the_files_that_predict_writes(trained, tmp_path):
    images = trained.parent.parent / "street" / "val" / "images"
    wanted = {"index": ".png", "color": "_color.png", "overlay": "_overlay.jpg", "geojson": ".geojson"}
    out, uploads = tmp_path / "out", tmp_path / "uploads"
    uploads.mkdir()
    arguments = [str(trained), str(images), "-o", str(out), "--device", "cpu", "--save", ",".join(wanted)]
    assert segtrain(["predict", *arguments], prog="predict.py") == 0
    with serving(uploads, Predictor.load(trained, device="cpu")) as client:
        for image in sorted(images.iterdir()):
            for output, suffix in wanted.items():
                reply = client.send(image.read_bytes(), output=output)
                assert reply.body == (out / f"{image.stem}{suffix}").read_bytes(), (image.name, output)
            assert reply.headers["content-type"] == "application/geo+json"
