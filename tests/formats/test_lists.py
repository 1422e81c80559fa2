import pytest

from segtrain.errors import DataError
from segtrain.formats.list_file import read_name_list
from segtrain.formats.lists import listed_samples, read_names, read_pairs
from segtrain.formats.sample import Sample
from tests.formats.format_trees import touch, write_list


@pytest.fixture
def path(tmp_path):
    return tmp_path / "list.txt"


def error_of(read, *arguments, folder):
    with pytest.raises(DataError) as error:
        read(*arguments)
    return str(error.value).replace(str(folder), "R")


def test_names_with_their_lines(path):
    path.write_bytes("\ufeff2007_000032\r\n\r\n  a 1 1  \r\nlast".encode())
    assert read_names(path) == [(1, "2007_000032"), (3, "a"), (4, "last")]


def test_pairs_parted_by_what_is_in_the_line(path):
    write_list(path, "i/a.jpg m/a.png", "", "i/b.jpg   m/b.png", "i/c.jpg, m/c.png", "i/d e, f.jpg\tm/d e, f.png")
    assert read_pairs(path) == [
        (1, ("i/a.jpg", "m/a.png")),
        (3, ("i/b.jpg", "m/b.png")),
        (4, ("i/c.jpg", "m/c.png")),
        (5, ("i/d e, f.jpg", "m/d e, f.png")),
    ]


MISTAKES = {
    "nothing in it": (read_names, b"\n \n", "R/list.txt: is empty; expected one sample per line"),
    "a name twice": (read_names, b"a\nb\n\na\n", "R/list.txt:4: a is already in line 1; remove one of them"),
    "an image": (
        read_names,
        b"\x89PNG\r\n\x1a\n\0\0",
        r"R/list.txt:2: contains the control character '\x1a'; expected a text file: save it as UTF-8",
    ),
    "one path": (
        read_pairs,
        b"a.jpg a.png\nb.jpg\n",
        "R/list.txt:2: expected an image and a mask separated by a space, a comma or a tab, not: b.jpg",
    ),
    "three paths": (
        read_pairs,
        b"a.jpg,a.png,1\n",
        "R/list.txt:1: expected an image and a mask separated by a space, a comma or a tab, not: a.jpg,a.png,1",
    ),
    "half a pair": (
        read_pairs,
        b"a.jpg,\n",
        "R/list.txt:1: expected an image and a mask separated by a space, a comma or a tab, not: a.jpg,",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_lists_that_are_wrong(case, path, tmp_path):
    read, content, text = MISTAKES[case]
    path.write_bytes(content)
    assert error_of(read, path, folder=tmp_path) == text


def test_a_list_that_is_not_there_or_a_folder(path, tmp_path):
    (tmp_path / "other.txt").touch()
    assert error_of(read_names, path, folder=tmp_path) == "data: R/list.txt does not exist; R contains: other.txt"
    assert error_of(read_names, tmp_path, folder=tmp_path) == "R: cannot be read: Is a directory"


@pytest.fixture
def folders(path, tmp_path):
    """Where the names of the list are looked for."""
    write_list(path, "b", "", "a/1", "c")
    return "i/{name}.jpg", "m/{name}_m.png"


def test_samples_in_the_order_of_the_list(path, folders, tmp_path):
    touch(tmp_path, "i/a/1.jpg", "i/b.jpg", "i/c.jpg", "m/a/1_m.png", "m/b_m.png", "m/c_m.png")
    assert list(read_name_list(tmp_path, path, *folders)) == [
        Sample(name, f"{tmp_path}/i/{name}.jpg", f"{tmp_path}/m/{name}_m.png") for name in ("b", "a/1", "c")
    ]


def test_files_that_are_not_there(path, folders, tmp_path):
    def error():
        return error_of(lambda: read_name_list(tmp_path, path, *folders), folder=tmp_path)

    touch(tmp_path, "i/b.jpg")
    assert error() == ("R/list.txt:3: image R/i/a/1.jpg does not exist; 2 of the 3 images in this list are missing")
    touch(tmp_path, "i/a/1.jpg", "i/c.jpg", "m/a/1_m.png", "m/b_m.png")
    assert error() == "R/list.txt:4: mask R/m/c_m.png does not exist; 1 of the 3 masks in this list are missing"


def test_the_file_of_a_mask_is_what_stands_before_the_tab(path, tmp_path):
    touch(tmp_path, "a.jpg", "a.json")
    sample = Sample("a", f"{tmp_path}/a.jpg", f"{tmp_path}/a.json\tobject 7")
    assert list(listed_samples(path, [(1, sample)])) == [sample]
    rows = [(1, sample), (5, sample._replace(image="b.jpg"))]
    message = error_of(listed_samples, path, rows, folder=tmp_path)
    assert message == "R/list.txt:5: a is already in line 1; remove one of them"
