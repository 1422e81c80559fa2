"""The flags of all commands that predict."""

import argparse

import pytest

from segtrain.errors import ConfigError
from segtrain.inference.options import InferOptions, add_infer_arguments, read_infer_options


def read(*flags: str, **defaults: object) -> InferOptions:
    parser = argparse.ArgumentParser()
    add_infer_arguments(parser)
    parser.set_defaults(**defaults)
    return read_infer_options(parser.parse_args(flags))


def test_flags_become_options():
    assert read() == read(batch_size=None) == InferOptions()
    flags = "--tile 48 --overlap 0.5 --scales 0.75,1 --flip --vote --weights 2,1 --threshold 0.3 --batch-size 7"
    options = read(*flags.split())
    assert options == InferOptions(
        tile_px=48,
        overlap=0.5,
        scales=(0.75, 1),
        flip="horizontal",
        vote=True,
        weights=(2, 1),
        thresholds=(0.3,),
        batch_size=7,
    )
    assert read("--d4").flip == "d4"


def test_what_differs_from_the_defaults_is_described():
    assert InferOptions(batch_size=7).describe() == ""
    options = InferOptions(tile_px=48, scales=(0.75, 1), vote=True, thresholds=(0.3,))
    assert options.describe() == "tile_px 48, scales 0.75,1, vote True, thresholds 0.3"


def test_what_is_not_a_list_of_numbers(capsys):
    with pytest.raises(SystemExit):
        read("--scales", "1;2")
    assert "--scales: '1;2' is not a list of numbers like 0.75,1,1.25" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile_px": 8}, "--tile 8: a tile needs at least 16 pixels"),
        ({"overlap": 1.0}, "--overlap 1.0: must be at least 0 and below 1"),
        ({"scales": (1.0, 0.0)}, "--scales 1,0: each must be greater than 0 and at most 8"),
        (
            {"weights": (0.0, 0.0)},
            "--weights 0,0: all must be finite and not negative, and at least one greater than 0",
        ),
        (
            {"weights": (float("inf"), 1.0)},
            "--weights inf,1: all must be finite and not negative, and at least one greater than 0",
        ),
        ({"thresholds": (1.5,)}, "--threshold 1.5: a probability is between 0 and 1"),
        ({"batch_size": 0}, "--batch-size 0: must be at least 1"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ConfigError) as error:
        InferOptions(**options)
    assert str(error.value) == message
