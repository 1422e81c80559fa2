import math

import pytest

from segtrain.log.show import format_columns, shorten_middle, show_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "60 min"), (12240, "3.4 h"), (432000, "5 days"), (math.nan, "")],
)
def test_durations(seconds, text):
    assert show_duration(seconds) == text


def test_a_long_name_keeps_both_ends():
    assert shorten_middle("abcdefghij", 10) == "abcdefghij"
    assert shorten_middle("abcdefghijk", 8) == "abc..ijk"


def test_the_first_column_gives_way():
    text = format_columns([["name", "score"], ["a" * 200 + "-1", "0.5"], ["b", "0.25"]])
    lines = text.splitlines()
    assert max(map(len, lines)) == len(lines[1]) == 100
    assert lines[2].startswith("aaa") and lines[2].endswith("aa-1    0.5") and lines[3].endswith(" 0.25")
