"""Input of all kinds that no script can use: each takes one line, and nothing is drawn of it."""

import copy
import json
import os
import subprocess
import sys
from functools import partial, reduce
from pathlib import Path

import pytest
from oracles import random_network
from pipeline import files_below, folders, run
from scripts import (
    AXIS,
    CONVERT,
    EXACTNESS,
    FOLDERS,
    PLOT,
    READ_MODELS,
    RESULTS,
    SPIKES,
    TRAIN,
    name_of,
)

from experiments import __main__ as experiments
from ttfs.storage import save_network

ROOT = Path(__file__).resolve().parent.parent
HUGE, LONG = str(10**30), "9" * 5000


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A folder of an untrained network, and what the scripts say of it."""
    root = tmp_path_factory.mktemp("bad")
    save_network(root / "models" / "digits_2_layer.pkl", random_network([784, 8, 10]))
    for script in (CONVERT, SPIKES, AXIS):
        run(script, "--dataset", "digits", "--depths", 2, *folders(root, *FOLDERS[script]))
    return root


def complaint(capsys, main, *arguments) -> str:
    """Return the one line that ends a script with status 2."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and error.endswith("\n"), error
    assert error[:-1].isprintable() and ": error: " in error
    return error


WHOLE = {  # options that take a whole number of at least 1 or 0
    TRAIN: ["--depths", "--seed", "--width", "--epochs", "--batch-size", "--threads", "--ticks"],
    CONVERT: ["--depths", "--samples", "--seed", "--spikes"],
    EXACTNESS: ["--depths", "--samples", "--seed", "--random-depths"],
    SPIKES: ["--depths", "--samples", "--seed"],
    AXIS: ["--depths", "--image", "--seed"],
}
ABOVE_0 = ["--learning-rate", "--target", "--jitter", "--loss", "--mismatch", "--sparsity"]
ABOVE_0 += ["--quantile", "--pixel-noise"]
LIMITED = ("--depths", "--seed", "--width", "--epochs", "--batch-size", "--threads", "--ticks")
LIMITED += ("--random-depths",)


@pytest.mark.parametrize(
    ("script", "option"), [(s, o) for s, options in WHOLE.items() for o in options], ids=name_of
)
def test_option_that_is_no_usable_whole_number_takes_one_line(capsys, script, option):
    unusable = ["-1", "nan", "inf", "1e400", "1.5", "", "two", LONG]
    unusable += [] if option in ("--seed", "--image") else ["0"]
    unusable += [HUGE] if option in LIMITED else []
    for value in unusable[option == "--image" :]:  # which of them there are shows later
        assert f"argument {option}: " in complaint(capsys, script.parse, option, value)


@pytest.mark.parametrize("option", ABOVE_0)
def test_option_that_is_no_finite_number_above_0_takes_one_line(capsys, option):
    for value in ("nan", "inf", "-inf", "1e400", "-1", "0", "1e-400", "", "two", LONG):
        assert f"argument {option}: " in complaint(capsys, TRAIN.parse, option, value)


@pytest.mark.parametrize("name", [*experiments.questions()])
def test_experiment_of_too_deep_a_network_takes_one_line(capsys, name):
    option = "--depth" if name in ("membrane_traces", "travelling_digit") else "--depths"
    for value in ("999999999999", HUGE, "1", "-1"):
        assert option in complaint(capsys, partial(experiments.parse, name), option, value)


@pytest.mark.parametrize("script", FOLDERS, ids=name_of)
def test_a_folder_of_too_long_a_name_takes_one_short_line(capsys, script):
    error = complaint(capsys, script.main, "--dataset", "digits", "--results", "a" * 5000)
    assert len(error) < 1100 and "aaa [...] aaa" in error


def refusal_of(capsys, place: Path, script, contents: bytes) -> str:
    """Return the line with which a script refuses a results file, after which nothing is drawn."""
    path = place / "results" / "digits" / f"{RESULTS[script]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)
    redraw = [] if script is PLOT else ["--redraw"]
    places = folders(place, "results", "figures")
    error = complaint(capsys, script.main, "--dataset", "digits", *redraw, *places)
    assert files_below(place) == {str(path.relative_to(place)): contents}
    assert len(error) < 600
    maker = "convert_all_models" if script is PLOT else script.__name__
    assert f": error: {path} " in error and f"run `python {maker}.py" in error
    return error


