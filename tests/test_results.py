import json

import numpy as np
import pytest
import torch

from ttfs import InputError
from ttfs.stages import results
from ttfs.stages.results import NUMBER, grouped, load_results, rows_with, save_results

COLUMNS = {
    "depth": int,
    "policy": str,
    "latency": NUMBER,
    "half_tick": bool,
    "spike": NUMBER | None,
}
ROW = {"depth": 2, "policy": "calibrated", "latency": 2.5, "half_tick": True, "spike": None}


def test_results_round_trip(tmp_path):
    rows = [ROW, ROW | {"depth": 4, "latency": 3, "spike": 1.5}]
    path = tmp_path / "new folder" / "conversion.json"
    assert save_results(path, "convert_all_models.py", {"seed": 7}, "digits", rows) == path
    record = load_results(path, "python convert_all_models.py", COLUMNS)
    assert record["rows"] == rows
    assert (record["made_by"], record["seed"]) == ("convert_all_models.py", 7)
    assert (record["dataset"], record["arguments"]) == ("digits", {"seed": 7})
    assert record["versions"]["numpy"] == np.__version__
    assert record["threads"] == torch.get_num_threads()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_results_that_are_not_finite_are_refused_and_the_old_file_stays(tmp_path, value):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(ValueError, match="JSON"):
        save_results(path, "a.py", {}, "mnist", [{"drop": float(value)}])
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


