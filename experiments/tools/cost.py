"""What an answer costs on this machine: its time beside another's, and its memory."""

import ctypes
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

ROUNDS = 5  # of timing


@torch.no_grad()
def timed(answer: Callable, relu: Callable, images: Tensor) -> tuple[float, float]:
    """Return the seconds that both take, medians of rounds in which they take turns."""
    taken = {answer: [], relu: []}
    for _ in range(ROUNDS):
        for run, seconds in taken.items():
            start = time.perf_counter()
            run(images)
            seconds.append(time.perf_counter() - start)
    return statistics.median(taken[answer]), statistics.median(taken[relu])


@torch.no_grad()
def memory_of(answer: Callable, images: Tensor) -> float | None:
    """Return the memory that an answer takes, in MB, beyond what the process held before.

    None where Linux does not tell.
    """
    answer(images[:1], 2)  # what is made once, and stays
    before = peak_memory(forget=True)
    answer(images, 2)  # more steps take no more
    after = peak_memory()
    return None if None in (before, after) else round(after - before, 1)


def peak_memory(forget: bool = False) -> float | None:
    """Return the most memory that this process has had, in MB; None where Linux does not tell.

    To ``forget`` the peak so far is to begin anew with what is in use now.
    """
    try:
        if forget:
            ctypes.CDLL(None).malloc_trim(0)  # what is free goes back to the system
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
    except (OSError, AttributeError, TypeError):  # macOS; another C library; Windows
        return None
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024