UNREADABLE = {
    "nothing": b"",
    "cut off": b'{"rows": [{"depth": 2',
    "a list": b"[1]",
    "nested 2,000 deep": b'{"rows": ' + b"[" * 2000 + b"]" * 2000 + b"}",
    "nested 200,000 deep": b"[" * 200_000,
    "a number of 5,000 digits": b'{"rows": [{"depth": ' + b"1" * 5000 + b"}]}",
    "not a number": b'{"rows": [{"depth": NaN}]}',
    "no end": b'{"rows": [{"depth": -Infinity}]}',
    "an overflow": b'{"rows": [{"depth": 1e400}]}',
    "a mark of byte order": b'\xef\xbb\xbf{"rows": []}',
    "another encoding": '{"rows": [{"depth": "é"}]}'.encode("latin1"),
    "two bytes a character": '{"rows": [{"depth": 2}]}'.encode("utf-16"),
    "no text": bytes(range(256)),
    "a key with a line break": b'{"rows": [{"depth": "\\n\\u001b[2J"}]}',
    "another number of rows": b'{"n_rows": {"\\n": "' + b"a" * 5000 + b'"}, "rows": [{}]}',
}


@pytest.mark.parametrize("script", RESULTS, ids=name_of)
@pytest.mark.parametrize("damage", UNREADABLE)
def test_results_that_cannot_be_read_take_one_line(capsys, tmp_path, script, damage):
    refusal_of(capsys, tmp_path, script, UNREADABLE[damage])


NO_COUNT = (None, True, "2", [], {}, -1, 2.5, float("nan"), float("inf"), 10**30)
NO_NUMBER = (None, True, "2", [], {}, float("nan"), float("inf"), 1e300, 10**400)
WRONG = {  # the place of a value in a row, and what it cannot be
    PLOT: {
        ("depth",): (*NO_COUNT, 0, 1001),
        ("engine",): (None, 3),
        ("n_test",): (*NO_COUNT, 0, 1),
        ("relu_correct",): (*NO_COUNT, 301),
        ("snn_correct",): (*NO_COUNT, 301),
        ("agreements",): (*NO_COUNT, 301),
    },
    SPIKES: {
        ("depth",): (*NO_COUNT, 1, 400),
        ("layer",): (*NO_COUNT, 0, 400),
        ("n_test",): (*NO_COUNT, 0),
        ("t_min",): (*NO_NUMBER, -1.0, 1e8),
        ("t_max",): (*NO_NUMBER, 1.0, 1e9),
        ("earliest_spike",): (*NO_NUMBER, 0.5, 1e8),
        ("silent",): NO_COUNT,
        ("spikes",): (*NO_COUNT, 1),
        ("spikes_per_bin",): (*NO_COUNT, [1] * 39, [1] * 400, [float("nan")] * 40),
        ("spikes_per_bin", 3): (*NO_COUNT, 10**9),
    },
    AXIS: {
        ("depth",): (*NO_COUNT, 3, 1001),
        ("image",): NO_COUNT,
        ("label",): (*NO_COUNT, 10),
        ("pixels",): (None, [], [0] * 783, [0] * 785, [256] * 784),
        ("pixels", 9): NO_COUNT,
        ("windows",): (None, [], [[0.0, 1.0]], [[0.0, 1.0]] * 3),
        ("windows", 1): (None, [], [1.0], [1.0, 1.0], [2.0, 1.0], [0.0, 1.0, 2.0]),
        ("windows", 1, 1): NO_NUMBER,
        ("output_potentials",): (None, [], [0.0] * 9),
        ("output_potentials", 4): NO_NUMBER,
        ("spikes",): (None, [], [{}], [3]),
        ("spikes", 1, "size"): (*NO_COUNT, 0),
        ("spikes", 1, "neurons"): (None, [0] * 500, [10**6]),
        ("spikes", 1, "times"): (None, [0.5] * 500, ["a"]),
        ("spikes", 1, "times", 0): NO_NUMBER,
    },
}


