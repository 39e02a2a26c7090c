"""Whatever ends a run early ends it with one line and its status, and mixes nothing unnoticed."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from pipeline import DIGITS, QUICK, files_below, folders, run, train

import convert_all_models
import create_plot
import train_mnist_pytorch
from experiments import __main__ as experiments
from ttfs import InputError
from ttfs.stages.ending import in_one_line, one_line_errors
from ttfs.writing import alone

ROOT = Path(__file__).resolve().parent.parent
SIGNALS = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_run_with_one_line_and_its_status(capsys, number):
    @one_line_errors
    def main(argv):
        os.kill(os.getpid(), number)
        time.sleep(10)

    status, word = SIGNALS[number]
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as stop:
        main([])
    complaint = capsys.readouterr().err
    assert stop.value.code == status and complaint.endswith(f": {word}\n")
    assert complaint.count("\n") == 1
    assert signal.getsignal(number) is before


ERRORS = {
    "input": (InputError("of two\n  lines \x1b[2J"), r"error: of two lines \x1b[2J"),
    "a file": (OSError(errno.EACCES, "Permission denied", "a"), "error: a: Permission denied"),
    "a move": (OSError(errno.EACCES, "Denied", "a", None, "b"), "error: b: Denied"),
    "no file": (OSError(errno.EIO, "Broken"), "error: input or output: Broken"),
    "no words": (OSError("odd"), "error: input or output: odd"),
    "another pipe": (BrokenPipeError(errno.EPIPE, "Broken"), "error: input or output: Broken"),
    "a file's pipe": (BrokenPipeError(errno.EPIPE, "Broken", "a"), "error: a: Broken"),
    "a stop": (KeyboardInterrupt(), "interrupted"),
    "a stop with words": (KeyboardInterrupt("text"), "interrupted"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_what_is_unusable_ends_a_run_with_one_line_and_2(capsys, monkeypatch, kind):
    error, line = ERRORS[kind]

    @one_line_errors
    def main(argv):
        raise error

    monkeypatch.setattr(sys, "argv", ["folder/script.py", "--option"])
    with pytest.raises(SystemExit) as stop:
        main([])
    assert capsys.readouterr() == ("", f"script.py: {line}\n")
    assert stop.value.code == (130 if "a stop" in kind else 2)


SCARCE = {
    "Python's": MemoryError(),
    "NumPy's": MemoryError("Unable to allocate 745. GiB for an array"),
    "torch's, on the CPU": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
    "torch's, on a GPU": torch.OutOfMemoryError("Tried to allocate 745 GiB: CUDA out of memory"),
    "torch's, on Apple's": RuntimeError("MPS backend out of memory"),
}


@pytest.mark.parametrize("kind", SCARCE)
def test_too_little_memory_takes_one_line_that_says_what_to_do(capsys, kind):
    @one_line_errors
    def main(argv):
        raise SCARCE[kind]

    with pytest.raises(SystemExit) as stop:
        main([])
    line = capsys.readouterr().err
    assert stop.value.code == 2 and line.count("\n") == 1
    assert "error: not enough memory" in line and "ask for smaller or fewer" in line


def test_what_torch_refuses_to_allocate_takes_one_line():
    done = ended("import torch; torch.empty(10**14)")
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "error: not enough memory" in done.stderr


def test_what_is_said_too_long_keeps_its_beginning_and_its_end():
    assert in_one_line("a" * 1000) == "a" * 1000
    line = in_one_line(f"cannot write to {'x' * 5000}: choose another folder")
    assert len(line) < 1020 and line.startswith("cannot write to xxx")
    assert line.endswith("xxx: choose another folder") and "x [...] x" in line


@pytest.mark.parametrize(
    "called", ["experiments", "/a/experiments/__main__.py", "__main__.py", "."]
)
def test_the_experiments_have_one_name_in_every_last_line(capsys, monkeypatch, called):
    monkeypatch.setattr(sys, "argv", [called])
    for arguments in (["robustness", "--nonsense"], ["robustness", "--data-dir", "/dev/null/a"]):
        with pytest.raises(SystemExit, match="2"):
            experiments.main([*arguments, "--dataset", "mnist"])
        assert capsys.readouterr().err.startswith("experiments: error: ")


def test_a_defect_keeps_its_traceback_and_a_result_is_returned():
    @one_line_errors
    def main(argv=None):
        """Return one divided by the first number."""
        return 1 // (argv or [1])[0]

    assert (main([1]), main()) == (1, 1) and main.__doc__.startswith("Return one")
    with pytest.raises(ZeroDivisionError):
        main([0])

    @one_line_errors
    def other(argv=None):
        raise RuntimeError("shapes disagree")

    with pytest.raises(RuntimeError):
        other()


def test_a_run_in_a_thread_leaves_signals_alone(capsys):
    handlers = []

    @one_line_errors
    def main(argv):
        handlers.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=main, args=[[]])
    thread.start()
    thread.join()
    assert handlers == [before] and capsys.readouterr().err == ""


IMPORTING = """
import os, runpy, signal, sys
import ttfs

class Stopping:  # sends the signal when a script begins to import torch
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            os.kill(os.getpid(), int(sys.argv[1]))

