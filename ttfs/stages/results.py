"""Results between the stages: JSON that says what was run, how, with what, and what came out."""

import json
import math
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from ttfs import InputError
from ttfs.storage import written_atomically

PACKAGES = ("numpy", "torch", "torchvision", "scikit-learn", "matplotlib")
NUMBER = int | float
Columns = dict[str, type]  # what every row of a file must have: key and type


def save_results(path: Path, made_by: str, settings: dict, dataset: str, rows: list[dict]) -> Path:
    """Write a results file and return its path: what was run, how, with which versions, the rows.

    Each row takes one line. Nothing in it says on which machine it was made.
    """
    record = {
        "made_by": made_by,
        "arguments": settings,
        "seed": settings.get("seed"),
        "dataset": dataset,
        "versions": versions(),
    }
    head = json.dumps(record, indent=1, allow_nan=False).removesuffix("\n}")
    lines = ",\n".join(f"  {json.dumps(row, allow_nan=False)}" for row in rows)
    with written_atomically(path) as temporary:
        temporary.write_text(f'{head},\n "rows": [\n{lines}\n ]\n}}\n', encoding="utf-8")
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
        fault = next(filter(None, (_fault(n, row, columns) for n, row in enumerate(rows, 1))), None)
    if fault:
        raise InputError(f"{path} is not what was written: {fault}; run `{command}` again")
    return record


def chosen(rows: Sequence[dict], **keys) -> list[dict]:
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
    packages = {name: version(name).split("+")[0] for name in PACKAGES}
    return {"python": platform.python_version(), **packages}


def _fault(n: int, row, columns: Columns) -> str | None:
    """Return what is wrong with row n, if anything."""
    if not isinstance(row, dict):
        return f"row {n} is not an object"
    for key, kind in columns.items():
        if key not in row:
            return f"row {n} lacks `{key}`"
        value = row[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            return f"`{key}` of row {n} is {value!r:.40}"
        if isinstance(value, float) and not math.isfinite(value):
            return f"`{key}` of row {n} is not finite"
        if kind is int and value < 0:
            return f"`{key}` of row {n} is a count, and negative"
    return None


def _refuse(constant: str) -> None:
    """Refuse NaN and infinities, which no results file of ours holds."""
    raise ValueError(f"it holds {constant}")
