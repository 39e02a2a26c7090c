import json

import numpy as np
import pytest

from ttfs import InputError
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
