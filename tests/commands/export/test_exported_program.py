import io
import json
import math
import zipfile

import pytest
import torch

from segtrain.commands.export.exported_program import export, load
from segtrain.commands.export.graph import quiet
from segtrain.commands.export.network import Note
from segtrain.commands.export.options import ExportError
from segtrain.errors import ConfigError
from tests.commands.export.exporting import (
    CPU,
    UNET,
    assert_equal_networks,
    assert_equal_predictions,
    assert_labels_predict,
    assert_unfit,
    images_of,
    options_of,
    real_network,
    refused,
    tiny_network,
)
from tests.tiny_model import TinyNet


def loaded(path):
    return load(path, device=CPU, precision=None)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A small program."""
    path = tmp_path_factory.mktemp("program") / "model.pt2"
    export(tiny_network(), path, options_of())
    return path


def rewritten(path, changes: dict[str, object], target) -> None:
    """The archive with other records: (old, new) bytes to replace, or the whole content, or None to leave it out."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        top = old.namelist()[0].split("/")[0]
        for name in old.namelist():
            content, change = old.read(name), changes.get(name.split("/", 1)[1], b"")
            if isinstance(change, tuple):
                assert change[0] in content
                content = content.replace(*change)
            new.writestr(name, change or content if isinstance(change, bytes) else content)
        for name in changes.keys() - {name.split("/", 1)[1] for name in old.namelist()}:
            new.writestr(f"{top}/{name}", changes[name])


@pytest.mark.parametrize(
    "model", [UNET, {"name": "DeepLabV3Plus", "encoder_name": "tu-resnet10t"}], ids=lambda model: model["name"]
)
def test_any_number_of_images_of_any_size(tmp_path, model):
    network = real_network(**model)
    export(network, tmp_path / "model.pt2", options_of())
    exported = loaded(tmp_path / "model.pt2")
    assert exported.task == network.task and exported.input_size is None and exported.batch_size is None
    assert_equal_networks(exported, network)
    assert_equal_predictions(exported, network)


def test_others_run_it_with_torch_alone(tmp_path):
    network = real_network(**UNET)
    export(network, tmp_path / "model.pt2", options_of())
    extra = {"names": "", "segtrain": ""}
    with quiet():
        program = torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    assert json.loads(extra["names"]) == ["class 0", "class 1", "class 2"]
    images = torch.randint(0, 256, (1, 3, 20, 50), dtype=torch.uint8)
    torch.testing.assert_close(program.module()(images), network.probabilities(images), rtol=0, atol=1e-5)


def test_labels(tmp_path):
    network = tiny_network(2, multilabel=True)
    network.task = network.task.with_thresholds([0.3, 0.6])
    export(network, tmp_path / "labels.pt2", options_of(labels=True))
    assert_labels_predict(loaded(tmp_path / "labels.pt2"), network)


def test_halves(tmp_path, written):
    network, path = tiny_network(), tmp_path / "model.pt2"
    export(network, path, options_of(precision="fp16"))
    assert_equal_networks(loaded(path), network, shapes=[(1, 33, 40)], atol=0.02)
    images = images_of(1, 33, 40)
    assert not torch.equal(loaded(path).probabilities(images), loaded(written).probabilities(images))
    assert load(path, device=CPU, precision="fp16").note.precision == "fp16"
    with pytest.raises(ConfigError) as error:
        load(path, device=CPU, precision="fp32")
    assert str(error.value) == f"--precision fp32: {path} was exported in fp16; leave --precision out"


def test_a_file_does_not_tell_where_it_was_made(written):
    with zipfile.ZipFile(written) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(MODEL))
        assert b"graph.py" not in archive.read(name)


class Thirds(TinyNet):
    """A network that rounds a size in a way that the file format has no word for."""

    def forward(self, images):
        logits = super().forward(images)
        return logits + logits[..., : math.ceil(images.shape[-1] / 3)].mean()


def test_what_cannot_be_traced_for_any_size_can_be_for_one(tmp_path):
    network = tiny_network()
    network.model.net.__class__ = Thirds
    with pytest.raises(ExportError) as error:
        export(network, tmp_path / "model.pt2", options_of())
    says = (
        "Unet with encoder resnet34 cannot be exported for images of any size: Failed serializing node ceil in graph: "
    )
    assert str(error.value).startswith(says)
    assert str(error.value).endswith("; write --size H W, the size you need")
    assert not (tmp_path / "model.pt2").exists()
    export(network, tmp_path / "model.pt2", options_of(size=(48, 80)))
    exported = loaded(tmp_path / "model.pt2")
    assert exported.input_size == (48, 80)
    assert_equal_networks(exported, network, shapes=[(1, 48, 80), (3, 48, 80)])


