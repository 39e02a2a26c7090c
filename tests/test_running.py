"""Cases run once each, side by side, and a killed run goes on where it stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pipeline import files_below, folders, run, train

from experiments import __main__ as experiments
from experiments import early_decision, running
from experiments.lab import Setting
from ttfs import InputError
from ttfs.network import random_network
from ttfs.storage import save_network

ROOT = Path(__file__).resolve().parent.parent
NAME, OPTIONS = "early_decision", ["--dataset", "digits", "--depths", 2, 3]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return train(tmp_path_factory.mktemp("running"))


def asked(root: Path, place: Path, *options) -> str:
    """Run the experiment with results in another folder, and return what it prints."""
    places = [*folders(root, "models"), *folders(place, "results", "figures")]
    return run(experiments, NAME, *OPTIONS, *places, *options)


@pytest.fixture(scope="module")
def whole(root, tmp_path_factory) -> dict[str, bytes]:
    """Return every file of an uninterrupted run."""
    place = tmp_path_factory.mktemp("whole")
    asked(root, place, "--jobs", 1)
    return files_below(place)


@pytest.fixture
def counted(monkeypatch) -> list[dict]:
    """Return the cases that are measured from now on."""
    measured, measure = [], early_decision.measure

    def counting(lab, **case):
        measured.append(case)
        return measure(lab, **case)

    monkeypatch.setattr(early_decision, "measure", counting)
    return measured


def stop_after(monkeypatch, n: int) -> None:
    """Let the run break off when it has measured n cases."""
    left, measure = [n], early_decision.measure

    def breaking(lab, **case):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return measure(lab, **case)

    monkeypatch.setattr(early_decision, "measure", breaking)


def journal(place: Path) -> Path:
    return place / "results" / "digits" / f".{NAME}.journal"


def test_results_do_not_depend_on_the_number_of_processes(root, tmp_path, whole):
    asked(root, tmp_path, "--jobs", 2)
    assert files_below(tmp_path) == whole


def test_a_run_that_broke_off_goes_on_with_the_cases_it_lacks(root, tmp_path, whole, monkeypatch):
    with monkeypatch.context() as context:
        stop_after(context, 2)
        with pytest.raises(SystemExit, match="130"):
            asked(root, tmp_path, "--jobs", 1)
    assert len(journal(tmp_path).read_text().splitlines()) == 3
    assert not (tmp_path / "results" / "digits" / f"{NAME}.json").exists()
    stop_after(monkeypatch, 2)  # two are left, of four
    asked(root, tmp_path, "--jobs", 1)
    assert files_below(tmp_path) == whole


def test_a_line_that_was_being_written_is_measured_again(
    root, tmp_path, whole, monkeypatch, counted
):
    with monkeypatch.context() as context:
        stop_after(context, 2)
        with pytest.raises(SystemExit, match="130"):
            asked(root, tmp_path, "--jobs", 1)
    path = journal(tmp_path)
    os.truncate(path, path.stat().st_size - 30)
    counted.clear()
    asked(root, tmp_path, "--jobs", 1)
    assert len(counted) == 3
    assert files_below(tmp_path) == whole


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_networks_of_two_trainings_are_noticed_once_by_a_run(tmp_path, jobs):
    for depth in (2, 3):
        network = random_network([784, *[6] * (depth - 1), 10], 0)
        path = tmp_path / "models" / f"digits_{depth}_layer.pkl"
        save_network(path, network, dataset="digits", seed=depth)
    places = [*folders(tmp_path, "models", "results", "figures"), "--jobs", jobs]
    command = [sys.executable, str(ROOT / "experiments"), NAME, *map(str, OPTIONS), *places]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    words = "networks were trained with different seeds or settings: of 2 layers; of 3 layers"
    assert done.stderr == f"{tmp_path / 'models'}: the {words}\n"


CHANGES = {
    "another code": lambda identity: identity | {"code": "0"},
    "other models": lambda identity: identity | {"models": "0"},
    "other versions": lambda identity: identity | {"versions": {"torch": "1.0"}},
    "a short look": lambda identity: identity | {"quick": True},
    "other depths": lambda identity: identity | {"depths": [2]},
}


@pytest.mark.parametrize("change", CHANGES)
def test_journal_of_something_else_is_begun_anew(root, tmp_path, whole, counted, change):
    setting = Setting("digits", str(ROOT / "data"), str(root / "models"), (2, 3), False)
    identity = CHANGES[change](running._identity(NAME, setting))
    wrong = {"depth": 2, "policy": "calibrated", "fraction": 7}
    lines = [json.dumps(identity), json.dumps([{"depth": 2, "policy": "calibrated"}, [wrong]])]
    path = journal(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines) + "\n")
    asked(root, tmp_path, "--jobs", 1)
    assert len(counted) == 4
    assert files_below(tmp_path) == whole


def test_a_spoilt_journal_is_begun_anew(root, tmp_path, whole, counted):
    setting = Setting("digits", str(ROOT / "data"), str(root / "models"), (2, 3), False)
    path = journal(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(running._identity(NAME, setting)) + '\n[{"depth": [{"dep\n')
    asked(root, tmp_path, "--jobs", 1)
    assert len(counted) == 4
    assert files_below(tmp_path) == whole


def test_identity_knows_models_settings_and_versions(root, tmp_path, monkeypatch):
    setting = Setting("digits", "", str(root / "models"), (2, 3), False)
    first = running._identity(NAME, setting)
    assert first == running._identity(NAME, setting)
    for other in (setting._replace(quick=True), setting._replace(options=(("image", 3),))):
        assert running._identity(NAME, other) != first
    (tmp_path / "models").mkdir()
    for depth in (2, 3):
        source = root / "models" / f"digits_{depth}_layer.pkl"
        (tmp_path / "models" / source.name).write_bytes(source.read_bytes())
    moved = setting._replace(models=str(tmp_path / "models"))
    assert running._identity(NAME, moved) == first
    (tmp_path / "models" / "digits_3_layer.pkl").write_bytes(b"another")
    assert running._identity(NAME, moved) != first
    monkeypatch.setattr(running, "versions", lambda: {"torch": "1.0"})
    assert running._identity(NAME, setting) != first


@pytest.mark.parametrize("file", ["ttfs/a.py", "ttfs/stages/a.py", "experiments/a.py"])
def test_identity_knows_the_code(root, tmp_path, monkeypatch, file):
    monkeypatch.setattr(running, "ROOT", tmp_path)
    setting = Setting("digits", "", str(root / "models"), (2, 3), False)
    first = running._identity(NAME, setting)
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("a = 1\n")
    second = running._identity(NAME, setting)
    (tmp_path / file).write_text("a = 2\n")
    assert first != second != running._identity(NAME, setting) != first


@pytest.mark.parametrize("n_done", [0, 1, 3])
def test_a_run_that_is_killed_goes_on_and_ends_the_same(root, tmp_path, whole, n_done):
    places = [*folders(root, "models"), *folders(tmp_path, "results", "figures")]
    command = [sys.executable, str(ROOT / "experiments"), NAME, *OPTIONS, "--jobs", 2, *places]
    command = list(map(str, command))
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, cwd=tmp_path, start_new_session=True
    )
    path = journal(tmp_path)
    while not path.exists() or len(path.read_text().splitlines()) <= n_done:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert_no_worker_is_left(process.pid)
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert ("going on where a run stopped" in done.stdout) == (n_done > 0)
    made = {name: data for name, data in files_below(tmp_path).items() if "/." not in name}
    assert made == whole


def assert_no_worker_is_left(group: int, patience: float = 15.0) -> None:
    """Check that every process of a group ends soon."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.2)
    os.killpg(group, signal.SIGKILL)
    raise AssertionError("workers outlive the process that they work for")


