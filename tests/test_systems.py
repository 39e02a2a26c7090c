"""That macOS and Windows, which no test runs on, do as Linux does: files, and calls they lack."""

import ast
import sys
import types
from pathlib import Path

import pytest

from experiments import running
from experiments.lab import Setting
from experiments.tools import cost
from ttfs.stages import readme
from ttfs.stages.report import save_table
from ttfs.stages.results import load_results, save_results
from ttfs.stages.tables import Table

ROOT = Path(__file__).resolve().parent.parent
ON_POSIX_ALONE = {  # and on Linux alone: sched_getaffinity
    "os": "fork forkpty getuid geteuid getgid getpgid killpg setsid mkfifo nice uname wait "
    "sched_getaffinity sched_setaffinity chown fchmod fchown sysconf O_DIRECTORY O_NOFOLLOW",
    "signal": "SIGKILL SIGHUP SIGALRM SIGUSR1 SIGUSR2 SIGCHLD alarm setitimer pause",
}
MODULES_ON_POSIX_ALONE = {"resource", "fcntl", "pwd", "grp", "termios", "pty", "syslog"}


@pytest.fixture
def windows_files(monkeypatch):
    """Let text files be written as on Windows: with its line ends and code page, unless told."""
    opened = Path.open

    def as_windows_does(path, mode="r", buffering=-1, encoding=None, errors=None, newline=None):
        if "b" not in mode:
            encoding = "cp1252" if encoding in (None, "locale") else encoding
            newline = "\r\n" if newline is None and "r" not in mode else newline
        return opened(path, mode, buffering, encoding, errors, newline)

    monkeypatch.setattr(Path, "open", as_windows_does)


def test_results_tables_and_pages_are_the_same_bytes_on_windows(
    tmp_path, monkeypatch, windows_files
):
    (tmp_path / "a.txt").write_text("é\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xe9\r\n"  # what happens untold
    path = save_results(tmp_path / "results" / "a.json", "a", {}, "digits", [{"name": "café → α"}])
    table = save_table(Table(("quantity",), [["café → α"]], 1, "a"), path)
    for page in readme.PAGES:
        (tmp_path / page).parent.mkdir(exist_ok=True)
        (tmp_path / page).write_bytes("→\r\n<!-- a -->\r\n<!-- end -->\r\n".encode())
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    readme.main([])
    assert load_results(path, "a", {})["rows"] == [{"name": "café → α"}]
    assert "| café → α |\n" in table.read_bytes().decode("utf-8")
    page = (tmp_path / "README.md").read_bytes().decode("utf-8")
    assert page == f"→\n<!-- a -->\n{table.read_bytes().decode('utf-8')}<!-- end -->\n"
    assert b"\r" not in path.read_bytes() + table.read_bytes()


def test_a_run_that_was_killed_goes_on_where_it_stopped_on_windows(
    tmp_path, monkeypatch, windows_files, capsys
):
    measured, breaks = [], [3, 2]

    def measure(lab, n):
        if breaks and n == breaks[-1]:
            breaks.pop()
            raise KeyboardInterrupt
        measured.append(n)
        return {"square": n * n}

    made_up = types.SimpleNamespace(
        NEEDS_MODELS=False, cases=lambda lab: [{"n": n} for n in range(5)], measure=measure
    )
    monkeypatch.setitem(sys.modules, "experiments.made_up", made_up)
    setting = Setting("digits", str(tmp_path), str(tmp_path), (), False)
    path = tmp_path / "made_up.json"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            running.rows_of("made_up", setting, path, 1, None)
    rows = running.rows_of("made_up", setting, path, 1, None)
    assert rows == [{"n": n, "square": n * n} for n in range(5)]
    assert measured == [0, 1, 2, 3, 4]
    assert len(path.with_name(".made_up.journal").read_bytes().splitlines()) == 6
    capsys.readouterr()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(AttributeError("malloc_trim"), id="another C library"),
        pytest.param(TypeError("LoadLibrary() argument 1 must be str, not None"), id="Windows"),
        pytest.param(FileNotFoundError("/proc/self/clear_refs"), id="macOS"),
    ],
)
def test_memory_is_left_open_where_the_system_does_not_tell(monkeypatch, fault):
    def refuse(name):
        raise fault

    monkeypatch.setattr(cost.ctypes, "CDLL", refuse)
    assert cost.peak_memory(forget=True) is None


@pytest.mark.parametrize(
    "path",
    [*ROOT.glob("*.py"), *ROOT.glob("ttfs/**/*.py"), *ROOT.glob("experiments/**/*.py")],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_no_file_calls_what_windows_or_macos_lack_without_asking(path):
    """Whoever asks first, ``hasattr(os, "fork")``, names it in quotes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    asked = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    lacking = {
        f"{module}.{name}" for module, names in ON_POSIX_ALONE.items() for name in names.split()
    }
    used = {
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr not in asked
    }
    tried = {
        part for node in ast.walk(tree) if isinstance(node, ast.Try) for part in ast.walk(node)
    }
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import) and node not in tried
        for alias in node.names
    }
    assert not used & lacking and not imported & MODULES_ON_POSIX_ALONE
