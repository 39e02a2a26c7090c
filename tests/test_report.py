"""The files that a stage writes, and what it prints of them."""

from argparse import Namespace
from pathlib import Path

import pytest
from pipeline import files_below

from ttfs import InputError
from ttfs.stages import report as module
from ttfs.stages.figures import Figure
from ttfs.stages.report import report, save_rows, save_table, written_files
from ttfs.stages.results import load_results
from ttfs.stages.tables import Table

ROWS = [{"depth": 2, "n": 3}, {"depth": 4, "n": 5}]
COLUMNS = {"depth": int, "n": int}


def arguments(root, **changes):
    folders = {name: root / name for name in ("results", "figures")}
    usual = {"dataset": "digits", "network": "mlp", "data_dir": root, "redraw": False, "seed": 7}
    return Namespace(**usual | folders | {"formats": ["png", "svg"]} | changes)


def table(rows):
    return Table.of(rows, {"depth": "{depth}", "n": "{n}"}, 1, "Numbers")


def draw(rows):
    figure = Figure()
    figure.suptitle(str(rows))
    return figure


def reported(args, measure=lambda dataset: ROWS):
    return report(args, "a.py", "found", COLUMNS, measure, table, draw)


def test_results_table_and_figures_are_written_and_named(tmp_path):
    printed = reported(arguments(tmp_path))
    results, figures = tmp_path / "results" / "digits", tmp_path / "figures" / "digits"
    paths = [results / "found.json", results / "found.md"]
    paths += [figures / "found.png", figures / "found.svg"]
    assert printed == f"digits: {table(ROWS)}\n\nwrote " + "\n      ".join(map(str, paths))
    assert sorted(results.iterdir()) + sorted(figures.iterdir()) == paths
    record = load_results(paths[0], "", COLUMNS)
    assert (record["rows"], record["made_by"], record["dataset"]) == (ROWS, "a.py", "digits")
    assert record["arguments"] == {"seed": 7}
    assert paths[1].read_text() == table(ROWS).markdown()


def test_a_figure_that_moves_is_named_last(tmp_path, monkeypatch):
    monkeypatch.setattr(
        module, "save_animation", lambda animate, rows, path: path.with_suffix(".gif")
    )
    args = arguments(tmp_path), "a.py", "found", COLUMNS, lambda dataset: ROWS, table, draw
    last = report(*args, animate=draw).splitlines()[-1]
    assert last.strip() == str(tmp_path / "figures" / "digits" / "found.gif")


@pytest.mark.parametrize("name", ["results", "figures"])
def test_a_folder_of_a_kind_of_network_is_tried_before_anything_is_measured(tmp_path, name):
    (tmp_path / name / "digits").mkdir(parents=True)
    (tmp_path / name / "digits" / "lenet").touch()
    with pytest.raises(InputError, match=f"cannot write to .*{name}/digits/lenet"):
        reported(arguments(tmp_path, network="lenet"), measure=None)


def test_what_is_redrawn_is_read_and_not_measured(tmp_path):
    reported(arguments(tmp_path))
    results = tmp_path / "results" / "digits"
    before = (results / "found.json").read_bytes()
    (results / "found.md").unlink()
    args = arguments(tmp_path, redraw=True, dataset="auto", formats=["svg"])
    printed = reported(args, measure=None)
    assert printed.startswith("digits: ") and "found.json" not in printed
    assert (results / "found.json").read_bytes() == before and (results / "found.md").exists()


def test_rows_that_lack_a_column_are_refused_with_the_command(tmp_path):
    with pytest.raises(InputError, match="it lacks `n`; run `python a.py --dataset digits --res"):
        reported(arguments(tmp_path), lambda dataset: [{"depth": 2}])


FAULTS = [
    KeyError("a"),
    IndexError(),
    ValueError("of\nlines"),
    StopIteration(),
    TypeError(),
    NameError(),
]
FAULTS += [ZeroDivisionError(), UnboundLocalError(), AttributeError(), OverflowError()]


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
@pytest.mark.parametrize("part", ["table", "draw"])
def test_rows_of_a_file_that_cannot_be_shown_are_refused_and_measured_ones_are_not(
    tmp_path, monkeypatch, part, fault
):
    def stumble(rows):
        raise fault

    reported(arguments(tmp_path))
    before = files_below(tmp_path)
    monkeypatch.setitem(globals(), part, stumble)
    words = (
        rf"found\.json is not what was .* \({type(fault).__name__}.*; run `python a\.py .* again"
    )
    with pytest.raises(InputError, match=f"(?s){words}") as refusal:
        reported(arguments(tmp_path, redraw=True), measure=None)
    assert refusal.value.__cause__ is fault and files_below(tmp_path) == before
    with pytest.raises(type(fault)) as defect:
        reported(arguments(tmp_path))
    assert defect.value is fault


def test_an_error_that_says_what_to_do_is_left_as_it_is(tmp_path, monkeypatch):
    def refuse(rows):
        raise InputError("do something else")

    reported(arguments(tmp_path))
    monkeypatch.setitem(globals(), "draw", refuse)
    with pytest.raises(InputError, match="^do something else$"):
        reported(arguments(tmp_path, redraw=True), measure=None)


@pytest.mark.parametrize("name", ["results", "figures"])
def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_measured(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"cannot write to .*{name}"):
        reported(arguments(tmp_path), measure=None)


def test_rows_without_a_figure_have_a_file_and_a_table(tmp_path):
    paths = save_rows(arguments(tmp_path), "a.py", "found", "mnist", ROWS, table(ROWS))
    assert paths == [tmp_path / "results" / f"found.{suffix}" for suffix in ("json", "md")]
    assert load_results(paths[0], "", COLUMNS)["arguments"] == {"seed": 7}
    assert save_table(table(ROWS[:1]), paths[0]) == paths[1]
    assert paths[1].read_text() == table(ROWS[:1]).markdown()


@pytest.mark.parametrize("name", ["models", "results", "figures"])
def test_what_is_kept_apart_is_said_to_be(monkeypatch, name):
    monkeypatch.setattr(module, "ROOT", Path("root"))
    other, look = Path("root", name, "a.md"), Path("root", name, "look", "digits", "b.md")
    assert written_files([other]) == f"wrote {other}"
    first, *lines = written_files([other, look]).splitlines()
    assert "kept apart in look/" in first and lines == [f"wrote {other}", f"      {look}"]


def test_a_file_in_a_folder_of_two_lines_takes_one():
    assert written_files([Path("two\nlines", "a  \x1b.md")]) == r"wrote two\nlines/a  \x1b.md"