DAMAGED = {
    "nothing": b"",
    "cut off": b'{"rows": [{"depth": 2}',
    "not text": b"\xff\xfe\x00",
    "nested without end": b"[" * 200_000,
    "a list": b"[1]",
    "no rows": b'{"seed": 0}',
    "empty rows": b'{"rows": []}',
    "rows are a number": b'{"rows": 5}',
    "rows of numbers": b'{"rows": [1, 2]}',
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_results_name_file_and_command(tmp_path, damage):
    (tmp_path / "a.json").write_bytes(DAMAGED[damage])
    with pytest.raises(InputError, match=r"a\.json.*run `python a\.py` again"):
        load_results(tmp_path / "a.json", "python a.py", COLUMNS)


MISSHAPEN = {
    "a key missing": ({"depth": ...}, "row 2: it lacks `depth`"),
    "text for a count": ({"depth": "2"}, "row 2: `depth` is '2'"),
    "true for a count": ({"depth": True}, "row 2: `depth` is True"),
    "a fraction for a count": ({"depth": 2.5}, r"row 2: `depth` is 2\.5"),
    "a negative count": ({"depth": -2}, "row 2: `depth` is -2"),
    "a number for text": ({"policy": 3}, "row 2: `policy` is 3"),
    "nothing for a number": ({"latency": None}, "row 2: `latency` is None"),
    "a number for a truth": ({"half_tick": 1}, "row 2: `half_tick` is 1"),
    "text for a number or nothing": ({"spike": "late"}, "row 2: `spike` is 'late'"),
    "NaN": ({"latency": float("nan")}, "holds NaN"),
    "an infinite number": ({"latency": float("inf")}, "holds Infinity"),
}


@pytest.mark.parametrize("fault", MISSHAPEN)
def test_rows_of_another_shape_are_refused_with_the_row_and_the_key(tmp_path, fault):
    changes, words = MISSHAPEN[fault]
    row = {key: value for key, value in (ROW | changes).items() if value is not ...}
    (tmp_path / "a.json").write_text(json.dumps({"rows": [ROW, row]}))
    with pytest.raises(InputError, match=words) as refusal:
        load_results(tmp_path / "a.json", "python a.py", COLUMNS)
    assert "a.json" in str(refusal.value) and "run `python a.py` again" in str(refusal.value)


def test_missing_results_name_the_command_that_makes_them(tmp_path):
    with pytest.raises(InputError, match=r"a\.json not found; run `python a\.py` first"):
        load_results(tmp_path / "a.json", "python a.py", COLUMNS)


def test_rows_are_chosen_and_grouped_by_their_values_in_order():
    rows = [{"a": n % 2, "b": n % 3, "n": n} for n in (3, 1, 4, 2)]
    assert [row["n"] for row in rows_with(rows, a=1)] == [3, 1]
    assert rows_with(rows, a=1, b=2, c=None) == []
    assert {key: [r["n"] for r in found] for key, found in grouped(rows, "a").items()} == {
        1: [3, 1],
        0: [4, 2],
    }
    assert list(grouped(rows, "a", "b")) == [(1, 0), (1, 1), (0, 1), (0, 2)]


def fault(tmp_path, columns, **row) -> str | None:
    """Return what is wrong with the only row of a file, if anything."""
    (tmp_path / "a.json").write_text(json.dumps({"rows": [row]}))
    try:
        load_results(tmp_path / "a.json", "python a.py", columns)
    except InputError as error:
        return str(error).split("row 1: ")[1].split("; run")[0]


KINDS = {  # what a value of the kind may be, and what it may not
    "a count": (int, [0, 2**53], [-1, 2**53 + 1, True, 1.0]),
    "a number": (NUMBER, [-1e100, 0, 1e100], [-1.1e100, 1.1e100, False, "1", None]),
    "a number or nothing": (NUMBER | None, [None, -0.5], ["1", [], 1e101]),
    "a truth": (bool, [True, False], [0, 1, None]),
    "a whole number in a range": (range(1, 4), [1, 3], [0, 4, True, 2.0, "2"]),
    "a list": ([int], [[0], [1, 2]], [[], 3, [-1], [1, True], None]),
    "a list that may be empty": ([int, ...], [[], [1], [1, 2, 3]], [[-1], None]),
    "two": ([int] * 2, [[1, 2]], [[], [1], [1, 2, 3], [1, "2"], ["1", 2]]),
    "objects": ([{"a": int}], [[{"a": 1}, {"a": 2}]], [[{"a": 1}, {}], [{"a": -1}], [3], {}]),
    "words": ({"x": {}, "y": {}}, ["x", "y"], ["z", 3, None, ["x"]]),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_value_is_of_its_columns_kind_and_within_its_limits(tmp_path, name):
    kind, good, bad = KINDS[name]
    assert [fault(tmp_path, {"key": kind}, key=value) for value in good] == [None] * len(good)
    for value in bad:
        assert fault(tmp_path, {"key": kind}, key=value) == f"`key` is {value!r}"


def test_a_word_brings_columns_of_its_own(tmp_path):
    columns = {"cause": {"clock": {"ticks": int}, "none": {}}, "depth": int}
    assert fault(tmp_path, columns, cause="none", depth=2) is None
    assert fault(tmp_path, columns, cause="clock", depth=2) == "it lacks `ticks`"
    assert fault(tmp_path, columns, cause="clock", depth=2, ticks=-1) == "`ticks` is -1"
    assert fault(tmp_path, columns, cause="clock", ticks=1) == "it lacks `depth`"


def test_two_values_that_do_not_go_together_are_named(tmp_path):
    columns = {"a": int, "b": int, ("b", "a"): lambda b, a: b > a, "c": int}
    assert fault(tmp_path, columns, a=1, b=2, c=3) is None
    assert fault(tmp_path, columns, a=2, b=2, c=3) == "`b` and `a` do not go together"
    assert fault(tmp_path, columns, a=1, b=2, c=-3) == "`c` is -3"


@pytest.mark.parametrize("key", ["relu_correct", "agreements", "certain", "validation_correct"])
def test_no_more_images_are_right_than_there_are(tmp_path, key):
    total, other = ("n_validation", "n_test") if "validation" in key else ("n_test", "n_other")
    columns = {key: int, total: int, other: int}
    assert fault(tmp_path, columns, **{key: 5, total: 5, other: 1}) is None
    assert fault(tmp_path, columns, **{key: 6, total: 5, other: 9}) == f"`{key}` is 6, of 5"
    assert fault(tmp_path, columns, **{key: 0, total: 0, other: 9}) == f"`{total}` is 0"


def test_counts_of_anything_else_may_be_larger_than_that_of_images(tmp_path):
    assert fault(tmp_path, {"n_test": int, "spikes": int}, n_test=1, spikes=9) is None
    assert fault(tmp_path, {"relu_correct": int}, relu_correct=9) is None


def test_a_row_that_is_lacking_is_noticed(tmp_path):
    path = save_results(tmp_path / "a.json", "a.py", {}, "mnist", [ROW, ROW, ROW])
    lines = path.read_text().splitlines(keepends=True)
    assert sum('"depth"' in line for line in lines) == 3  # a line each
    del lines[lines.index(' "rows": [\n') + 1]
    path.write_text("".join(lines))
    with pytest.raises(InputError, match="it has 2 rows, and had 3; run"):
        load_results(path, "python a.py", COLUMNS)


def test_versions_do_not_tell_how_a_package_was_built(monkeypatch):
    monkeypatch.setattr(results, "version", lambda name: "1.2.3+cu126")
    assert results.versions()["torch"] == "1.2.3"
