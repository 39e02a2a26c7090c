"""Printed tables, read by column, from rows made by hand with values that all differ."""

import itertools

from test_figures import counts, fault_rows, moment_rows, normalisation_rows, window_rows

import convert_all_models
import numerical_exactness_test
import spike_distribution_plot
import time_axis_schematic
import train_mnist_pytorch
from experiments import (
    adaptive_windows,
    early_decision,
    layer_normalisation,
    robustness,
    time_resolution,
    training_seeds,
)
from ttfs.certificate import verdict


def lines(table) -> list[dict[str, str]]:
    """Return a table's rows as cells by heading."""
    return [dict(zip(table.header, row, strict=True)) for row in table.lines]


def test_training_table_keeps_validation_and_test_apart():
    row = {"depth": 4, "architecture": [784, 9, 8, 10], "epochs": 12, "seconds": 7.4}
    row |= {"n_validation": 200, "validation_correct": 190, "n_test": 300, "test_correct": 270}
    (line,) = lines(train_mnist_pytorch.table([row]))
    assert line == {
        "depth": "4",
        "network": "784-9-8-10",
        "epochs": "12",
        "validation": "95.00 %",
        "test": "90.00 %",
        "seconds": "7",
    }


CONVERSION = {
    "depth": 6,
    "engine": "event-driven",
    "n_test": 2000,
    "relu_correct": 1980,
    "snn_correct": 1950,
    "agreements": 1960,
    "n_first_1000": 1000,
    "relu_correct_first_1000": 985,
    "snn_correct_first_1000": 972,
    "spikes_per_hidden_neuron": 0.213,
    "latency": 12.34,
}


def test_conversion_table_loses_what_the_spiking_network_gets_wrong():
    (line,) = lines(convert_all_models.table([CONVERSION]))
    assert (line["ReLU"], line["drop (points)"]) == ("99.00 %", "1.50")
    assert line["spiking (95 % interval)"].startswith("97.50 % (96.7")
    assert line["same label"] == "1,960 of 2,000"
    assert line["first 1,000: ReLU / spiking"] == "98.5 / 97.2 %"
    assert (line["spikes per neuron"], line["latency"]) == ("0.21", "12.3")
    (line,) = lines(convert_all_models.table([CONVERSION | {"n_first_1000": 999}]))
    assert line["first 1,000: ReLU / spiking"] == "-"


def test_audit_table_has_each_count_in_its_column():
    layer = {"layer": 3, "window_length": 12.3456, "neurons": 10, "images": 100, "spikes": 250}
    layer |= {"dead_neurons": 4, "used_fraction": 0.66, "saturations": 10, "premature": 20}
    layer |= {"spurious": 30, "missing": 40, "overflows": 50, "held_back": 0}
    row = {"depth": 8, "engine": "closed-form", "audit": [layer]}
    (line,) = lines(convert_all_models.audit_table([row]))
    assert (line["window"], line["used %"], line["dead"], line["silent %"]) == (
        "12.35",
        "66",
        "4",
        "75.0",
    )
    names = ("saturations", "premature", "spurious", "missing", "overflows")
    for name, count in zip(names, (10, 20, 30, 40, 50), strict=True):
        assert line[name] == f"{count} ({count / 10:.2g} %)"
    assert line["held back"] == "0"


def exactness_row(dtype, engine, depth=2, **changes):
    row = {"depth": depth, "trained": True, "dtype": dtype, "engine": engine, "layer": depth}
    row |= {"output": True, "n_test": 10_000, "agreements": 9_990, "relative_error": 2e-7}
    row |= {"error_99.9_percent": 1e-9, "largest_error": 3e-8, "error_ulp": 4.5, "bound": 5e-3}
    return row | {"local_error": 6e-8, "local_bound": 7e-5} | changes


