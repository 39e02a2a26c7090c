"""Results files that were changed by hand: each is drawn, or refused in one line."""

import json
import math
from pathlib import Path

import matplotlib.style
import pytest
from committed import ROOT
from pipeline import folders

import create_plot
import spike_distribution_plot
import time_axis_schematic
from experiments import __main__ as experiments
from ttfs.stages import report
from ttfs.stages.figures import STYLE

SCRIPTS = {
    "conversion": create_plot,
    "spike_time_distributions": spike_distribution_plot,
    "time_axis_schematic": time_axis_schematic,
}
QUESTIONS = experiments.questions()
NAMES = [*SCRIPTS, *QUESTIONS]
FORMULA = r"$\frac{$"  # which Matplotlib cannot read
CHANGES = {  # every value of a kind, and what takes its place
    "a word": (str, "nonsense"),
    "a formula": (str, FORMULA),
    "nothing": (int | float, 0),
    "less than nothing": (int | float, -1),
    "not a number": (int | float, math.nan),
}
pytestmark = pytest.mark.filterwarnings("ignore")  # of axes without a value above 0, and the like


def drawn(draw, rows: list[dict], path: Path, formats: list[str]) -> list[Path]:
    """Draw, and write no file."""
    with matplotlib.style.context(STYLE):
        figure = draw(rows)
        if FORMULA in rows[0].values():
            figure.draw_without_rendering()  # formulas are read now
    return []


def undrawn(*_) -> list[Path]:
    """Draw nothing."""
    return []


@pytest.fixture
def refusal(tmp_path, capsys, monkeypatch):
    """A function of a file's name and rows: the line that refuses them, or "" if they are drawn."""
    monkeypatch.setattr(experiments, "questions", lambda: QUESTIONS)  # it reads many files
    monkeypatch.setattr(report, "save_animation", lambda animate, rows, path: path)

    def refusal(name: str, rows: list[dict], save=drawn) -> str:
        monkeypatch.setattr(report, "save_figures", save)
        monkeypatch.setattr(create_plot, "save_figures", save)
        path = tmp_path / "results" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"n_rows": len(rows), "rows": rows}))
        main = SCRIPTS[name].main if name in SCRIPTS else experiments.main
        arguments = [] if name in SCRIPTS else [name]
        arguments += [] if name == "conversion" else ["--redraw"]
        try:
            main([*arguments, "--dataset", "mnist", *folders(tmp_path, "results", "figures")])
        except SystemExit as stop:
            line = capsys.readouterr().err
            assert stop.code == 2 and line.count("\n") == 1 and len(line) < 600
            assert f"{path} " in line and "; run `python " in line
            return line
        assert capsys.readouterr().err == ""
        return ""

    return refusal


def rows_of(name: str) -> list[dict]:
    """Return the rows of a committed file."""
    return json.loads((ROOT / "results" / f"{name}.json").read_text())["rows"]


def replaced(value, kind, new):
    """Return a value, or a list of values, with ``new`` for all that are of the kind."""
    if isinstance(value, list):
        return [replaced(part, kind, new) for part in value]
    return new if isinstance(value, kind) and not isinstance(value, bool) else value


def changed(rows: list[dict], keys: list[str], kind, new) -> list[dict]:
    """Return rows with ``new`` for all values of the kind under these keys."""
    return [
        row | {key: replaced(row[key], kind, new) for key in keys if key in row} for row in rows
    ]


@pytest.mark.parametrize("name", NAMES)
def test_first_row_without_the_others_is_drawn_or_refused_in_one_line(refusal, name):
    refusal(name, rows_of(name)[:1])


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", NAMES)
def test_values_that_no_run_writes_are_drawn_or_refused_in_one_line(refusal, name, change):
    rows, (kind, new), passed = rows_of(name), CHANGES[change], []
    for key in {key: None for row in rows for key in row}:
        other = changed(rows, [key], kind, new)
        if other != rows and not refusal(name, other, undrawn):  # a table at least is made of it
            passed.append(key)
    assert not passed or change != "not a number"
    if passed:
        refusal(name, changed(rows, passed, kind, new))
