"""What is freed stays with the process."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
from cleave_train.allocator import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()

def faults(count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(count).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(1 << 25)
print(faults(1 << 24))
"""


def faults(how: str) -> int:
    """Page faults of a tensor of 64 MB, after one of twice the size was freed."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, how], check=True, capture_output=True,
                          text=True)
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_a_second_tensor_has_the_first_ones_pages() -> None:
    assert faults("keep") < 100 < faults("plain")