def test_exactness_table_has_the_worst_of_all_engines_in_16_bits():
    rows = [
        exactness_row("float32", "closed-form"),
        exactness_row("float16", "closed-form", relative_error=0.2, agreements=9_000),
        exactness_row("float16", "event-driven", relative_error=0.1, agreements=8_000),
        exactness_row("bfloat16", "event-driven", relative_error=None),
        exactness_row("float32", "closed-form", depth=64, agreements=10_000),
        exactness_row("float32", "closed-form", layer=1, output=False, relative_error=9.0),
    ]
    first, deep = lines(numerical_exactness_test.table(rows))
    assert first == {
        "depth": "2",
        "float32, closed-form": "2e-07, 9,990",
        "float16, worst engine": "2e-01, 8,000",
        "bfloat16, worst engine": "overflow, 9,990",
    }
    assert (deep["float32, closed-form"], deep["float16, worst engine"]) == ("2e-07, 10,000", "-")


def test_exactness_detail_has_each_number_in_its_column():
    rows = [exactness_row("float32", "closed-form", bound=None, trained=False)]
    (line,) = lines(numerical_exactness_test.detail_table(rows, "title"))
    assert (line["99.9 % error"], line["largest"], line["relative"]) == (
        "1.0e-09",
        "3.0e-08",
        "2.0e-07",
    )
    assert (line["ulps"], line["bound"], line["agree"]) == ("4.5", "none", "9,990/10,000")
    assert (line["local error"], line["local bound"]) == ("6e-08", "7e-05")
    assert line["depth"] == "2 (random)"


def test_good_verdict_says_what_the_rows_hold_of_each_precision():
    rows = [
        exactness_row("float32", "closed-form", agreements=10_000),
        exactness_row("bfloat16", "closed-form", agreements=9_993),
        exactness_row("bfloat16", "event-driven", agreements=9_999),
    ]
    assert numerical_exactness_test.good_verdict(rows) == (
        "within bounds: every error under its bound; float32: every label equal; "
        "bfloat16: at worst 9,993 of 10,000 labels equal"
    )
    assert numerical_exactness_test.good_verdict(rows[:1]) == (
        "exact: every error under its bound; float32: every label equal"
    )
    rows[2]["bound"] = None
    assert "every error under its bound, where there is one;" in (
        numerical_exactness_test.good_verdict(rows)
    )


def test_labels_that_differ_in_16_bits_are_a_fault_where_nothing_else_was_certified():
    coarse = exactness_row("bfloat16", "closed-form", agreements=9_993, broken=0)
    fine = exactness_row("float32", "closed-form", agreements=10_000, broken=0)
    other = fine | {"depth": 64}
    fault = "depth 2, layer 2, bfloat16, closed-form: 7 predictions differ"
    assert verdict([coarse]) == verdict([coarse, other]) == [fault]
    assert verdict([coarse, fine]) == verdict([coarse | {"agreements": 10_000}]) == []


def test_spike_table_measures_the_used_part_from_the_earliest_spike_to_the_end():
    row = {"depth": 4, "layer": 2, "t_min": 10.0, "t_max": 20.0, "earliest_spike": 14.0}
    row |= {"silent": 30, "spikes": 10, "n_test": 5}
    (line,) = lines(spike_distribution_plot.table([row]))
    assert (line["t_min"], line["t_max"]) == ("10.0", "20.0")
    assert (line["silent %"], line["used % of window"]) == ("75.0", "60")


def test_time_axis_table_has_a_column_a_window():
    rows = [
        {"depth": 2, "image": 3, "label": 1, "windows": [[0.0, 1.0], [1.0, 5.0]]},
        {"depth": 3, "image": 3, "label": 1, "windows": [[0.0, 1.0], [1.0, 4.0], [4.0, 9.0]]},
    ]
    first, second = lines(time_axis_schematic.table(rows))
    assert list(first.values()) == ["2", "1", "5", "-"]
    assert list(second.values()) == ["3", "1", "4", "9"]


