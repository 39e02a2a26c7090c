"""Results between the stages: JSON that says what was run, how, with what, and what came out."""

import json
import math
import platform
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import UnionType

import torch

from ttfs import InputError
from ttfs.writing import written_atomically

PACKAGES = ("numpy", "torch", "torchvision", "scikit-learn", "matplotlib")
OTHERS = ("snntorch", "spikingjelly", "sinabs", "brian2")  # tools, where they are installed
NUMBER = int | float
# What every row of a file must have: a key, and its value's type. [kind] stands for a list of such
# values, [columns] for a list of objects, and a dict for a word: it has the columns that rows with
# that word must have as well.
Columns = dict[str, type | UnionType | list | dict]


def save_results(path: Path, made_by: str, settings: dict, dataset: str, rows: list[dict]) -> Path:
    """Write a results file and return its path: what was run, how, with which versions, the rows.

    Each row takes one line. The number of threads can change the last digits of floats. Nothing in
    it says on which machine it was made.
    """
    record = {
        "made_by": made_by,
        "arguments": settings,
        "seed": settings.get("seed"),
        "dataset": dataset,
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "n_rows": len(rows),
    }
    head = json.dumps(record, indent=1, allow_nan=False).removesuffix("\n}")
    lines = ",\n".join(f"  {json.dumps(row, allow_nan=False)}" for row in rows)
    with written_atomically(path) as temporary:
        text = f'{head},\n "rows": [\n{lines}\n ]\n}}\n'
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return path


def load_results(path: Path, command: str, columns: Columns) -> dict:
    """Return a results file's dict, after checking its shape.

    InputError names the file, what is wrong with it and the command that makes it anew.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError as error:
        raise InputError(f"{path} not found; run `{command}` first") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error}); run `{command}` again") from error
    rows = record.get("rows") if isinstance(record, dict) else None
    fault = "it holds no rows of results"
    if isinstance(rows, list) and rows:
        faults = (_row_fault(row, columns) for row in rows)
        fault = next((f"row {n}: {what}" for n, what in enumerate(faults, 1) if what), None)
        if record.get("n_rows", len(rows)) != len(rows):
            fault = f"it has {len(rows)} rows, and had {record['n_rows']}"
    if fault:
        raise InputError(f"{path} is not what was written: {fault}; run `{command}` again")
    return record


def rows_with(rows: Sequence[dict], **keys) -> list[dict]:
    """Return the rows that have these values."""
    return [row for row in rows if all(row.get(key) == value for key, value in keys.items())]


def grouped(rows: Sequence[dict], *keys: str) -> dict:
    """Return the rows by their value of a key, or by their values of several, in order."""
    groups = {}
    for row in rows:
        values = tuple(row[key] for key in keys)
        groups.setdefault(values if len(keys) > 1 else values[0], []).append(row)
    return groups


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers can depend on."""
    installed = [name for name in OTHERS if find_spec(name)]
    packages = {name: version(name).split("+")[0] for name in (*PACKAGES, *installed)}
    return {"python": platform.python_version(), **packages}


def _row_fault(row, columns: Columns) -> str | None:
    """Return what is wrong with a row, if anything."""
    if not isinstance(row, dict):
        return "it is not an object"
    for key, kind in columns.items():
        if key not in row:
            return f"it lacks `{key}`"
        value = row[key]
        if isinstance(kind, dict):
            known = isinstance(value, str) and value in kind
            fault = _row_fault(row, kind[value]) if known else f"`{key}` is {value!r:.40}"
        else:
            fault = None if _is(value, kind) else f"`{key}` is {value!r:.40}"
        if fault:
            return fault
    counts = {key: row[key] for key, kind in columns.items() if kind is int}
    if counts.get("n_test") == 0:
        return "`n_test` is 0"
    for key in ("relu_correct", "snn_correct", "agreements"):
        if counts.get(key, 0) > counts.get("n_test", math.inf):
            return f"`{key}` is {counts[key]}, of {counts['n_test']}"
    return None


def _is(value, kind) -> bool:
    """Return whether a value is of a kind; counts are not negative, and numbers are finite."""
    if isinstance(kind, list):
        return isinstance(value, list) and bool(value) and all(_is(v, kind[0]) for v in value)
    if isinstance(kind, dict):
        return _row_fault(value, kind) is None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        return False
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return not (kind is int and value < 0)


def _refuse(constant: str) -> None:
    """Refuse NaN and infinities, which no results file of ours holds."""
    raise ValueError(f"it holds {constant}")
