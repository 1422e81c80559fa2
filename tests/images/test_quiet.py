import threading
import warnings

import pytest

from segtrain.images.quiet import no_warnings


def test_warnings_are_back_when_the_last_thread_is_out():
    entered, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with no_warnings():
            entered.set()
            assert leave.wait(10)

    thread = threading.Thread(target=stay)
    with no_warnings():
        thread.start()
        assert entered.wait(10)
        warnings.warn("first", stacklevel=1)
    warnings.warn("the other thread is still inside", stacklevel=1)
    leave.set()
    thread.join()
    with pytest.raises(UserWarning, match="again"):  # pytest makes errors of them
        warnings.warn("again", stacklevel=1)


def test_what_is_raised_inside_ends_the_silence():
    with pytest.raises(ValueError, match="inside"), no_warnings():
        raise ValueError("inside")
    with pytest.raises(UserWarning, match="again"):
        warnings.warn("again", stacklevel=1)
