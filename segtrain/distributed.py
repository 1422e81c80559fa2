"""Processes of a training, started by torchrun or an engine with the same environment.

`join` makes them a group. With a single process it does nothing, and every function here returns what it was given. The
contract is RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, and LOCAL_RANK and LOCAL_WORLD_SIZE if they are set; an
existing group (Ray Train makes one) is used as is.
"""

import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from segtrain.errors import ConfigError, SegtrainError, TrainingError, reason_of

MEETING = timedelta(minutes=10)
MEETING_POLL_SECONDS = 0.05
PATIENCE = timedelta(hours=24)  # the first process counts masks while the others wait; one that dies is noticed at once
SPEAKING_ORDER_SECONDS = 0.3

_hosts: dist.ProcessGroup | None = None  # the group for what lies on the CPU
_place = (0, 1, 0)  # the number of this process on its machine, how many there are, and which is the first of them
_store: dist.Store | None = None
_speaks: bool | None = None


def is_several() -> bool:
    """Whether this process is one of several in a group."""
    return _hosts is not None


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if is_several() else 0


def size() -> int:
    """The number of processes."""
    return dist.get_world_size() if is_several() else 1


def local_rank() -> int:
    """The number of this process among those of its machine."""
    return _place[0] if is_several() else 0


def local_size() -> int:
    """The number of processes on this machine."""
    return _place[1] if is_several() else 1


@contextmanager
def joined() -> Iterator[None]:
    """Join the other processes, if there are any, and leave them at the end. Only the first prints; errors of the
    others are shown. Raises TrainingError if another process ended early."""
    global _hosts, _place, _store
    made = not dist.is_initialized()
    if made and os.environ.get("WORLD_SIZE", "1") == "1":
        yield
        return
    if made:
        _store, number, count = _meet()
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        dist.init_process_group(backend, store=_store, rank=number, world_size=count, timeout=PATIENCE)
    _hosts = dist.new_group(backend="gloo", timeout=PATIENCE)
    _place = _find_place()
    printed = sys.stdout
    if rank():
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  (to the end of this function)
    try:
        yield
        if made:
            dist.destroy_process_group()
    except RuntimeError as error:
        if not any(word in str(error) for word in ("gloo", "NCCL", "TCPStore")):
            raise
        raise TrainingError("another process ended early, most likely killed; restart all processes") from error
    finally:
        _hosts, sys.stdout = None, printed


def _meet() -> tuple[dist.Store, int, int]:
    """A store that all processes share, the number of this one, and how many there are."""
    absent = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if absent:
        raise ConfigError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {', '.join(absent)} is not set; start with torchrun, or "
            f"unset WORLD_SIZE"
        )
    where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    try:
        store, number, count = next(dist.rendezvous("env://", timeout=MEETING))
        return dist.PrefixStore(_agree_on_start(store, number, count), store), number, count
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"the processes cannot connect at {where}: {reason_of(error)}") from error


def _agree_on_start(store: dist.Store, number: int, count: int) -> str:
    """A name that is unique to this start of all processes. torchrun keeps the store when it restarts them, with the
    addresses of those that are gone, and counts its restarts on each machine separately."""
    mine, ends = secrets.token_hex(8), time.monotonic() + MEETING.total_seconds()
    if number == 0:
        store.set("start", mine)
        keys = [f"{mine}/{other}" for other in range(1, count)]
        store.wait(keys, MEETING)
        store.set(f"{mine}/all", ",".join(store.get(key).decode() for key in keys))
        return mine
    while time.monotonic() < ends:
        start = store.get("start").decode()  # perhaps that of an earlier start, which did not have this process
        store.set(f"{start}/{number}", mine)
        if store.check([f"{start}/all"]) and mine in store.get(f"{start}/all").decode().split(","):
            return start
        time.sleep(MEETING_POLL_SECONDS)
    raise RuntimeError(f"process 0 did not appear within {MEETING}")


def _find_place() -> tuple[int, int, int]:
    """What _place is. Kubeflow does not tell; then hosts are counted."""
    if "LOCAL_RANK" in os.environ and "LOCAL_WORLD_SIZE" in os.environ:
        number = int(os.environ["LOCAL_RANK"])
        return number, int(os.environ["LOCAL_WORLD_SIZE"]), rank() - number
    hosts: list[Any] = [None] * size()
    dist.all_gather_object(hosts, socket.gethostname(), group=_hosts)
    host = hosts[rank()]
    return hosts[: rank()].count(host), hosts.count(host), hosts.index(host)


