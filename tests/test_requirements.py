"""constraints.txt pins all that the requirements files bring, and pyproject.toml allows these versions."""

import tomllib
from importlib.metadata import requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import PROJECT

PROJECT_TABLE = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read_pins(*names: str) -> dict[str, list[Requirement]]:
    """Each distribution that the files name, with its lines: one for each system or Python that differs."""
    pins: dict[str, list[Requirement]] = {}
    for name in names:
        for line in (PROJECT / name).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith(("#", "-")):
                pin = Requirement(line)
                pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    return pins


RUN, ALL = read_pins("requirements.txt"), read_pins("requirements.txt", "requirements-dev.txt")
LOCKED = read_pins("constraints.txt")


def version_of(pins: list[Requirement]) -> str:
    """The version that is pinned for the Python and system of this test."""
    (pin,) = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    (specifier,) = pin.specifier
    assert specifier.operator == "=="
    return specifier.version


def test_constraints_pin_what_the_requirements_pin() -> None:
    assert {name: version_of(pins) for name, pins in ALL.items()} == {name: version_of(LOCKED[name]) for name in ALL}


def test_constraints_pin_everything_that_is_brought_along() -> None:
    seen, queue = set(), [(name, frozenset[str]()) for name in ALL]
    while queue:
        name, extras = item = queue.pop()
        if item in seen:
            continue
        seen.add(item)
        for line in requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                assert needed.specifier.contains(
                    version_of(LOCKED[canonicalize_name(needed.name)]), prereleases=True
                ), line
                queue.append((canonicalize_name(needed.name), frozenset(needed.extras)))


def test_the_pins_are_within_the_ranges_of_the_package() -> None:
    extras = PROJECT_TABLE["optional-dependencies"]
    core = [Requirement(line) for line in [*PROJECT_TABLE["dependencies"], *extras["serve"], *extras["tensorboard"]]]
    assert {canonicalize_name(item.name) for item in core} == set(RUN)
    others = [Requirement(line) for lines in extras.values() for line in lines]
    for item in [*core, *(item for item in others if canonicalize_name(item.name) in ALL)]:
        assert item.specifier.contains(version_of(ALL[canonicalize_name(item.name)])), item
