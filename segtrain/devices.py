"""Devices and precision: from the names in the configuration to torch."""

import os
from contextlib import AbstractContextManager

import torch

from segtrain.distributed import is_several, local_rank, local_size
from segtrain.errors import ConfigError, reason_of
from segtrain.memory import count_cores


def resolve_device(name: str) -> torch.device:
    """The device of an experiment; each of several processes has its own GPU. Raises ConfigError if it does not
    exist."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if is_several():
        return _own_device(name)
    try:
        device = torch.device(name)
        torch.empty(1, device=device).cpu()  # "meta" has memory for nothing
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device '{name}' cannot be used: {reason_of(error)}") from error
    return device


def _own_device(name: str) -> torch.device:
    if name == "cuda":
        if local_rank() >= torch.cuda.device_count():
            raise ConfigError(
                f"no GPU is left for this process: this machine has {torch.cuda.device_count()} for {local_size()} "
                f"processes; lower --nproc-per-node or write train.device: cpu"
            )
        torch.cuda.set_device(local_rank())
        return torch.device("cuda", local_rank())
    if name != "cpu":
        raise ConfigError(
            f"several processes cannot share device '{name}'; write cuda, which gives each its own, or cpu"
        )
    if os.environ.get("OMP_NUM_THREADS") == "1":  # torchrun sets it
        torch.set_num_threads(max(count_cores() // local_size(), 1))
    return torch.device("cpu")


def describe_gpu_memory() -> str:
    """'7.3 of 24 GiB': the maximum that this process has used of its GPU so far; empty without one."""
    if not torch.cuda.is_initialized():
        return ""
    _, whole = torch.cuda.mem_get_info()
    return f"{torch.cuda.max_memory_reserved() / 2**30:.1f} of {whole / 2**30:.0f} GiB"


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """float32, bfloat16 or float16; `auto` uses bf16 only if the hardware supports it, because it is slower
    otherwise."""
    if name != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float16
    if device.type == "cpu" and computes_bf16():
        return torch.bfloat16
    return torch.float32


def computes_bf16() -> bool:
    """Whether this processor has bf16 instructions (AVX512-BF16 or AMX on x86, BF16 on Arm), according to Linux."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags.split())


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """Mixed precision in `dtype`; float32 means none."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)