def test_windows_table_sets_automatic_windows_beside_calibrated_ones():
    first, second = lines(adaptive_windows.table(window_rows()))
    assert first["latency, calibrated"] == "6.0" and first["latency, automatic"] == "7.0"
    assert first["latency, normalised"] == "8" and first["automatic quantile"] == "93 %"
    assert first["lost (points)"] == "2.50" and first["lost, normalised and calibrated"] == "2.60"
    assert first["same label"] == "974 of 1,000"
    assert second["finer ticks and jitter, by layer"] == "0.9 to 0.9 times"


def test_clock_table_says_how_many_ticks_are_enough():
    lost = {1: 50.0, 2: 0.4, 3: 5.0, 4: 0.4, 5: 0.05}
    rows = [
        {"depth": 2, "policy": policy, "half_tick": half, "bits": b, "n_test": 10_000}
        | {"relu_correct": 9800, "snn_correct": round(9800 - 100 * lost[b] - n)}
        for n, (policy, half) in enumerate(time_resolution.SHOWN)
        for b in lost
    ]
    first, second, *_ = lines(time_resolution.table(rows))
    assert [first[f"{2**b} ticks"] for b in lost] == ["50.00", "0.40", "5.00", "0.40", "0.05"]
    assert second["2 ticks"] == "50.01"
    assert (first["ticks for < 0.1"], first["ticks for < 0.5"]) == ("32", "16")
    assert time_resolution.ticks_for(rows[:4], 0.1) == "more"


def test_robustness_table_has_the_mean_of_the_seeds_at_the_level_it_names():
    rows = fault_rows()
    found = {
        (line["points lost at depth"], line["windows"]): line
        for line in lines(robustness.table(rows))
    }
    for (name, fault, level), policy, depth in itertools.product(
        robustness.SHOWN, ("calibrated", "automatic"), (2, 4)
    ):
        keys = {"fault": fault, "level": level, "policy": policy, "depth": depth}
        lost = [
            98 - row["snn_correct"] / 10
            for row in rows
            if all(row[key] == value for key, value in keys.items())
        ]
        if lost:
            assert found[name, policy][str(depth)] == f"{sum(lost) / len(lost):.2f}"
        else:
            assert (name, policy) not in found


def test_early_table_has_the_moment_from_which_on_the_condition_holds():
    first, *_ = lines(early_decision.table(moment_rows()))
    assert first["latency"] == "2.0"
    assert first["promised nearly final"] == "100 (2.0)"
    rows = [
        row | {"promised_correct": 90, "certain": 60 + 20 * row["fraction"]}
        for row in moment_rows()
    ]
    first, *_ = lines(early_decision.table(rows))
    assert first["promised nearly final"] == "0 (1.0)"
    assert (first["half certain"], first["90 % certain"]) == ("0 (1.0)", "100 (2.0)")


def test_normalisation_table_has_both_latencies_and_what_the_recipe_loses():
    keys = {"depth": 2, "trained": True}
    row = keys | {"kind": "network", "dtype": "float32", "latency": 21.5, "latency_after": 2.0}
    rows = [row | {"relative_error": 3e-7} | counts(0), keys | {"kind": "recipe"} | counts(33)]
    (line,) = lines(layer_normalisation.table([*rows, *normalisation_rows()]))
    assert (line["latency, calibrated"], line["latency, normalised"]) == ("21.5", "2")
    assert (line["points lost by the recipe"], line["logit error"]) == ("3.30", "3.0e-07")
    untrained = [rows[0] | {"trained": False}, rows[1]]
    assert lines(layer_normalisation.table(untrained))[0]["points lost by the recipe"] == "-"


def test_seed_table_has_mean_deviation_and_extremes():
    rows = [
        {"depth": 2, "training_seed": s, "n_test": 1000, "relu_correct": c}
        for s, c in enumerate((980, 982, 987))
    ]
    (line,) = lines(training_seeds.table(rows))
    assert list(line.values()) == ["2", "3", "98.30", "0.36", "98.00", "98.70"]
