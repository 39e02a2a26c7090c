"""From rows to what a stage leaves behind: a results file, its table, a figure."""

import argparse
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure

from ttfs import InputError
from ttfs.datasets import choose_dataset
from ttfs.stages.ending import printable
from ttfs.stages.figures import save_animation, save_figures
from ttfs.stages.inputs import command_for, dataset_measured_last
from ttfs.stages.options import ROOT, settings
from ttfs.stages.results import Columns, load_results, save_results
from ttfs.stages.tables import Table
from ttfs.storage import check_writable, output_folder
from ttfs.writing import written_atomically

# What tables and figures raise of rows that are too few, or hold what no run writes.
STUMBLES = ArithmeticError, AttributeError, LookupError, NameError, TypeError, ValueError
STUMBLES += (StopIteration,)


def report(
    args: argparse.Namespace,
    script: str,
    name: str,
    columns: Columns,
    measure: Callable[[str], list[dict]],
    table: Callable[[list[dict]], Table],
    draw: Callable[[list[dict]], Figure],
    animate: Callable[[list[dict]], FuncAnimation] | None = None,
) -> str:
    """Write results/name.json, results/name.md and the figure; return what there is to print.

    ``measure(dataset)`` returns the rows, each with ``columns``, unless ``args.redraw`` asks for
    those in the file. ``table(rows)`` and ``draw(rows)`` see the rows as the file has them, and so
    does ``animate(rows)``: with it, a figure that moves is written beside the one that does not.
    """
    if args.redraw:
        dataset = dataset_measured_last(args.dataset, args.results, f"{name}.json", args.network)
    else:
        dataset = choose_dataset(args.dataset, args.data_dir)
        check_writable(output_folder(args.results, dataset, args.network))
    figures, paths = output_folder(args.figures, dataset, args.network), []
    check_writable(figures)
    path = output_folder(args.results, dataset, args.network) / f"{name}.json"
    if not args.redraw:
        rows = measure(dataset)
        paths.append(save_results(path, script, settings(args), dataset, rows))
    command = command_for(script, dataset, args)
    rows = load_results(path, command, columns)["rows"]
    with rows_of_a_file(path, command) if args.redraw else contextlib.nullcontext():
        shown = table(rows)
        drawn = save_figures(draw, rows, figures / name, args.formats)
        if animate:
            drawn.append(save_animation(animate, rows, figures / name))
        paths += [save_table(shown, path), *drawn]
    return f"{dataset}: {shown}\n\n{written_files(paths)}"


@contextlib.contextmanager
def rows_of_a_file(path: Path, command: str) -> Iterator[None]:
    """Let whatever the block stumbles over in a file's rows be an InputError that names the file.

    It is for rows that an earlier run left, and that somebody may have changed since. What stumbles
    over rows that were just measured is a defect, and keeps its traceback.
    """
    try:
        yield
    except InputError:
        raise
    except STUMBLES as error:
        fault = f"its rows do not go together ({type(error).__name__}: {error!s:.60})"
        message = f"{path} is not what was written: {fault}; run `{command}` again"
        raise InputError(message) from error


def save_rows(
    args, script: str, name: str, dataset: str, rows: list[dict], table: Table
) -> list[Path]:
    """Write results/name.json and results/name.md of a stage that draws nothing; return both."""
    path = output_folder(args.results, dataset, args.network) / f"{name}.json"
    return [save_results(path, script, settings(args), dataset, rows), save_table(table, path)]


def save_table(table: Table, results: Path) -> Path:
    """Write a table as Markdown beside its results file, and return its path."""
    path = results.with_suffix(".md")
    with written_atomically(path) as temporary:
        temporary.write_text(table.markdown(), encoding="utf-8", newline="\n")
    return path


def written_files(paths: list[Path]) -> str:
    """Return the last lines of a script's output: the files it wrote."""
    lines = "wrote " + "\n      ".join(printable(str(path)) for path in paths)
    apart = {ROOT / name / "look" for name in ("models", "results", "figures")}
    if any(apart & set(path.parents) for path in paths):
        lines = "other settings than the committed ones, so kept apart in look/:\n" + lines
    return lines
