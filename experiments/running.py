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
import warnings
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor

from experiments.lab import Lab, Setting
from experiments.tools.workers import deaf_to_ctrl_c, end_with
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
    with _workers(jobs, cluster) as parallel:
        with deaf_to_ctrl_c():
            found = parallel(delayed(_measure_case)(name, setting, case) for case in todo)
        bar = progress(found, name, total=len(cases), initial=len(cases) - len(todo), unit="case")
        for case, rows in bar:
            with naming(journal), journal.open("a", **TEXT) as file:
                file.write(json.dumps([case, rows], allow_nan=False) + "\n")
            done[_key(case)] = rows
    return [row for case in cases for row in done[_key(case)]]


def takes_all_threads(module) -> bool:
    """Return whether an experiment takes times: one case at a time has all threads."""
    return getattr(module, "ALL_THREADS", False)


def forget(name: str, path: Path) -> None:
    """Remove the journal of results that have been written."""
    path.with_name(f".{name}.journal").unlink(missing_ok=True)


def _measure_case(name: str, setting: Setting, case: dict) -> tuple[dict, list[dict]]:
    """Return a case and its rows, measured by one thread, in whatever process this is."""
    module, threads = importlib.import_module(f"experiments.{name}"), torch.get_num_threads()
    torch.set_num_threads(threads if takes_all_threads(module) else 1)
    try:
        rows = module.measure(lab_of(setting), **case)
    finally:
        torch.set_num_threads(threads)
    return case, [case | row for row in (rows if isinstance(rows, list) else [rows])]


@contextlib.contextmanager
def _workers(jobs: int, cluster: str | None) -> Iterator[Parallel]:
    """Yield what runs calls side by side, in processes of this machine or on a Dask cluster."""
    options = {"return_as": "generator_unordered", "batch_size": 1}
    if cluster is None:
        # joblib replaces a worker whose memory has grown: the next one makes its own lab.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        # The journal has what was done when a run ends early.
        warnings.filterwarnings("ignore", ".* tasks have been successfully executed", UserWarning)
        own = {"n_jobs": jobs, "initializer": end_with, "initargs": (os.getpid(),)}
        try:
            with parallel_config(backend="loky", **own):
                yield Parallel(**options)
        except BrokenProcessPool as error:
            advice = "run again, with fewer --jobs if memory ran out; what is done is kept"
            raise InputError(f"a worker was killed: {advice}") from error
        if jobs > 1:
            get_reusable_executor().shutdown()
        return
    with _client(cluster) as client, parallel_config(backend="dask"):
        _check(client, cluster)
        yield Parallel(**options)


def _client(cluster: str):
    """Return a client of a Dask cluster; InputError if none answers."""
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError("--cluster needs Dask: pip install distributed") from error
    try:
        return Client(cluster, timeout=PATIENCE)
    except (OSError, ValueError, MemoryError) as error:  # another program's answer, read as sizes
        raise InputError(f"no cluster answers at {cluster} ({error})") from error


def _check(client, cluster: str) -> None:
    """InputError unless all processes of a cluster have this code and these versions."""
    try:
        found = {"the scheduler": client.run_on_scheduler(_software)}
    except ImportError as error:
        found = {"the scheduler": error}
    found |= client.run(_software, on_error="return")
    if len(found) == 1:
        raise InputError(f"the cluster has no workers: start `dask worker {cluster}`")
    for place, software in found.items():
        if software != _software():
            reason = f"{place} has not this code, or not these versions of the packages"
            raise InputError(f"{reason}: start it in the same checkout, with PYTHONPATH=.")


def _software() -> dict:
    """Return what the rows of a case depend on, besides the case and the models."""
    code = hashlib.sha256()
    for file in sorted([*ROOT.glob("ttfs/**/*.py"), *ROOT.glob("experiments/**/*.py")]):
        code.update(file.read_bytes())
    return {"code": code.hexdigest(), "versions": versions()}


def _key(case: dict) -> str:
    """Return a case as text."""
    return json.dumps(case, sort_keys=True)


def _identity(name: str, setting: Setting) -> dict:
    """Return all that a case's rows depend on, in the journal's first line."""
    models, folder = hashlib.sha256(), Path(setting.models)
    files = [model_path(folder, setting.dataset, depth) for depth in setting.depths]
    files.append(model_path(folder, setting.dataset, DEPTH, "lenet"))
    for file in [*files, *sorted(folder.glob("records/*/*.pkl"))]:
        models.update(file.read_bytes() if file.exists() else b"")
    what = {"experiment": name, "dataset": setting.dataset, "depths": list(setting.depths)}
    what |= {"quick": setting.quick, "options": dict(setting.options)}
    return what | {"models": models.hexdigest()} | _software()


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
