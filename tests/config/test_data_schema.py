"""Classes that contradict one another, told with the line where they stand and before anything slow is imported."""

import pytest

from segtrain.config.mistakes import validate
from segtrain.config.schema import Config
from segtrain.config.tree import parse_yaml
from segtrain.errors import ConfigError

# What stands in the data section, below its root, and the message.
CONTRADICTIONS = {
    "values": (
        ["classes:", "  - {name: a, value: 1}", "  - {name: b, values: [0, 1]}"],
        "x.yml:5: data.classes.1: 'b' and 'a' claim the same value 1",
    ),
    "a value and a place": (
        ["classes:", "  - {name: a, value: 1}", "  - b"],
        "x.yml:5: data.classes.1: 'b' and 'a' claim the same value 1",
    ),
    "colors": (
        ["classes:", "  - {name: a, color: [1, 2, 3]}", "  - {name: b, color: [1, 2, 3]}"],
        "x.yml:5: data.classes.1: 'b' and 'a' claim the same color [1, 2, 3]",
    ),
    "a color and none": (
        ["classes:", "  - {name: a, color: [1, 2, 3]}", "  - b"],
        "x.yml:5: data.classes.1: 'b' needs a color, like the other classes",
    ),
    "a value that no mask holds": (
        ["classes:", "  - {name: a, value: 65536}", "  - b"],
        "x.yml:4: data.classes.0: value 65536 exceeds 65535, the largest value in a mask",
    ),
    "background": (
        ["classes: [{name: crack, value: 0}]"],
        "x.yml:3: data.classes: a single class always has value 0 as its background; to use 0 for 'crack', write two "
        "classes",
    ),
    "a value of a class ignored": (
        ["classes: [a, b, c]", "ignore_values:", "  - 9", "  - 2"],
        "x.yml:6: data.ignore_values.1: value 2 belongs to class 'c'",
    ),
    "a number ignored among colors": (
        ["classes: [{name: a, color: [1, 2, 3]}]", "ignore_values:", "  - 3"],
        "x.yml:5: data.ignore_values.0: 3 has the wrong type; write colors [r, g, b], like the classes",
    ),
    "a color ignored among numbers": (
        ["classes: [a, b]", "ignore_values:", "  - [1, 2, 3]"],
        "x.yml:5: data.ignore_values.0: [1, 2, 3] has the wrong type; write values, like the classes",
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_classes_that_contradict_one_another(case):
    lines, message = CONTRADICTIONS[case]
    text = "\n  ".join(["data:", "root: x", *lines])
    with pytest.raises(ConfigError) as error:
        validate(parse_yaml(text, source="x.yml"), Config)
    assert str(error.value) == message
