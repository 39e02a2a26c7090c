"""What an answer costs on this machine: its time beside another's, and its memory."""

import contextlib
import ctypes
import functools
import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from experiments.tools.workers import new_process

ROUNDS = 5  # of timing
SIZE = 3000  # of the matrices whose product is timed


def medians(calls: dict[str, Callable[[], object]], rounds: int, device: str = "cpu") -> dict:
    """Return the median time of each call, s, by name; in every round each is called once.

    So a spell in which the machine is slow hits all of them. A round before is not counted.
    """
    taken = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            getattr(torch, torch.device(device).type).synchronize()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}


def medians_apart(prepared: dict[str, Callable[[], Callable]], rounds: int) -> dict:
    """Return the ``medians`` of what each ``prepare()`` returns, each in a process of its own."""
    with contextlib.ExitStack() as processes:
        calls = {}
        for name, prepare in prepared.items():
            process = processes.enter_context(new_process())
            process.submit(_keep, prepare).result()
            calls[name] = functools.partial(_answer_of, process)
        return medians(calls, rounds)


_kept = None  # what this process is asked for, again and again


def _keep(prepare: Callable[[], Callable]) -> None:
    """Prepare what ``_call_kept`` calls; between processes it could not travel."""
    global _kept
    _kept = prepare()


def _call_kept() -> None:
    """Call what was prepared, and give nothing back: it could be large."""
    _kept()


def _answer_of(process: ProcessPoolExecutor) -> None:
    """Wait until another process has called what it keeps."""
    process.submit(_call_kept).result()


@torch.no_grad()
def timed(answer: Callable, relu: Callable, images: Tensor) -> tuple[float, float]:
    """Return the seconds that both take, medians of rounds in which they take turns."""
    calls = {"answer": lambda: answer(images), "relu": lambda: relu(images)}
    return tuple(medians(calls, ROUNDS).values())


def product_rate(device: str) -> float:
    """Return the floating-point operations per second in a product of two large matrices."""
    matrix = torch.ones(SIZE, SIZE, device=device)
    return 2 * SIZE**3 / medians({"product": lambda: matrix @ matrix}, ROUNDS, device)["product"]


@torch.no_grad()
def memory_of(answer: Callable, images: Tensor) -> float | None:
    """Return the memory that an answer takes, in MB, beyond what the process held before.

    None where Linux does not tell.
    """
    answer(images[:1], 2)  # what is made once, and stays
    return memory_beyond(lambda: answer(images, 2))  # more steps take no more


def memory_in_a_new_process(prepare: Callable[..., Callable], *arguments) -> float | None:
    """Return the memory that ``prepare(*arguments)()`` takes, in MB, in a process of its own.

    What ``prepare`` needs is not counted. None where Linux does not tell.
    """
    with new_process() as process:
        return process.submit(_memory_of_one_thread, prepare, *arguments).result()


def _memory_of_one_thread(prepare: Callable[..., Callable], *arguments) -> float | None:
    """Return the memory that ``prepare(*arguments)()`` takes in this process."""
    torch.set_num_threads(1)  # threads have memory of their own
    return memory_beyond(prepare(*arguments))


def memory_beyond(call: Callable[[], object]) -> float | None:
    """Return the memory that a call takes at most, in MB, beyond what the process holds."""
    before = peak_memory(forget=True)
    call()
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
