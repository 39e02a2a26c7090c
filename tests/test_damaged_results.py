"""Results files that were changed by hand: each is drawn, or refused in one line."""

import functools
import json
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
FORMULA = r"$\frac{$"  # that cannot be read
pytestmark = pytest.mark.filterwarnings("ignore")  # of logarithms of 0, and the like


def drawn(draw, rows, path: Path, formats: list[str]) -> list[Path]:
    """Draw, but write no file."""
    with matplotlib.style.context(STYLE):
        figure = draw(rows)
        if FORMULA in str(rows[0]):
            figure.draw_without_rendering()  # it is then that texts are read
    return []


@pytest.fixture
def refusal(tmp_path, capsys, monkeypatch):
    """A function of a results file's name and rows: the line that refuses them; "" if none does."""
    monkeypatch.setattr(experiments, "questions", lambda: QUESTIONS)  # it reads many files
    monkeypatch.setattr(report, "save_figures", drawn)
    monkeypatch.setattr(create_plot, "save_figures", drawn)
    monkeypatch.setattr(report, "save_animation", lambda animate, rows, path: animate(rows) and path)

    def refusal(name: str, rows: list[dict]) -> str:
        path = tmp_path / "results" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"n_rows": len(rows), "rows": rows}))
        main = SCRIPTS[name].main if name in SCRIPTS else functools.partial(asked, name)
        redraw = [] if name == "conversion" else ["--redraw"]
        try:
            main(["--dataset", "mnist", *redraw, *folders(tmp_path, "results", "figures")])
        except SystemExit as stop:
            error = capsys.readouterr().err
            assert stop.code == 2 and error.count("\n") == 1
            assert f"{path} " in error and "; run `python " in error
            return error
        assert capsys.readouterr().err == ""
        return ""

    return refusal


def asked(name: str, arguments: list[str]) -> None:
    experiments.main([name, *arguments])


def rows_of(name: str) -> list[dict]:
    """Return the rows of a committed file."""
    return json.loads((ROOT / "results" / f"{name}.json").read_text())["rows"]


def keys_of(rows: list[dict], kind) -> list[str]:
    """Return the keys under which some row has a value of a kind."""
    keys = {key: None for row in rows for key, value in row.items() if holds(value, kind)}
    return list(keys)


def holds(value, kind) -> bool:
    """Return whether a value is of a kind, or a list of such values."""
    if isinstance(value, list):
        return any(holds(part, kind) for part in value)
    return isinstance(value, kind) and not isinstance(value, bool)


def replaced(value, kind, new):
    """Return a value, or a list of values, with all of a kind replaced."""
    if isinstance(value, list):
        return [replaced(part, kind, new) for part in value]
    return new if holds(value, kind) else value


def changed(rows: list[dict], keys: list[str], kind, new) -> list[dict]:
    """Return rows whose values of a kind, under the keys, are replaced."""
    changes = [{k: replaced(row[k], kind, new) for k in keys if k in row} for row in rows]
    return [row | change for row, change in zip(rows, changes, strict=True)]


@pytest.mark.parametrize("name", NAMES)
def test_only_the_first_row(refusal, name):
    refusal(name, rows_of(name)[:1])


@pytest.mark.parametrize("kind, new", [(str, "nonsense"), (str, FORMULA), (int | float, 0), (int | float, -1)])
@pytest.mark.parametrize("name", NAMES)
def test_a_value(refusal, name, kind, new, monkeypatch):
    rows = rows_of(name)
    accepted = []
    for key in keys_of(rows, kind):
        with monkeypatch.context() as patched:
            patched.setattr(report, "save_figures", lambda *_: [])
            patched.setattr(report, "save_animation", lambda *_: Path())
            patched.setattr(create_plot, "save_figures", lambda *_: [])
            if not refusal(name, changed(rows, [key], kind, new)):
                accepted.append(key)
    refusal(name, changed(rows, accepted, kind, new))
