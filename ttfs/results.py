"""Results between the stages: JSON that says what was run, how, with what, and what came out."""

import contextlib
import json
import platform
from argparse import Namespace
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from ttfs.errors import InputError
from ttfs.storage import written_atomically

PACKAGES = ("numpy", "torch", "torchvision", "scikit-learn", "matplotlib")


def save_results(
    path: Path, made_by: str, arguments: Namespace, dataset: str, rows: list[dict]
) -> None:
    """Write a results file: what was run, with which settings and versions, and the rows.

    Each row takes one line. Paths are kept by their last part alone, so that a file says nothing of
    the machine.
    """
    settings = {k: v.name if isinstance(v, Path) else v for k, v in vars(arguments).items()}
    record = {
        "made_by": made_by,
        "arguments": settings,
        "seed": settings.get("seed"),
        "dataset": dataset,
        "versions": versions(),
    }
    head = json.dumps(record, indent=1, allow_nan=False).removesuffix("\n}")
    lines = ",\n".join(f"  {json.dumps(row, allow_nan=False)}" for row in rows)
    text = f'{head},\n "rows": [\n{lines}\n ]\n}}\n'
    with written_atomically(path) as temporary:
        temporary.write_text(text)


def load_results(path: Path, command: str) -> dict:
    """Return a results file's dict; InputError, naming the command that makes it, if it cannot."""
    try:
        record = json.loads(Path(path).read_text())
    except FileNotFoundError as error:
        raise InputError(f"{path} not found; run `{command}` first") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); run `{command}` again") from error
    rows = record.get("rows") if isinstance(record, dict) else None
    whole = isinstance(rows, list) and all(isinstance(row, dict) and row for row in rows)
    if not rows or not whole:
        raise InputError(f"{path} holds no rows of results; run `{command}` again")
    return record


def chosen(rows: list[dict], **keys) -> list[dict]:
    """Return the rows that have these values."""
    return [row for row in rows if all(row.get(key) == value for key, value in keys.items())]


@contextlib.contextmanager
def as_written_by(command: str, path: Path) -> Iterator[None]:
    """Make what is wrong with the rows of a file from disk an InputError that names the file."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} lacks results, or has unusable ones ({type(error).__name__}: {error}); "
            f"run `{command}` again"
        ) from error


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers can depend on."""
    packages = {name: version(name).split("+")[0] for name in PACKAGES}
    return {"python": platform.python_version(), **packages}