MODEL, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"data/aotinductor/model/evil.so": b"code"}, "the record data/aotinductor/model/evil.so"),
        ({"data/constants/custom_obj_0": b"code"}, "the record data/constants/custom_obj_0"),
        (
            {WEIGHTS: (b'"use_pickle": false', b'"use_pickle": true')},
            "'probabilities.model.net.encoder.0.weight' in a form that must be unpickled",
        ),
        ({WEIGHTS: (b'"weight_0"', b'"../x"')}, "the path_name '../x'"),
        ({MODEL: (b"torch.ops.aten.softmax.int", b"torch.hub.load")}, "the target 'torch.hub.load'"),
        (
            {MODEL: (b"torch.ops.aten.softmax.int", b"torch.ops.aten.from_file.default")},
            "the target 'torch.ops.aten.from_file.default'",
        ),
        ({MODEL: (b"_operator.add", b"_operator.methodcaller")}, "the target '_operator.methodcaller'"),
        (
            {MODEL: (b'"expr_str": "', b"\"expr_str\": \"__import__('os').system('true') or ")},
            "the expr_str \"__import__('os').system('true') or ",
        ),
        ({MODEL: (b'"as_sym_ints"', b'"as_graph"')}, "the key 'as_graph' in arg"),
        (
            {MODEL: (b'"metadata": {}', b'"metadata": {"source_fn_stack": "a,os.system"}')},
            "the key 'source_fn_stack' in",
        ),
        ({MODEL: (b'["images"]', b'["images=print()"]')}, "the forward_arg_names 'images=print()'"),
        ({MODEL: (b'"softmax"', b'"softmax=print()"')}, "the name 'softmax=print()'"),
        ({MODEL: (b"builtins.dict", b"collections.defaultdict")}, "the in_spec '[1, {"),
        ({MODEL: (b'[1, {\\"type\\": null', b'[1, {\\"type\\": \\"builtins.list\\"')}, "the out_spec '[1, {"),
    ],
    ids=[
        *("library", "object", "pickle", "path", "function", "file", "method", "expression"),
        *("graph", "import", "argument", "name", "in_spec", "out_spec"),
    ],
)
def test_what_could_run_code_is_not_loaded(tmp_path, written, changes, found):
    path = tmp_path / "evil.pt2"
    rewritten(written, changes, path)
    message = refused(load, path)
    assert message.startswith(f"{path}: holds {found}")
    assert message.endswith(", and is not loaded: it could run code")


def test_example_images_are_not_unpickled(tmp_path, written):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "run"), "w"))

    content = io.BytesIO()
    torch.save(Evil(), content)
    rewritten(written, {"data/sample_inputs/model.pt": content.getvalue()}, tmp_path / "evil.pt2")
    assert refused(load, tmp_path / "evil.pt2") == (
        f"{tmp_path / 'evil.pt2'}: holds example images that must be unpickled, and is not loaded: it could run code"
    )
    assert not (tmp_path / "run").exists()


def test_conditions_on_sizes_in_the_file_are_not_run(tmp_path, written):
    evil = f"__import__('pathlib').Path({str(tmp_path / 'run')!r}).touch() or True"
    with zipfile.ZipFile(written) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(MODEL))
        model = json.loads(archive.read(name))
    model["guards_code"] = [evil]
    rewritten(written, {MODEL: json.dumps(model).encode()}, tmp_path / "evil.pt2")
    assert_equal_networks(loaded(tmp_path / "evil.pt2"), tiny_network())
    assert not (tmp_path / "run").exists()


def test_a_file_of_somebody_else(tmp_path):
    path = tmp_path / "theirs.pt2"
    torch.export.save(torch.export.export(torch.nn.ReLU(), (torch.zeros(1),)), path)
    assert refused(load, path) == (
        f"{path}: was not exported by segtrain: its metadata has no 'segtrain'; write one with "
        "python -m segtrain export RUN"
    )


def test_damaged_files(tmp_path, written):
    path = tmp_path / "model.pt2"
    assert refused(load, path) == f"{path}: cannot be read: No such file or directory"
    whole = written.read_bytes()
    for content in (whole[: len(whole) // 2], b"no model", b""):
        path.write_bytes(content)
        assert refused(load, path).startswith(f"{path}: is no exported program of torch, or damaged: ")
    for text in (b"[]", b"{", b'{"graph_module": 1}', b"[" * 100_000):
        rewritten(written, {MODEL: text}, path)
        assert refused(load, path).startswith(f"{path}: is no exported program of torch, or damaged: ")


def test_half_precision_is_not_a_matter_of_loading(written):
    with pytest.raises(ConfigError) as error:
        load(written, device=CPU, precision="bf16")
    assert str(error.value) == (f"--precision bf16: {written} was exported in fp32; leave --precision out")


def test_records_that_swell_are_not_read(tmp_path, written):
    path = tmp_path / "bomb.pt2"
    with zipfile.ZipFile(written) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            swollen = name.endswith("extra/segtrain")
            new.writestr(name, b" " * 10_000_000 if swollen else old.read(name), zipfile.ZIP_DEFLATED * swollen)
    message = refused(load, path)
    assert message.startswith(f"{path}: is not loaded: its ") and " bytes would become 10,0" in message


def test_a_note_that_does_not_fit(tmp_path, written):
    path = tmp_path / "other.pt2"
    note = Note.of(tiny_network(5).task, options_of()).model_dump_json()
    rewritten(written, {"extra/segtrain": note.encode()}, path)
    assert_unfit(loaded(path), path, "gives 2 x 3 x 45 x 70 float32", "says 2 x 5 x 45 x 70 float32")
