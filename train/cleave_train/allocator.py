"""Keeps the memory of freed tensors in the process."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's <malloc.h>
NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Has glibc reuse large blocks, which it would give back; whether the C library can be told.

    By default every large tensor is a mapping of its own, whose pages the kernel clears anew at
    each step, which is much of a training step's time on a CPU.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0)) \
        and bool(mallopt(M_TRIM_THRESHOLD, NEVER))