sys.meta_path.insert(0, Stopping())
sys.modules["__main__"].__file__ = sys.argv[2]
runpy.run_path(sys.argv[2], run_name="__main__")
"""
SCRIPTS = [*sorted(path.name for path in ROOT.glob("*.py")), "experiments/__main__.py"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_signal_ends_the_imports_with_one_line_and_its_status(script):
    command = [sys.executable, "-c", IMPORTING, str(int(signal.SIGINT)), str(ROOT / script)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (130, 1), done.stderr
    assert done.stderr.endswith(": interrupted\n")


def ended(code: str, **options) -> subprocess.CompletedProcess:
    """Run a script whose ``main`` has this body."""
    body = (
        "from ttfs.stages.ending import one_line_errors\n@one_line_errors\ndef main(argv=None):\n"
    )
    command = [sys.executable, "-c", f"{body}    {code}\nmain()"]
    options = {"stdout": subprocess.PIPE} | options
    return subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_comes_again_ends_a_run_at_once(number):
    code = f"""
    import os, time
    for _ in range(2):
        try:
            os.kill(os.getpid(), {int(number)})
            time.sleep(10)
        except KeyboardInterrupt:
            print("asked", flush=True)"""
    done, (status, word) = ended(code.strip()), SIGNALS[number]
    assert (done.returncode, done.stdout) == (status, "asked\n")
    assert done.stderr.endswith(f": {word}\n") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("length", [1, 10**6])
def test_a_pipe_that_nobody_reads_ends_a_run_without_a_word(length, unbuffered):
    reading, writing = os.pipe()
    os.close(reading)
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    done = ended(f"print('m' * {length})", stdout=writing, env=environment)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full device is Linux's")
def test_a_full_disk_behind_standard_output_takes_one_line():
    with open("/dev/full", "w") as full:
        buffered = os.environ | {"PYTHONUNBUFFERED": ""}
        done = ended("print('much')", stdout=full, env=buffered)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "error: standard output: No space left on device" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="limits of a process are POSIX's")
def test_a_full_disk_takes_one_line_that_names_the_file_and_keeps_the_old_one(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    code = f"""
    import resource, signal
    from pathlib import Path
    from ttfs.writing import written_atomically
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    with written_atomically(Path({str(path)!r})) as temporary:
        temporary.write_text("new" * 1000)"""
    done = ended(code.strip())
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert f"{path}: File too large" in done.stderr
    assert files_below(tmp_path) == {"a.json": b"old"}


@pytest.mark.parametrize("file", ["models/digits_3_layer.pkl", "results/digits/training.json"])
def test_a_training_beside_another_that_writes_the_same_files_is_refused(tmp_path, capsys, file):
    path = tmp_path / file
    with alone(path), pytest.raises(SystemExit) as stop:
        train_mnist_pytorch.main([*DIGITS, *QUICK, *folders(tmp_path, "models", "results")])
    assert stop.value.code == 2 and f"another run is writing {path}" in capsys.readouterr().err
    assert files_below(tmp_path) == {}


def test_a_training_that_stops_between_models_is_noticed(tmp_path, monkeypatch, caplog):
    root, record = train(tmp_path), tmp_path / "results" / "digits" / "training.json"
    options = ["--dataset", "digits", "--depths", 2, 3, *folders(root, "models", "results")]
    run(convert_all_models, *options)
    assert not caplog.records
    train_one, left = train_mnist_pytorch.train_one, [1]

    def stopping(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise InputError("stopped")
        return train_one(*arguments)

    monkeypatch.setattr(train_mnist_pytorch, "train_one", stopping)
    with pytest.raises(SystemExit):
        train(root, "--seed", 1)
    found = json.loads(record.read_text())
    assert found["seed"] == 1 and [row["depth"] for row in found["rows"]] == [2]
    run(convert_all_models, *options)
    (line,) = caplog.messages
    words = "the networks were trained with different seeds or settings: of 2 layers; of 3 layers"
    assert words in line and str(root / "models") in line


def test_results_say_how_many_threads_there_were(tmp_path):
    train(tmp_path, "--threads", 1)
    path = tmp_path / "results" / "digits" / "training.json"
    assert json.loads(path.read_text())["threads"] == 1


def drawn(root: Path, place: Path, **environment) -> dict[str, bytes]:
    """Return what the figure's script writes, in a process of its own that starts in a folder."""
    place.mkdir(exist_ok=True)
    script = [sys.executable, str(ROOT / "create_plot.py"), "--dataset", "digits"]
    places = [*folders(root, "results"), *folders(place, "figures")]
    formats = ["--formats", "png", "svg"]
    own = os.environ | environment
    subprocess.run(
        [*script, *places, *formats], cwd=place, env=own, check=True, capture_output=True
    )
    return files_below(place / "figures")


def test_neither_folder_nor_matplotlibrc_nor_locale_nor_hashes_change_a_figure(tmp_path):
    row = {"depth": 2, "engine": "event-driven", "policy": "calibrated", "n_test": 10}
    row |= {"relu_correct": 9, "snn_correct": 8, "agreements": 9}
    path = tmp_path / "results" / "digits" / "conversion.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"dataset": "digits", "rows": [row]}))
    run(
        create_plot,
        "--dataset",
        "digits",
        "--formats",
        "png",
        "svg",
        *folders(tmp_path, "results"),
        *folders(tmp_path, "figures"),
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "matplotlibrc").write_text("axes.facecolor: red\nlines.dashed_pattern: 9, 9\n")
    found = drawn(tmp_path, elsewhere, PYTHONHASHSEED="7", LC_ALL="C")
    assert found == files_below(tmp_path / "figures")


def test_neither_folder_nor_locale_nor_hashes_change_a_network(tmp_path):
    root = train(tmp_path / "here", "--threads", 1)
    script = [sys.executable, str(ROOT / "train_mnist_pytorch.py"), *DIGITS, *QUICK]
    command = [*script, "--threads", "1", *folders(tmp_path / "there", "models", "results")]
    own = os.environ | {"PYTHONHASHSEED": "7", "LC_ALL": "C"}
    subprocess.run(command, cwd=tmp_path, env=own, check=True, capture_output=True)
    assert files_below(tmp_path / "there" / "models") == files_below(root / "models")
