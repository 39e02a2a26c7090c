"""Running an experiment's cases: side by side, and on from where a killed run stopped.

Every finished case is a line of a journal, a hidden file beside the results. A run that finds the
journal of the same experiment, code, settings, models and versions goes on with the cases that it
lacks; any other journal is begun anew. The rows that come out do not depend on how often a run was
killed, nor on how many processes shared the cases: every case is computed by one thread.
"""

import contextlib
import functools
import hashlib
import importlib
import json
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from joblib import Parallel, delayed, parallel_config

from experiments.lab import Lab, Setting
from ttfs import InputError
from ttfs.lenet import DEPTH
from ttfs.stages.options import ROOT, progress
from ttfs.stages.results import versions
from ttfs.storage import model_path
from ttfs.writing import naming

lab_of = functools.cache(Lab)  # one per process
TEXT = {"encoding": "utf-8", "newline": "\n"}  # so that places in a file count alike everywhere
PATIENCE = "10s"  # how long a cluster may take to answer


def rows_of(name: str, setting: Setting, path: Path, jobs: int, cluster: str | None) -> list[dict]:
    """Return the rows of an experiment's cases, in the order of ``cases``.

    ``path`` is the results file that they are for; the journal lies beside it.
    """
    module, lab = importlib.import_module(f"experiments.{name}"), lab_of(setting)
    for depth in setting.depths if getattr(module, "NEEDS_MODELS", True) else ():
        lab.network(depth)  # an unusable model is found here, before there are workers
    cases = module.cases(lab)
    journal = path.with_name(f".{name}.journal")
    done = _finished(journal, _identity(name, setting))
    if done:
        print(f"going on where a run stopped: {len(done)} of {len(cases)} cases are done")
    todo = [case for case in cases if _key(case) not in done]
    todo.sort(key=lambda case: -case.get("depth", 0))  # the longest first
    jobs = 1 if getattr(module, "ALL_THREADS", False) else jobs
    with _workers(jobs, cluster) as parallel:
        with _deaf_to_ctrl_c():
            found = parallel(delayed(_measure_case)(name, setting, case) for case in todo)
        bar = progress(found, name, total=len(cases), initial=len(cases) - len(todo), unit="case")
        for case, rows in bar:
            with naming(journal), journal.open("a", **TEXT) as file:
                file.write(json.dumps([case, rows], allow_nan=False) + "\n")
            done[_key(case)] = rows
    return [row for case in cases for row in done[_key(case)]]


def forget(name: str, path: Path) -> None:
    """Remove the journal of results that have been written."""
    path.with_name(f".{name}.journal").unlink(missing_ok=True)


def _measure_case(name: str, setting: Setting, case: dict) -> tuple[dict, list[dict]]:
    """Return a case and its rows, measured by one thread, in whatever process this is.

    An experiment with ``ALL_THREADS`` takes times: one case at a time has all of them.
    """
    module, threads = importlib.import_module(f"experiments.{name}"), torch.get_num_threads()
    torch.set_num_threads(threads if getattr(module, "ALL_THREADS", False) else 1)
    try:
        rows = module.measure(lab_of(setting), **case)
    finally:
        torch.set_num_threads(threads)
    return case, [case | row for row in (rows if isinstance(rows, list) else [rows])]


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
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Ignore Ctrl-C in the block; processes that it starts ignore it even while they import.

    Windows does not hand this on: there a process ignores it once it has started.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _workers(jobs: int, cluster: str | None) -> Iterator[Parallel]:
    """Yield what runs calls side by side, in processes of this machine or on a Dask cluster."""
    options = {"return_as": "generator_unordered", "batch_size": 1}
    if cluster is None:
        # joblib replaces a worker whose memory has grown: the next one makes its own lab.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        own = {"n_jobs": jobs, "initializer": end_with, "initargs": (os.getpid(),)}
        with parallel_config(backend="loky", **own):
            yield Parallel(**options)
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError("--cluster needs Dask: pip install distributed") from error
    try:
        client = Client(cluster, timeout=PATIENCE)
    except (OSError, ValueError, MemoryError) as error:  # another program's answer, read as sizes
        raise InputError(f"no cluster answers at {cluster} ({error})") from error
    with client, parallel_config(backend="dask"):
        yield Parallel(**options)


def _key(case: dict) -> str:
    """Return a case as text."""
    return json.dumps(case, sort_keys=True)


def _identity(name: str, setting: Setting) -> dict:
    """Return all that a case's rows depend on, in the journal's first line."""
    code = hashlib.sha256()
    for file in sorted([*ROOT.glob("ttfs/**/*.py"), *ROOT.glob("experiments/**/*.py")]):
        code.update(file.read_bytes())
    models, folder = hashlib.sha256(), Path(setting.models)
    files = [model_path(folder, setting.dataset, depth) for depth in setting.depths]
    files.append(model_path(folder, setting.dataset, DEPTH, "lenet"))
    for file in [*files, *sorted(folder.glob("records/*/*.pkl"))]:
        models.update(file.read_bytes() if file.exists() else b"")
    hashes = {"code": code.hexdigest(), "models": models.hexdigest()}
    what = {"experiment": name, "dataset": setting.dataset, "depths": list(setting.depths)}
    what |= {"quick": setting.quick, "options": dict(setting.options)}
    return what | hashes | {"versions": versions()}


def _finished(journal: Path, identity: dict) -> dict[str, list[dict]]:
    """Return the rows of the cases in a journal, by case; begin it anew if it is of something else.

    What follows the last whole line was being written when the run was killed: it is cut off.
    """
    text = journal.read_text(encoding="utf-8", errors="replace") if journal.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    first, *lines = whole.splitlines() or [""]
    with contextlib.suppress(ValueError, TypeError):
        if first == json.dumps(identity):
            done = {_key(case): rows for case, rows in map(json.loads, lines)}
            os.truncate(journal, len(whole.encode()))
            return done
    with naming(journal):
        journal.write_text(json.dumps(identity) + "\n", **TEXT)
    return {}
