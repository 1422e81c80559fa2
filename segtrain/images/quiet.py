"""Silence for warnings, in any number of threads."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_lock = threading.Lock()
_inside = 0
_silence = ExitStack()


@contextmanager
def no_warnings() -> Iterator[None]:
    """Ignore warnings in this process while any thread is inside. warnings.catch_warnings alone is for one thread: of
    two that overlap, one would put back what the other has set, for good."""
    global _inside
    with _lock:
        if _inside == 0:
            _silence.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _silence.close()
