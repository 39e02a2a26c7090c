"""Files are written whole or not at all, by one run at a time, and killed runs leave nothing."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline import files_below

from ttfs import InputError, writing
from ttfs.storage import check_writable
from ttfs.writing import _locked, alone, written_atomically

ROOT = Path(__file__).resolve().parent.parent
HOLD = """
import contextlib, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from ttfs import writing
with getattr(writing, sys.argv[2])(Path(sys.argv[3])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder():
    """Return what starts another process that is writing a file until it is killed."""
    started = []

    def hold(what: str, path: Path) -> subprocess.Popen:
        command = [sys.executable, "-c", HOLD, str(ROOT), what, str(path)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, **pipes))
        assert started[-1].stdout.readline() == "held\n"
        return started[-1]

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def test_exception_while_writing_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), written_atomically(path) as temporary:
        assert temporary.parent == path.parent  # on the same disk: the move cannot be half done
        temporary.write_text("half of the n")
        raise KeyboardInterrupt
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
    assert path.read_text() == "old"


def test_the_old_file_stays_whole_until_the_new_one_is(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")
    with written_atomically(path) as temporary:
        temporary.write_text("ne")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path and temporary.name.startswith(".results-")
        assert temporary.suffix == ".json"
        temporary.write_text("new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced_in_one_step_and_never_written_to(tmp_path, monkeypatch):
    path, moved = tmp_path / "results.json", []
    path.write_text("old")
    before = path.stat().st_ino
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *names: (moved.append(names), replace(*names)))
    with written_atomically(path) as temporary:
        temporary.write_text("new")
    assert moved == [(temporary, path)] and path.stat().st_ino != before


def test_a_reader_of_the_old_file_goes_on_reading_it(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")
    with path.open() as reader:
        with written_atomically(path) as temporary:
            temporary.write_text("new")
        assert reader.read() == "old"


def test_written_file_replaces_the_old_one_with_ordinary_permissions(tmp_path):
    path = tmp_path / "new folder" / "a.json"
    for text in ("old", "new"):
        with written_atomically(path) as temporary:
            temporary.write_text(text)
    (tmp_path / "plain").touch()
    assert path.read_text() == "new"
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert len(list(path.parent.iterdir())) == 1


def test_what_a_killed_run_left_is_removed_and_what_a_living_one_writes_stays(tmp_path, holder):
    killed, living = (holder("written_atomically", tmp_path / name) for name in ("a.pkl", "b.pkl"))
    (other,) = tmp_path.glob(".b-*")
    killed.kill()
    killed.wait()
    (tmp_path / ".hidden-of-others.txt").touch()
    with written_atomically(tmp_path / "c.json") as temporary:
        temporary.write_text("new")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {other.name, "c.json", ".hidden-of-others.txt"}
    living.communicate("")
    assert (tmp_path / "b.pkl").exists() and not other.exists()


def test_an_error_of_the_disk_names_the_file_and_keeps_the_old_one(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(OSError, match="No space left") as full:
        with written_atomically(path) as temporary:
            temporary.write_text("half of the n")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert full.value.filename == str(path)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_an_error_that_has_only_words_keeps_them_and_names_the_file(tmp_path):
    with pytest.raises(OSError) as short, writing.naming(tmp_path / "a.npz"):
        raise OSError("7 requested and 0 written")  # numpy's, on a full disk
    assert short.value.filename == str(tmp_path / "a.npz")
    assert short.value.strerror == "7 requested and 0 written"


class Windows:
    """Stands for msvcrt, whose lock another process may have for the first so many times."""

    LK_NBLCK = 2

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    def locking(self, *_) -> None:
        self.refusals -= 1
        if self.refusals >= 0:
            raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize("refusals", [0, 3, 10**6])
def test_a_folder_where_no_file_can_be_locked_is_refused_and_left_empty(
    tmp_path, monkeypatch, refusals
):
    monkeypatch.setattr(writing, "fcntl", None)
    monkeypatch.setattr(writing, "msvcrt", Windows(refusals), raising=False)
    if refusals < 100:
        with written_atomically(tmp_path / "a.json") as temporary:
            temporary.write_text("new")
        assert files_below(tmp_path) == {"a.json": b"new"}
        return
    words = f"no file can be locked in {tmp_path}: choose another folder for a.json"
    with pytest.raises(InputError, match=words), written_atomically(tmp_path / "a.json"):
        pass
    assert files_below(tmp_path) == {}


def test_a_lock_file_that_windows_does_not_open_is_another_runs(tmp_path, monkeypatch):
    def refusing(place, mode):
        raise PermissionError(errno.EACCES, "Permission denied", str(place))

    monkeypatch.setattr(writing, "open", refusing, raising=False)
    with pytest.raises(PermissionError), alone(tmp_path / "a.json"):
        pass
    monkeypatch.setattr(writing, "fcntl", None)
    with pytest.raises(InputError, match="another run is writing"), alone(tmp_path / "a.json"):
        pass


def test_a_second_run_is_refused_while_the_first_lives_and_not_after_it_was_killed(
    tmp_path, holder
):
    path = tmp_path / "results" / "a.json"
    first = holder("alone", path)
    with pytest.raises(InputError, match=f"another run is writing {path}"), alone(path):
        pass
    with alone(path.with_name("b.json")):  # something else may be written beside it
        pass
    first.send_signal(signal.SIGKILL)
    first.wait()
    with alone(path):
        pass
    assert list(path.parent.iterdir()) == []


def test_a_folder_that_can_be_written_to_is_made_and_left_empty(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no open file is removed there")
def test_a_lock_that_was_removed_before_it_was_locked_is_opened_anew(tmp_path, monkeypatch):
    place, removed = tmp_path / "lock", []

    def locked(file):
        if not removed:  # the run that had locked it ends
            place.unlink()
            removed.append(file)
        return _locked(file)

    monkeypatch.setattr(writing, "_locked", locked)
    with writing._opened_alone(place) as file:
        assert file is not removed[0] and removed[0].closed and place.exists()