def test_cases_run_on_a_dask_cluster(root, tmp_path, whole):
    distributed = pytest.importorskip("distributed", reason="pip install -r requirements-test.txt")
    import dask

    with dask.config.set({"distributed.worker.daemon": False}):
        options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
        with distributed.LocalCluster(**options) as cluster:
            asked(root, tmp_path, "--cluster", cluster.scheduler_address)
    assert files_below(tmp_path) == whole


class Cluster:
    """Answers as a Dask client does whose processes have this software."""

    def __init__(self, scheduler, **workers):
        self.scheduler, self.workers = scheduler, workers

    def run_on_scheduler(self, call):
        if isinstance(self.scheduler, Exception):
            raise self.scheduler
        return self.scheduler

    def run(self, call, on_error):
        return self.workers


SAME = running._software()
OTHER = SAME | {"versions": SAME["versions"] | {"torch": "1.0"}}


def test_cluster_with_this_software_is_accepted():
    running._check(Cluster(SAME, a=SAME, b=SAME), "tcp://there:1")


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        (Cluster(ModuleNotFoundError("experiments"), a=SAME), "^the scheduler has not this code"),
        (Cluster(SAME, a=SAME, b=OTHER), "^b has not .* these versions.*: start it in the same"),
        (Cluster(SAME, a=SAME | {"code": "0"}), "^a has not this code"),
        (Cluster(SAME, a=ModuleNotFoundError("experiments")), "^a has not this code"),
        (Cluster(SAME), "no workers: start `dask worker tcp://there:1`$"),
    ],
)
def test_cluster_with_other_software_is_refused(cluster, words):
    with pytest.raises(InputError, match=words):
        running._check(cluster, "tcp://there:1")


