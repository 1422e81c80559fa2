import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from segtrain.errors import DataError
from segtrain.files import TooLongName, is_glob, make_numbered_folder, natural_order, replacing, workshop, write_whole
from tests.conftest import PROJECT


@pytest.mark.parametrize("options", [{}, {"sync": True}, {"shared": True}])
def test_a_file_is_replaced_as_a_whole(tmp_path, options):
    path = tmp_path / "new" / "a.txt"
    with replacing(path, **options) as temporary:
        temporary.write_text("first")
        assert not path.exists() and temporary.suffix == ".txt"
    with pytest.raises(KeyError), replacing(path, **options) as temporary:
        temporary.write_text("half of the sec")
        raise KeyError
    assert path.read_text() == "first" and [item.name for item in path.parent.iterdir()] == ["a.txt"]


def test_names_as_long_as_the_disk_takes_and_bytes_that_are_no_text(tmp_path):
    path = tmp_path / ("n" * 251 + ".csv")
    write_whole(path, "caf\udce9.png")
    assert path.read_bytes() == b"caf\xe9.png"
    with pytest.raises(TooLongName, match=r"x\.csv: cannot be written: File name too long"):
        write_whole(tmp_path / ("n" * 300 + "x.csv"), b"")


def test_what_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "a").write_text("a file, not a folder")
    with pytest.raises(DataError) as error:
        write_whole(tmp_path / "a" / "b.txt", b"")
    assert str(error.value) == f"{tmp_path / 'a' / 'b.txt'}: cannot be written: Not a directory"
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="folder: cannot be written: Is a directory"):
        write_whole(tmp_path / "folder", b"")
    assert sorted(os.listdir(tmp_path)) == ["a", "folder"]


def test_numbered_folders_go_on_after_the_highest(tmp_path):
    stem = tmp_path / "runs" / "street"
    with ThreadPoolExecutor(4) as pool:
        made = sorted(folder.name for folder in pool.map(make_numbered_folder, [stem] * 9))
    assert made == [f"street-{number}" for number in range(1, 10)]
    (stem.parent / "street-3").rmdir()
    (stem.parent / "street-x").mkdir()
    assert make_numbered_folder(stem).name == "street-10"
    assert make_numbered_folder(tmp_path / "runs" / "stre").name == "stre-1"


def test_a_workshop_clears_what_killed_processes_left(tmp_path):
    script = "import sys, time; from pathlib import Path; from segtrain.files import workshop\n"
    script += "with workshop(Path('a'), beside=Path(sys.argv[1])) as folder:\n"
    script += "    (folder / 'half').touch(); print(folder, flush=True); time.sleep(60)"
    line = [sys.executable, "-c", script, str(tmp_path)]
    others = [subprocess.Popen(line, cwd=PROJECT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = [Path(other.stdout.readline().strip()) for other in others]
    try:
        others[0].kill()
        others[0].wait()
        with workshop(Path("b"), beside=tmp_path):
            assert folders[0].exists()  # that of another path
        with workshop(Path("a"), beside=tmp_path) as own:
            assert sorted(tmp_path.iterdir()) == sorted([own, folders[1]])
    finally:
        for other in others:
            other.kill()
            other.communicate()


def test_globs():
    assert [text for text in ("a/*.png", "a?", "a[0-9]", "a/b.png", "{a}") if is_glob(text)] == [
        "a/*.png",
        "a?",
        "a[0-9]",
    ]


def test_numbers_in_names_are_numbers():
    names = ["f10.png", "f9.png", "f9b.png", "f009.png", "a100.png", "1.png"]
    assert sorted(names, key=natural_order) == ["1.png", "a100.png", "f9.png", "f009.png", "f9b.png", "f10.png"]
