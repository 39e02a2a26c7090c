"""Processes that work for this one: Ctrl-C and its end are theirs too."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor


def end_with(owner: int) -> None:
    """Let this process end when the one that it works for has ended, by Ctrl-C or killed.

    On Windows a process does not see its parent change: there it ends after its case.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == owner:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Ignore Ctrl-C in the block; processes that it starts ignore it even while they import.

    Windows does not hand this on: there a process ignores it once it has started.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def new_process() -> Iterator[ProcessPoolExecutor]:
    """Yield a process that has done nothing yet; it ends with the block, at once if that fails."""
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawned, initializer=end_with, initargs=(os.getpid(),)) as process:
        with deaf_to_ctrl_c():
            process.submit(os.getpid)  # starts it
        try:
            yield process
        except BaseException:
            for child in multiprocessing.active_children():
                child.kill()
            raise