@pytest.mark.parametrize("option", [("--jobs", "2"), ("--cluster", "tcp://127.0.0.1:9")])
def test_experiment_that_takes_times_shares_its_cases_with_nobody(option, capsys):
    with pytest.raises(SystemExit) as stop:
        experiments.main(["benchmarks", *option])
    assert stop.value.code == 2 and f"unrecognized arguments: {' '.join(option)}" in (
        capsys.readouterr().err
    )


def test_worker_that_is_killed_takes_one_line(root, tmp_path):
    places = [*folders(root, "models"), *folders(tmp_path, "results", "figures")]
    command = [sys.executable, str(ROOT / "experiments"), NAME, *OPTIONS, "--jobs", 2, *places]
    program = "import os, signal, runpy, sys; from experiments import running; " + (
        "running._measure_case = lambda *_: os.kill(os.getpid(), signal.SIGKILL); "
        "sys.argv[:1] = []; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command[1:1] = ["-c", program]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=ROOT)
    *_, complaint = done.stderr.splitlines()
    assert (done.returncode, done.stderr.count("Traceback")) == (2, 0), done.stderr
    assert "error: a worker was killed: run again, with fewer --jobs" in complaint


AT_WORK = """
import signal, time
from experiments.tools.workers import new_process
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has it ignored
    with new_process() as process:
        process.submit(print, "begun", flush=True).result()
        process.submit(time.sleep, 100).result()
"""


@pytest.mark.parametrize(("stop", "tracebacks"), [(signal.SIGKILL, 0), (signal.SIGINT, 1)])
def test_process_apart_ends_with_the_one_it_works_for(tmp_path, stop, tracebacks):
    (tmp_path / "at_work.py").write_text(AT_WORK)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "at_work.py"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    if stop == signal.SIGINT:
        os.killpg(process.pid, stop)  # as a terminal does
    else:
        process.send_signal(stop)
    _, complaint = process.communicate(timeout=30)
    assert complaint.count("Traceback") == tracebacks, complaint
    assert_no_worker_is_left(process.pid)


def test_processes_and_a_cluster_are_one_choice(capsys):
    with pytest.raises(SystemExit) as stop:
        experiments.main([NAME, "--jobs", "200", "--cluster", "tcp://127.0.0.1:9"])
    assert stop.value.code == 2 and "not allowed with argument --jobs" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense"])
def test_a_cluster_that_does_not_answer_takes_one_line(
    root, tmp_path, capsys, address, monkeypatch
):
    pytest.importorskip("distributed")
    monkeypatch.setattr(running, "PATIENCE", "1s")
    with pytest.raises(SystemExit) as stop:
        places = [*folders(root, "models"), *folders(tmp_path, "results", "figures")]
        experiments.main([NAME, *map(str, OPTIONS), *places, "--cluster", address])
    complaint = capsys.readouterr().err
    assert stop.value.code == 2 and complaint.count("\n") == 1
    assert f"no cluster answers at {address}" in complaint


def test_an_error_of_the_input_in_a_case_takes_one_line_even_from_another_process(tmp_path, capsys):
    places = folders(tmp_path, "models", "results", "figures")
    for jobs in (1, 2):
        with pytest.raises(SystemExit) as stop:
            experiments.main([NAME, *map(str, OPTIONS), *places, "--jobs", str(jobs)])
        complaint = capsys.readouterr().err
        assert stop.value.code == 2 and complaint.count("\n") == 1, complaint
        assert "digits_" in complaint and "not found; run `python train_mnist" in complaint