@pytest.mark.parametrize(
    ("script", "place"), [(s, place) for s, places in WRONG.items() for place in places], ids=str
)
def test_value_of_a_results_file_that_cannot_be_is_not_drawn(capsys, root, tmp_path, script, place):
    path = root / "results" / "digits" / f"{RESULTS[script]}.json"
    record, *keys, last = json.loads(path.read_text()), *place
    for value in (..., *WRONG[script][place]):
        changed = copy.deepcopy(record)
        holder = reduce(lambda part, key: part[key], keys, changed["rows"][0])
        if value is not ...:
            holder[last] = value
        elif isinstance(last, str):
            del holder[last]
        else:
            continue
        refusal_of(capsys, tmp_path, script, json.dumps(changed).encode())


def test_faulty_row_of_an_experiment_names_the_file_of_that_experiment(capsys, tmp_path):
    record = json.loads((ROOT / "results" / "degradation_causes.json").read_text())
    del record["rows"][3]["relu_correct"]
    path = tmp_path / "results" / "degradation_causes.json"
    path.parent.mkdir()
    path.write_text(json.dumps(record))
    asked = ["degradation_causes", "--dataset", "mnist", "--redraw"]
    error = complaint(capsys, experiments.main, *asked, *folders(tmp_path, "results", "figures"))
    assert (
        f"{path} is not what was written: row 4: it lacks `relu_correct`; run `python exp" in error
    )


def test_noise_seeds_are_not_chosen_so_none_can_be_recorded_that_did_not_run(capsys):
    asked = ["robustness", "--quick", "--noise-seeds", 5]
    assert "unrecognized arguments: --noise-seeds 5" in complaint(capsys, experiments.main, *asked)


@pytest.mark.parametrize("script", READ_MODELS, ids=name_of)
def test_name_of_several_lines_is_shown_on_one(capsys, tmp_path, script):
    places = [*folders(tmp_path / "a\nb\x1b[2J\u2028c", *FOLDERS[script])]
    error = complaint(capsys, script.main, "--dataset", "digits", "--depths", 2, *places)
    assert "digits_2_layer.pkl not found" in error and r"\x1b" in error


ELSEWHERE = [  # what another machine may have set
    {"PYTHONIOENCODING": "ascii", "PYTHONSAFEPATH": "1", "MPLBACKEND": "nonsense"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


def ended(folder: Path, *arguments, **settings) -> subprocess.CompletedProcess:
    """Return what Python does from another folder, with these settings of the environment."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MPLBACKEND")}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=kept | settings, cwd=folder, capture_output=True)


@pytest.mark.parametrize("settings", ELSEWHERE, ids=", ".join)
def test_figure_is_drawn_on_other_peoples_machines(root, tmp_path, settings):
    figures = tmp_path / "\N{RIGHTWARDS ARROW}"
    places = ["--dataset", "digits", "--results", root / "results", "--figures", figures]
    done = ended(tmp_path, ROOT / "create_plot.py", *places, **settings)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (figures / "digits" / "depth_comparison.png").stat().st_size > 1000


IMPORTED = """
import os, runpy, sys, torch
for script in sys.argv[1:]:
    if os.fork() == 0:
        runpy.run_path(script, run_name="imported")
        os._exit(0)
    print(script, os.wait()[1])
"""


def test_script_finds_its_package_wherever_it_is_run_and_needs_no_backend(tmp_path):
    scripts = [*(f"{script.__name__}.py" for script in FOLDERS), "experiments/__main__.py"]
    paths = [ROOT / script for script in scripts]
    done = ended(tmp_path, "-c", IMPORTED, *paths, MPLBACKEND="nonsense")
    assert done.stdout.decode().splitlines() == [f"{path} 0" for path in paths], done.stderr


def test_empty_data_folder_in_the_environment_counts_as_none(tmp_path):
    code = "from ttfs.stages.options import COMMON; print(COMMON['data-dir']['default'])"
    done = ended(tmp_path, "-c", code, TTFS_DATA_DIR="", PYTHONPATH=str(ROOT))
    assert done.stdout.decode().strip() == str(ROOT / "data")
