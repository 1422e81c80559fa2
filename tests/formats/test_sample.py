import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from segtrain.errors import DataError
from segtrain.formats.sample import Sample, SampleTable, require_layout, split_by_fraction
from tests.conftest import PROJECT

SAMPLES = [
    Sample("a", "x/a.png", "m/a.png"),
    Sample("ü/b", "x/ü b.png", "m/b.json\t{}", "drive 1"),
    Sample(os.fsdecode(b"\xff"), os.fsdecode(b"x/\xff.png"), "\nm/2.png", "drive 1"),
]


def test_a_table_gives_back_what_it_was_given():
    table = SampleTable(iter(SAMPLES))
    assert len(table) == 3 and list(table) == SAMPLES and table[-1] == SAMPLES[2]
    assert list(table[1:]) == SAMPLES[1:] and list(table.take([2, 0, 2])) == [SAMPLES[2], SAMPLES[0], SAMPLES[2]]
    assert list(table.take([2, 0])[::-1]) == [SAMPLES[0], SAMPLES[2]]
    assert list(pickle.loads(pickle.dumps(table.take([1])))) == SAMPLES[1:2]
    assert SAMPLES[1] in table and not SampleTable()
    with pytest.raises(IndexError):
        table[3]


def test_the_files_of_a_mask():
    assert [sample.mask_files for sample in SAMPLES] == [["m/a.png"], ["m/b.json"], ["", "m/2.png"]]
    assert [sample.mask_file for sample in SAMPLES] == ["m/a.png", "m/b.json", "m/2.png"]


def test_a_million_samples_take_two_hundred_megabytes():
    code = """
import resource
from segtrain.formats.sample import Sample, SampleTable
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
stems = (f"street/scene_{i % 1000:04d}/frame_{i:07d}" for i in range(1_000_000))
table = SampleTable(Sample(stem, f"data/images/{stem}.jpg", f"data/masks/{stem}.png") for stem in stems)
assert table[654321].image == "data/images/street/scene_0321/frame_0654321.jpg"
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert int(run.stdout) < 250  # MiB; as tuples of texts they would take 450


def test_forked_processes_read_a_table_without_copying_it():
    code = """
import os
from segtrain.formats.sample import Sample, SampleTable

def private_kib():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))

table = SampleTable(Sample(f"frame_{i:07d}", f"images/{i:07d}.jpg", f"masks/{i:07d}.png") for i in range(300_000))
if os.fork() == 0:
    before = private_kib()
    read = sum(len(sample.image) for sample in table)
    assert read == 300_000 * len("images/0000000.jpg")
    print(private_kib() - before)
    os._exit(0)
os.wait()
"""
    run = subprocess.run([sys.executable, "-uc", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert int(run.stdout) < 2000  # KiB, of a table of 16 MiB; a list of tuples would be copied whole


def grouped(groups):
    return [Sample(f"{place}", "i", "m", group) for place, group in enumerate(groups)]


def test_a_group_is_not_divided():
    samples = grouped([f"patient {place // 5}" for place in range(50)])
    for seed in range(5):
        splits = split_by_fraction(samples, 0.2, seed)
        groups = {split: {sample.group for sample in table} for split, table in splits.items()}
        assert len(groups["val"]) == 2 and len(groups["train"]) == 8 and not groups["val"] & groups["train"]
    with pytest.raises(
        DataError,
        match=r"data: 4 samples, all of the same group, cannot be split into training and "
        "validation",
    ):
        split_by_fraction(grouped(["all"] * 4), 0.5, 0)


@pytest.fixture
def tree(tmp_path):
    for name in ("set/JPEGImages", "set/lists/train", "other"):
        (tmp_path / "outer" / "data" / name).mkdir(parents=True)
    return tmp_path / "outer" / "data"


@pytest.mark.parametrize("given", [".", "..", "set/lists", "set/lists/train", "set/JPEGImages"])
def test_the_folder_above_or_below_is_named(given, tree):
    root = Path(os.path.normpath(tree / given)) if given != ".." else tree.parent
    with pytest.raises(DataError) as error:
        require_layout(root, ["JPEGImages", "lists"])
    assert str(error.value) == f"data.root: {root} has no JPEGImages, but {tree}/set has; write data.root: {tree}/set"


def test_a_folder_without_the_layout(tree):
    require_layout(tree / "set", ["JPEGImages", "lists"])
    with pytest.raises(DataError) as error:
        require_layout(tree / "set", ["JPEGImages", "masks"])
    assert str(error.value) == f"data.root: {tree}/set/masks does not exist; {tree}/set contains: JPEGImages, lists"
    with pytest.raises(DataError, match=r"data.root: .+/nothing does not exist; .+ contains: other, set"):
        require_layout(tree / "nothing", ["JPEGImages"])


def test_groups_of_very_different_sizes():
    for seed in range(6):
        assert len(split_by_fraction(grouped(["a"] + ["b"] * 9), 0.2, seed)["val"]) == 1
        assert len(split_by_fraction(grouped(["a"] + ["b"] * 9), 0.9, seed)["val"]) in (1, 9)
        many = [f"{place}" for place in range(10)] + ["drive"] * 90
        assert len(split_by_fraction(grouped(many), 0.2, seed)["val"]) in (10, 9)
    assert len(split_by_fraction(grouped(["a"] * 5 + ["b"] * 5), 0.1, 0)["val"]) == 5


def test_of_several_folders_that_fit_all_are_named(tree):
    (tree / "other" / "lists").mkdir()
    (tree / "other" / "JPEGImages").mkdir()
    with pytest.raises(DataError) as error:
        require_layout(tree, ["JPEGImages"])
    assert str(error.value) == (
        f"data.root: {tree} has no JPEGImages, but {tree}/other and {tree}/set have; write data.root: {tree}/other"
    )


def test_a_root_that_is_a_file(tree):
    (tree / "file.zip").touch()
    with pytest.raises(DataError, match=r"data.root: .+/file.zip is not a folder"):
        require_layout(tree / "file.zip", ["JPEGImages"])
