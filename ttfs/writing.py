"""Files that are written whole or not at all, and by one run at a time."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ttfs import InputError

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

    fcntl = None

UNFINISHED = ".unfinished"  # in the names of temporary files
DAY = 86_400  # seconds
TRIES = 100  # to lock a file: another run may remove it between its opening and its locking


@contextlib.contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, and move it into place if the block succeeds.

    What killed runs left in the folder is removed first.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_what_killed_runs_left(path.parent)
    file = _unfinished(path)
    if fcntl is None:  # Windows moves no open file
        file.close()
    temporary = Path(file.name)
    with contextlib.closing(file), naming(path):
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())  # a temporary file is private
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of the disk in the block, which may name no file, name ``path``."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Refuse the block, with an InputError, while another run is in one with the same ``path``.

    What is locked is an open file beside ``path``: a run that is killed does not keep the lock.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f".{path.stem}.lock")
    file = _opened_alone(place)
    if not file:
        raise InputError(f"another run is writing {path}: let it end, or choose another folder")
    with file:
        try:
            yield
        finally:
            if fcntl is None:  # Windows removes no open file: neither this run's nor the next one's
                file.close()
            with contextlib.suppress(PermissionError):
                place.unlink(missing_ok=True)


def _unfinished(path: Path) -> IO:
    """Return a new file beside ``path``, open and locked: a living run's."""
    names = {"prefix": f".{path.stem}-", "suffix": f"{UNFINISHED}{path.suffix}"}
    for _ in range(TRIES):
        file = tempfile.NamedTemporaryFile(dir=path.parent, delete=False, **names)
        if _locked(file):
            return file
        file.close()  # another run has taken it for a killed run's, or no file can be locked here
        Path(file.name).unlink(missing_ok=True)
    raise InputError(
        f"no file can be locked in {path.parent}: choose another folder for {path.name}"
    )


def _opened_alone(place: Path) -> IO | None:
    """Return the file, open and locked, or None if another process has it."""
    for _ in range(TRIES):
        try:
            file = open(place, "w")
        except PermissionError:
            if fcntl:
                raise
            continue  # Windows opens no file that another process removes
        if _locked(file):
            return file
        file.close()
    return None


def _locked(file: IO) -> bool:
    """Lock an open file; return whether it is this process's, neither locked nor removed by others.

    The lock ends with the file's closing or the process's end, whatever ends it.
    """
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True  # this file system has no locks
    return not fcntl or os.fstat(file.fileno()).st_nlink > 0


def _remove_what_killed_runs_left(folder: Path) -> None:
    """Remove temporary files that no living run writes: unlocked ones, on Windows a day old."""
    for path in folder.glob(f".*{UNFINISHED}*"):
        with contextlib.suppress(OSError):  # locked, or removed by another run
            if fcntl:
                with path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
            elif time.time() - path.stat().st_mtime > DAY:
                path.unlink()


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
