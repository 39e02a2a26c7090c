"""How a script ends: in one line on standard error, whatever ends it early, and with a status.

A script imports this first, and what takes seconds to import after it. Then the signals that ask
for an end end it at once, until ``main`` begins and after it has returned.
"""

import contextlib
import functools
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ttfs import InputError

ROOT = Path(__file__).resolve().parents[2]
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
NOBODY_READS = 141  # the status of what writes into a pipe that has been closed
LONGEST = 1000  # characters of a line; of a longer one the middle is left out
NO_MEMORY = ("can't allocate memory", "out of memory", "bad_alloc")  # in torch's RuntimeErrors


def one_line_errors(main: Callable) -> Callable:
    """Make whatever ends a script early end it with one line on standard error, and a status.

    That is 2 for unusable input, for files that cannot be written and for too little memory, 130
    for Ctrl-C, and 143 for SIGTERM. Output that nobody reads any more (``| head``) ends it with 141
    and without a word.
    """

    @functools.wraps(main)
    def wrapped(argv: Sequence[str] | None = None) -> int | None:
        status = 2
        if isinstance(sys.stdout, io.TextIOWrapper):  # where a character is lacking, its code
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            with _stoppable(), _printed():
                return main(argv)
        except KeyboardInterrupt as stop:
            number = next((n for n in WORDS if stop.args == (n,)), signal.SIGINT)
            message, status = WORDS[number], 128 + number
        except InputError as error:
            message = f"error: {error}"
        except OSError as error:
            place = error.filename2 or error.filename or "input or output"
            message = f"error: {place}: {error.strerror or error}"
        except (MemoryError, RuntimeError) as error:
            if not _is_lack_of_memory(error):
                raise
            message = "error: not enough memory for these networks and images; ask for smaller"
            message += " or fewer ones, or end other programs"
        sys.stderr.write(last_line(message))
        raise SystemExit(status)

    return wrapped


def last_line(message: str) -> str:
    """Return a message as a script's one line, which begins with the script's or folder's name."""
    path = Path(sys.argv[0])
    name = path.parent.name if path.name == "__main__.py" else path.name
    return f"{name or 'experiments'}: {in_one_line(message)}\n"


def in_one_line(message: str) -> str:
    """Return a message on one line, with codes for what a terminal would obey."""
    line = printable(" ".join(message.split()))
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} [...] {line[-LONGEST // 2 :]}"
    return line


def printable(text: str) -> str:
    """Return a text with codes for what a terminal would obey, ends of lines included."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _is_lack_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Return whether Python, NumPy or torch, on any device, found no memory.

    Torch is known by its words: importing it for its types would take seconds.
    """
    return isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)


def _end_at_once(number: int, _) -> None:
    """End the process: the handler of signals while nothing is being written."""
    os.write(2, last_line(WORDS[number]).encode())
    os._exit(128 + number)


def _stop(number: int, _) -> None:
    """Raise a KeyboardInterrupt that knows its signal; the same signal again ends at once."""
    signal.signal(number, _end_at_once)
    raise KeyboardInterrupt(number)


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM raise a KeyboardInterrupt in the block."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    before = {number: signal.signal(number, _stop) for number in WORDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _printed() -> Iterator[None]:
    """Write out what the block prints when it ends: an error in doing so is found here.

    It names standard output; if that is a pipe that nobody reads, the block ends without a word.
    """
    try:
        yield
    except BrokenPipeError:
        if not _nobody_reads():
            raise  # another pipe's
        raise SystemExit(NOBODY_READS) from None
    finally:
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes again
            if isinstance(error, BrokenPipeError):
                raise SystemExit(NOBODY_READS) from None
            raise OSError(error.errno, error.strerror, "standard output") from error


def _nobody_reads() -> bool:
    """Return whether standard output is a pipe whose reader has closed it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # it is no file, or on Windows
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    return False


def _is_script() -> bool:
    """Return whether what runs is a script of this project, and not what has imported one."""
    place = getattr(sys.modules["__main__"], "__file__", None)
    return place is not None and Path(place).resolve().parent in (ROOT, ROOT / "experiments")


if _is_script():
    for number in WORDS:
        signal.signal(number, _end_at_once)
