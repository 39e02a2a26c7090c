"""Results between the stages: JSON that says what was run, how, with what, and what came out."""

import json
import platform
from collections.abc import Callable, Sequence
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
LARGEST, MOST = 1e100, 2**53  # number and count that a row may have: their products are finite
# What every row of a file must have: a key, and its value's type. A range stands for whole numbers
# in it, [kind] for a list of such values, [kind, ...] for one that may be empty, [kind] * n for one
# of n values, [columns] for a list of objects, and a dict for a word: it has the columns that rows
# with that word must have as well. Under two keys stands a function of both values: do they agree?
Columns = dict[str | tuple[str, str], type | UnionType | range | list | dict | Callable]


def save_results(path: Path, made_by: str, settings: dict, dataset: str, rows: list[dict]) -> Path:
    """Write a results file and return its path: what was run, how, with which versions, the rows.

    Each row takes one line. The number of threads is kept because it can change the last digits of
    floats. The name of the machine is not kept.
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
            fault = f"it has {len(rows)} rows, and had {record['n_rows']!r:.40}"
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
        if isinstance(key, tuple):
            if not kind(*(row[part] for part in key)):
                return f"`{key[0]}` and `{key[1]}` do not go together"
            continue
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
    for key, count in counts.items():
        total = counts.get("n_validation" if "validation" in key else "n_test", count)
        if key.startswith("n_") and count == 0:
            return f"`{key}` is 0"
        if (key.endswith("_correct") or key in ("agreements", "certain")) and count > total:
            return f"`{key}` is {count}, of {total}"
    return None


def _is(value, kind) -> bool:
    """Return whether a value is of a kind: counts from 0 to MOST, numbers from -1e100 to 1e100."""
    if isinstance(kind, list):
        if not isinstance(value, list) or (not value and ... not in kind):
            return False
        any_length = len(kind) == 1 or ... in kind
        return (any_length or len(value) == len(kind)) and all(_is(v, kind[0]) for v in value)
    if isinstance(kind, dict):
        return _row_fault(value, kind) is None
    if isinstance(kind, range):
        return type(value) is int and value in kind
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        return False
    if isinstance(value, int | float):
        low, high = (-LARGEST, LARGEST) if isinstance(0.0, kind) else (0, MOST)
        return low <= value <= high
    return True


def _refuse(constant: str) -> None:
    """Refuse NaN and infinities, which no results file of ours holds."""
    raise ValueError(f"it holds {constant}")
