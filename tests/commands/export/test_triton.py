import pytest

from segtrain.commands.export import triton
from tests.commands.export.exporting import options_of, tiny_network


@pytest.mark.parametrize(
    ("network", "options", "images", "output"),
    [
        (
            tiny_network(),
            {},
            "TYPE_UINT8 dims: [ 3, -1, -1 ]",
            '"probabilities" data_type: TYPE_FP32 dims: [ 3, -1, -1 ]',
        ),
        (
            tiny_network(2, multilabel=True),
            {"labels": True},
            "TYPE_UINT8 dims: [ 3, -1, -1 ]",
            '"labels" data_type: TYPE_UINT8 dims: [ 2, -1, -1 ]',
        ),
        (
            tiny_network(1, scale=10000.0),
            {"labels": True, "size": (32, 48)},
            "TYPE_FP32 dims: [ 3, 32, 48 ]",
            '"labels" data_type: TYPE_UINT8 dims: [ 32, 48 ]',
        ),
        (
            tiny_network(300, ignore_index=300),
            {"labels": True},
            "TYPE_UINT8 dims: [ 3, -1, -1 ]",
            '"labels" data_type: TYPE_INT32 dims: [ -1, -1 ]',
        ),
    ],
)
def test_config_says_what_goes_in_and_out(tmp_path, network, options, images, output):
    triton.export(network, tmp_path / "model", options_of(**options))
    lines = (tmp_path / "model" / "config.pbtxt").read_text().splitlines()
    assert lines[1:6] == [
        'backend: "onnxruntime"',
        "max_batch_size: 8",
        f'input [ {{ name: "images" data_type: {images} }} ]',
        f"output [ {{ name: {output} }} ]",
        "dynamic_batching { }",
    ]
