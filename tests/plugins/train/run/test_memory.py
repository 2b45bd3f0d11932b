"""What a process does with memory that it has freed."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, resource, torch
from glidepath.plugins.train.run.memory import keep_freed

def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pieces = [torch.ones(2**18) for _ in range(32)]
    del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

step()
taken = step()
keep_freed(torch.device("cpu"))
step()
print(taken, step())
"""


@pytest.mark.thorough
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc is the C library that gives memory back")
def test_a_step_on_a_cpu_gets_the_memory_of_the_one_before() -> None:
    """32 MiB are 8,192 pages: without it all of them are got anew, with it next to none."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    without, kept = map(int, done.stdout.split())
    assert without > 8000
    assert kept < 1000
