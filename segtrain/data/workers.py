"""Reading processes: how many, how they start and end, and the loader that they serve."""

import atexit
import multiprocessing
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator

import cv2
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from segtrain.distributed import local_size
from segtrain.memory import count_cores

SHARED_MEMORY_NEEDED_BYTES = (
    256 << 20
)  # batches are sent through it: a process that finds none left dies of a bus error; Docker gives 64 MiB


def read_batches(loader: DataLoader) -> Iterator:
    """The batches of a loader. Raises an error that a reading process has handed over."""
    for batch in loader:
        if isinstance(batch, Exception):
            try:
                raise batch
            finally:
                del batch  # its traceback holds this frame: the two would keep one another, and the workers, alive
        yield batch


def _share(batch):
    """A batch, in a worker in shared memory: where that is full it fails here, and the training learns of it. torch
    itself would move it in a thread whose failure loses the batch, and the training would wait for it without end."""
    if get_worker_info() is not None and not isinstance(batch, Exception):
        for group in batch if isinstance(batch, list) else [batch]:
            for value in group.values():
                if isinstance(value, torch.Tensor):
                    value.share_memory_()
    return batch


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        # Both may reach the whole group; the parent finishes its step and ends us.
        signal.signal(number, signal.SIG_IGN)
    # What fails here is handed to the parent; multiprocessing's own thread would print that the parent is gone.
    sys.excepthook = lambda *_: None


@atexit.register
def _end_workers() -> None:
    """The traceback of an error may hold a loader to the end of this process. Its workers ignore the SIGTERM with which
    multiprocessing ends them, and it would wait for them for ever."""
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would take their end for an accident
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


def build_loader(dataset: Dataset, *, batch_sampler: Iterable, workers: int, pin_memory: bool) -> DataLoader:
    """A loader whose reading processes stay, and read ahead."""
    return DataLoader(
        dataset,
        batch_sampler=batch_sampler,
        num_workers=workers,
        collate_fn=_share,
        pin_memory=pin_memory,
        worker_init_fn=_start_worker,
        multiprocessing_context=_start_method() if workers else None,
        persistent_workers=workers > 0,
        prefetch_factor=4 if workers else None,
        generator=torch.Generator(),  # its own, so that starting a loader draws nothing from the training's
    )


def _start_method() -> str | None:
    """Fork on Linux, where Python 3.14 no longer does by default: only forked processes share the images of
    `data.cache: ram`, and they start at once. None leaves it to other systems, and to whoever set another method."""
    default, *_ = multiprocessing.get_all_start_methods()
    is_default = multiprocessing.get_start_method(allow_none=True) in (None, default)  # a lock of tqdm sets it, too
    return "fork" if is_default and sys.platform == "linux" else None


def count_workers(asked: int | str, device_type: str) -> int:
    """The number of reading processes: two suffice beside a training on the CPU, whose cores they take."""
    if asked != "auto":
        return int(asked)
    try:
        shared_bytes = shutil.disk_usage("/dev/shm").free
    except OSError:  # a system without such a limit
        shared_bytes = SHARED_MEMORY_NEEDED_BYTES
    if shared_bytes < SHARED_MEMORY_NEEDED_BYTES:
        print(
            f"warning: /dev/shm has {shared_bytes >> 20} MiB free, too little for reading processes, so the training "
            f"process reads the images itself. In a container, use docker run --shm-size=2g; to use reading "
            f"processes anyway, set data.workers"
        )
        return 0
    cores = max(count_cores() // local_size(), 1)
    return min(2, cores) if device_type == "cpu" else min(8, cores)
