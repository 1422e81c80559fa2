import pytest

from segtrain.config.tree import dump_yaml, flatten, load_yaml, parse_yaml
from segtrain.errors import ConfigError

SCALARS = {
    "1e-3": 0.001,
    "1E5": 100000.0,
    "-2.5e+2": -250.0,
    "1_000": 1000,
    "0x1F": 31,
    "0o17": 15,
    "010": 10,
    ".5": 0.5,
    "-.inf": float("-inf"),
    "true": True,
    "False": False,
    "null": None,
    "~": None,
    "on": "on",
    "off": "off",
    "yes": "yes",
    "no": "no",
    "12:30": "12:30",
    "2024-01-02": "2024-01-02",
    "'7'": "7",
    '"true"': "true",
    "1.2.3": "1.2.3",
    "e5": "e5",
}


@pytest.mark.parametrize("text", SCALARS)
def test_scalars_mean_what_they_say(text):
    value = parse_yaml(text).data
    assert value == SCALARS[text] and type(value) is type(SCALARS[text])


def test_nothing_is_null():
    assert parse_yaml("").data is None
    assert parse_yaml("a:").plain() == {"a": None}


def test_every_value_knows_its_line():
    tree = parse_yaml("a: 1\nb:\n  c: [1,\n    2]\n  d:\n    - e: 3\n      f: 4\n", source="x.yml")
    assert tree.plain() == {"a": 1, "b": {"c": [1, 2], "d": [{"e": 3, "f": 4}]}}
    lines = {("a",): 1, ("b",): 2, ("b", "c"): 3, ("b", "c", 1): 4, ("b", "d", 0, "f"): 7}
    assert {path: tree.origin_of(path) for path in lines} == {path: f"x.yml:{line}" for path, line in lines.items()}


def test_what_is_not_there_has_the_line_of_what_encloses_it():
    tree = parse_yaml("a:\n  b: [1]\n", source="x.yml")
    assert tree.origin_of(("a", "nothing")) == "x.yml:1"
    assert tree.origin_of(("a", "b", 7)) == "x.yml:2"
    assert tree.origin_of(("nothing",)) == "x.yml:1"


def test_without_a_file_the_origin_is_what_the_caller_says():
    assert parse_yaml("{a: [1]}", origin="command line: b={a: [1]}").origin_of(("a", 0)) == "command line: b={a: [1]}"


def test_anchors_are_followed():
    assert parse_yaml("a: &one {x: 1}\nb: *one\n").plain() == {"a": {"x": 1}, "b": {"x": 1}}


MISTAKES = {
    "a: 1\nb: 2\na: 3\n": "x.yml:3: duplicate key 'a' (first in x.yml:1)",
    "a:\n  - b: 1\n    b: 1\n": "x.yml:3: duplicate key 'b' (first in x.yml:2)",
    "a: [1, 2\nb: 3\n": "x.yml:2: not valid YAML: expected ',' or ']', but got ':'",
    "a: 1\n\tb: 2\n": "x.yml:2: not valid YAML: found character '\\t' that cannot start any token",
    "? [1, 2]\n: 3\n": "x.yml:1: a key must be a string, not [1, 2]",
    "a: &loop [*loop]\n": "x.yml:1: not valid YAML: an anchor contains itself, or the nesting is too deep",
    "a: !!int abc\n": "x.yml:1: not valid YAML: invalid literal for int() with base 10: 'abc'",
    "a: *nothing\n": "x.yml:1: not valid YAML: found undefined alias 'nothing'",
    "a: ${SEGTRAIN_TEST_UNSET}\n": (
        "x.yml:1: environment variable SEGTRAIN_TEST_UNSET is not set; set it or write ${SEGTRAIN_TEST_UNSET:-default}"
    ),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes(text):
    with pytest.raises(ConfigError) as error:
        parse_yaml(text, source="x.yml")
    assert str(error.value) == MISTAKES[text]


def test_environment_variables(monkeypatch):
    monkeypatch.setenv("SEGTRAIN_TEST_SET", "3")
    values = {"${SEGTRAIN_TEST_SET}": 3, "'${SEGTRAIN_TEST_SET}'": "3", "${SEGTRAIN_TEST_UNSET:-}": None}
    values["x-${SEGTRAIN_TEST_SET}/${SEGTRAIN_TEST_UNSET:-y}"] = "x-3/y"
    assert {text: parse_yaml(f"a: {text}").plain()["a"] for text in values} == values
    assert parse_yaml("${SEGTRAIN_TEST_SET}: 1").plain() == {"${SEGTRAIN_TEST_SET}": 1}


def test_what_is_dumped_is_read_as_the_same_values():
    values = {"text": ["1e-3", "on", "12:30", "0o7", "true", "null", "", "a: b", "é"], "number": [1e-3, 7, True, None]}
    assert parse_yaml(dump_yaml(values)).plain() == values


def test_files(tmp_path):
    file = tmp_path / "x.yml"
    file.write_text("# nothing\n")
    assert load_yaml(file).plain() == {}
    file.write_text("- 1\n- 2\n")
    with pytest.raises(ConfigError) as error:
        load_yaml(file)
    assert str(error.value) == f"{file}:1: an experiment is a mapping of keys to values, but this file contains [1, 2]"
    file.write_bytes(b"a: \xff\n")
    with pytest.raises(ConfigError) as error:
        load_yaml(file)
    assert str(error.value) == f"{file}: cannot be read: is not UTF-8 text"
    with pytest.raises(ConfigError) as error:
        load_yaml(tmp_path / "none.yml")
    assert str(error.value) == f"{tmp_path / 'none.yml'}: cannot be read: No such file or directory"


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{below}'] * 9)}]\n" for below, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (LAUGHS, 1, "contains more than 100,000 values; is an anchor repeated within itself?"),
        ("a: &a [*a]\n", 1, "not valid YAML: an anchor contains itself, or the nesting is too deep"),
        ("a: 1\nb: " + "9" * 5000, 2, "an integer of 5,000 digits is too large"),
        ("a: 0x" + "f" * 6000, 1, "an integer of 6,002 digits is too large"),
        ("a: 1\nb: 'x\x07y'", 2, "not valid YAML: the character '\\x07' is not allowed"),
        ("a: \x00", 1, "not valid YAML: the character '\\x00' is not allowed"),
    ],
)
def test_yaml_is_bounded(text, line, reason):
    with pytest.raises(ConfigError) as error:
        parse_yaml(text, source="one.yml")
    assert str(error.value) == f"one.yml:{line}: {reason}"


def test_flatten_names_every_value_by_its_keys():
    plain = {"a": 1, "b": {"c": [1, {"d": 2}], "e": {}}, "f": {"g": {"h": None}}}
    assert flatten(plain) == {"a": 1, "b.c": [1, {"d": 2}], "b.e": {}, "f.g.h": None}
    assert flatten({}) == {}
