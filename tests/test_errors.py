import cv2
import numpy as np
import pytest
import torch

from segtrain.errors import is_out_of_memory, name_some


def test_names_are_listed_up_to_a_limit():
    assert name_some(["a", "b", "c"]) == "a, b, c"
    assert name_some([str(number) for number in range(2003)], most=2) == "0, 1 and 2,001 more"


def allocate(kind: str) -> None:
    size = 1 << 46
    if kind == "python":
        bytearray(size)
    elif kind == "numpy":
        np.zeros(size, np.uint8)
    elif kind == "torch":
        torch.zeros(size, dtype=torch.uint8)
    elif kind == "cuda":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    else:
        cv2.resize(np.zeros((1, 1), np.uint8), (1 << 23, 1 << 23))


@pytest.mark.parametrize("kind", ["python", "numpy", "torch", "cuda", "opencv"])
def test_out_of_memory_is_recognized_whoever_says_it(kind):
    with pytest.raises((MemoryError, RuntimeError, cv2.error)) as error:
        allocate(kind)
    assert is_out_of_memory(error.value)


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("no memory of it"), OSError(28, "full")])
def test_other_errors_are_not_taken_for_it(error):
    assert not is_out_of_memory(error)