def describe() -> str:
    """`process 3 (on host)`, as messages call this process."""
    return f"process {os.environ.get('RANK', rank())} (on {socket.gethostname()})"


def is_first_to_speak() -> bool:
    """Whether no other process has reported why it ends. The first process reports what all find at once."""
    global _speaks
    if _speaks is None and _store is not None:
        time.sleep(SPEAKING_ORDER_SECONDS if os.environ["RANK"] != "0" else 0)
        try:
            _speaks = _store.add("spoken", 1) == 1
        except RuntimeError:  # whoever kept the store is gone
            _speaks = True
    return _speaks is not False


def from_first(compute: Callable[[], Any]) -> Any:
    """The result of the function in the first process, in all of them: the others wait. Its errors are raised in
    all."""
    if not is_several():
        return compute()
    found = [_attempt(compute) if rank() == 0 else None]
    dist.broadcast_object_list(found, group=_hosts, group_src=0)
    return _result(found[0])


def from_first_of_machine(compute: Callable[[], Any]) -> Any:
    """The result of the function in the first process of each machine, in all processes of that machine: they wait.
    Errors in one are raised in all."""
    if not is_several():
        return compute()
    found: list[Any] = [None] * size()
    dist.all_gather_object(found, _attempt(compute) if local_rank() == 0 else (None, None), group=_hosts)
    for each in found:
        _result(each)
    return _result(found[_place[2]])


def _attempt(compute: Callable[[], Any]) -> tuple[Any, SegtrainError | None]:
    try:
        return compute(), None
    except SegtrainError as error:
        return None, error


def _result(found: tuple[Any, SegtrainError | None]) -> Any:
    if found[1] is not None:
        raise found[1]
    return found[0]


def require_same(what: str, value: str) -> None:
    """Raises ConfigError, with a process, if a value there differs from that in the first."""
    if is_several():
        values: list[Any] = [None] * size()
        dist.all_gather_object(values, (value, socket.gethostname()), group=_hosts)
        for number, (other, host) in enumerate(values):
            if other != values[0][0]:
                raise ConfigError(
                    f"{what}: process {number} (on {host}) has {other}, and process 0 (on {values[0][1]}) has "
                    f"{values[0][0]}; all processes must have the same"
                )


def highest(*values: float) -> tuple[float, ...]:
    """The maximum of each value over the processes. Does not wait for the device."""
    if not is_several():
        return values
    tensor = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(tensor, dist.ReduceOp.MAX, group=_hosts)
    return tuple(tensor.tolist())


def join_lists(items: list) -> list:
    """The items of all processes, in the first one; in the others nothing."""
    if not is_several():
        return items
    parts: list[Any] | None = [None] * size() if rank() == 0 else None
    dist.gather_object(items, parts, group=_hosts, group_dst=0)
    return [item for part in parts or [] for item in part]


def share(tensors: list[Tensor]) -> None:
    """Copy some tensors of the first process to all processes, in place."""
    if is_several():
        for tensor in tensors:
            dist.broadcast(tensor, 0, group=_group(tensor))


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.detach().clone()
        dist.all_reduce(total, group=_group(total))
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * dist.get_world_size()


def sum_all(values: Tensor) -> Tensor:
    """The sum of a tensor of any shape over the processes. Its gradient is too large by a factor of the number of
    processes, because they average the gradients of a weight."""
    return _Sum.apply(values) if is_several() else values


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        values = values.detach().contiguous()
        parts = [torch.empty_like(values) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, values, group=_group(values))
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.chunk(dist.get_world_size())[dist.get_rank()] * dist.get_world_size()


def gather_all(values: Tensor) -> Tensor:
    """The batch of all processes, (N, ...) each, with the gradient of `sum_all`. Raises ConfigError if their shapes
    differ."""
    if not is_several():
        return values
    sides = (*values.shape, *(-side for side in values.shape))
    if highest(*sides) != sides:
        raise ConfigError(
            "the images of a batch differ in height and width between processes; end transforms.train with RandomCrop: "
            "{height: 256, width: 256, pad_if_needed: true}, or Resize"
        )
    return _Gather.apply(values)


def _group(tensor: Tensor) -> dist.ProcessGroup | None:
    return _hosts if tensor.device.type == "cpu" else None
