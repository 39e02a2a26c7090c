"""What the axes of every figure hold, from rows made by hand with values that all differ."""

import itertools

import numpy as np
import pytest

import create_plot
import spike_distribution_plot
import time_axis_schematic
from experiments import (
    adaptive_windows,
    degradation_causes,
    early_decision,
    layer_normalisation,
    membrane_traces,
    robustness,
    time_resolution,
    training_seeds,
)
from ttfs.metrics import percent_interval
from ttfs.stages.figures import Figure, depth_style, label_ends, loss_axis


def counts(n: int) -> dict:
    """Return paired counts in which everything differs: 0.1 n points are lost."""
    return {"n_test": 1000, "relu_correct": 980, "snn_correct": 980 - n, "agreements": 999 - n}


def texts(axes) -> str:
    return "\n".join(text.get_text() for text in axes.texts)


def curves(axes) -> dict[str, tuple[list, list]]:
    """Return the labelled lines of a panel."""
    lines = [line for line in axes.get_lines() if not line.get_label().startswith("_")]
    return {line.get_label(): tuple(map(list, line.get_data())) for line in lines}


def panels(figure) -> dict[str, object]:
    return {axes.get_title(): axes for axes in figure.axes}


CONVERSION = [
    {"depth": d, "engine": e, "policy": "calibrated", "n_test": 1000} | c
    for d, e, c in (
        (2, "event-driven", {"relu_correct": 970, "snn_correct": 960, "agreements": 985}),
        (2, "closed-form", {"relu_correct": 970, "snn_correct": 100, "agreements": 100}),
        (4, "event-driven", {"relu_correct": 990, "snn_correct": 930, "agreements": 940}),
    )
]


def test_main_figure_shows_both_accuracies_with_their_intervals_of_the_first_engine():
    (axes,) = create_plot.draw_depth_comparison(CONVERSION).axes
    points = [(line.get_xdata(), line.get_ydata(), line.get_mfc()) for line in axes.get_lines()]
    drawn = {(x[0], y[0]): face for x, y, face in points if len(x) == 1}
    assert set(drawn) == {(1.84, 97.0), (2.16, 96.0), (3.84, 99.0), (4.16, 93.0)}
    assert {drawn[1.84, 97.0], drawn[3.84, 99.0]} == {"white"}  # ReLU open, told apart in grey
    assert "white" not in {drawn[2.16, 96.0], drawn[4.16, 93.0]}
    bars = {x[0]: tuple(y) for x, y, _ in points if len(x) == 2}
    assert bars[4.16] == pytest.approx(percent_interval(930, 1000))
    assert "75 of 2,000 labels differ" in texts(axes) and "97.00" in texts(axes)
    handles, labels = axes.get_legend_handles_labels()
    faces = {label: handle.get_mfc() for handle, label in zip(handles, labels, strict=True)}
    assert faces["ReLU network"] == "white" != faces["spiking network"]


def test_main_figure_claims_the_same_labels_only_where_they_are_the_same():
    same = [row | {"agreements": 1000} for row in CONVERSION]
    (axes,) = create_plot.draw_depth_comparison(same).axes
    assert "same label on all 1,000 images at every depth" in texts(axes)
    other = [row | {"policy": "fixed:15"} for row in CONVERSION]
    assert "fixed:15 windows" in texts(create_plot.draw_depth_comparison(other).axes[0])


def test_histograms_stand_in_the_panel_of_their_depth_and_layer_and_are_not_mirrored():
    rows = [
        {"depth": d, "n_test": 10, "layer": n, "t_min": 1.0, "t_max": 5.0, "earliest_spike": 2.0}
        | {"silent": 30, "spikes": 10, "spikes_per_bin": bins}
        for d, n, bins in ((2, 1, [1, 9]), (4, 1, [2, 8]), (4, 2, [3, 7]))
    ]
    figure = spike_distribution_plot.draw_spike_histograms(rows)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    values = [axes.patches[0].get_data().values.tolist() for axes in shown]
    assert values == [[10.0, 90.0], [20.0, 80.0], [30.0, 70.0]]
    assert [axes.get_visible() for axes in figure.axes] == [True, False, True, True]
    assert all("75 % silent\nwindow 4.0" in texts(axes) for axes in shown)
    assert all(axes.get_lines()[0].get_xdata() == [0.25] for axes in shown)
    assert "2 layers" in shown[0].get_ylabel() and "4 layers" in shown[1].get_ylabel()


def test_time_axis_has_each_spike_at_its_time_and_neuron_and_the_winner_in_colour():
    spikes = [
        {"size": 4, "neurons": [1], "times": [0.25]},
        {"size": 2, "neurons": [0, 1], "times": [2.0, 4.0]},
    ]
    row = {"depth": 2, "image": 3, "label": 1, "pixels": list(range(784)), "spikes": spikes}
    row |= {"windows": [[0.0, 1.0], [1.0, 5.0]], "output_potentials": [0.0, 1.0, 5.0, -5.0]}
    figure = time_axis_schematic.draw_time_axes([row])
    axes = figure.axes[0]
    dots = [line.get_xydata().tolist() for line in axes.get_lines() if line.get_marker() == "."]
    assert dots == [[[0.25, 0.375]], [[1.25, 0.25], [1.75, 0.75]]]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "1", "5"]
    widths = [bar.get_width() for bar in axes.patches if bar.get_height() == pytest.approx(0.07)]
    assert widths == pytest.approx([0.3, 0.36, 0.6, 0.0])
    assert (
        "output\n2" in texts(axes) and "input\n1/4" in texts(axes) and "layer 1\n2/2" in texts(axes)
    )


def window_rows() -> list[dict]:
    policies = ["fixed:1", "fixed:3", "quantile:0.5", "quantile:1", "calibrated", "automatic"]
    policies += ["normalised:calibrated", "normalised:automatic"]
    return [
        {"depth": d, "policy": policy, "latency": d + n, "windows": [d + 1.0 + n] * (d - 1)}
        | {"mcnemar_p": 0.5, "quantile": 0.93, **counts(10 * d + n)}
        for d in (2, 4)
        for n, policy in enumerate(policies)
    ]


def test_windows_are_drawn_as_points_lost_against_latency_by_policy_and_depth():
    drawn = panels(adaptive_windows.draw(window_rows()))
    for d in (2, 4):
        found = curves(drawn[f"{d} layers"])
        assert found["fixed"] == ([d, d + 1], pytest.approx([d, d + 0.1]))
        assert found["quantile"] == ([d + 2, d + 3], pytest.approx([d + 0.2, d + 0.3]))
        assert found["calibrated"] == ([d + 4], pytest.approx([d + 0.4]))
        assert found["automatic"] == ([d + 5], pytest.approx([d + 0.5]))
        assert found["normalised, calibrated"][0] == [d + 6]
        assert found["normalised, automatic"][0] == [d + 7]


def test_clocks_are_drawn_as_points_lost_against_bits_and_told_apart_by_more_than_colour():
    rows = [
        {"depth": d, "policy": policy, "half_tick": half, "bits": b, "windows": []}
        | counts(10 * d + 3 * n + b)
        for d in (2, 4)
        for n, (policy, half) in enumerate(time_resolution.SHOWN)
        for b in (1, 2, 3, 4, 5)
    ]
    drawn = panels(time_resolution.draw(rows))
    for d in (2, 4):
        found = curves(drawn[f"{d} layers"])
        for n, (name, _) in enumerate(time_resolution.SHOWN.values()):
            assert found[name][0] == [1, 2, 3, 4, 5]
            assert found[name][1] == pytest.approx([d + 0.3 * n + 0.1 * b for b in (1, 2, 3, 4, 5)])
    styles = [(style["ls"], style["marker"]) for _, style in time_resolution.SHOWN.values()]
    assert len(set(styles)) == len(styles)


def fault_rows() -> list[dict]:
    rows, n = [], 0
    for d, policy, fault in itertools.product(
        (2, 4), ("calibrated", "automatic"), robustness.LEVELS
    ):
        for level, seed in itertools.product(robustness.LEVELS[fault], (0, 1)):
            n += 1
            keys = {"depth": d, "policy": policy, "fault": fault, "level": level}
            rows.append(keys | {"noise_seed": seed, **counts(n)})
    for d, fault, level in itertools.product((2, 4), robustness.COARSE, robustness.WEIGHT_BITS):
        n += 1
        keys = {"depth": d, "policy": "calibrated", "fault": fault, "level": level}
        rows.append(keys | {"noise_seed": None, **counts(n)})
    return rows


def test_faults_are_drawn_as_the_mean_of_their_seeds_in_their_own_panel():
    rows = fault_rows()
    drawn = {axes.get_xlabel(): axes for axes in robustness.draw(rows).axes}
    for fault in (*robustness.LEVELS, *robustness.COARSE):
        axes = drawn[robustness.PANELS[fault.split(",")[0]][0]]
        for d, policy in itertools.product((2, 4), ("calibrated", "automatic")):
            keys = {"fault": fault, "depth": d, "policy": policy}
            found = [row for row in rows if all(row[k] == v for k, v in keys.items())]
            if not found:
                continue
            levels = sorted({row["level"] for row in found})
            means = [
                np.mean([98 - row["snn_correct"] / 10 for row in found if row["level"] == level])
                for level in levels
            ]
            solid = policy == "automatic" or fault.endswith("neuron")
            style = ("-" if solid else "--", depth_style(d)["marker"])
            lines = [line for line in axes.get_lines() if list(line.get_xdata()) == levels]
            lines = [v for v in lines if (v.get_linestyle(), v.get_marker()) == style]
            assert list(lines[0].get_ydata()) == pytest.approx(means), keys


def moment_rows() -> list[dict]:
    return [
        {"depth": d, "policy": policy, "fraction": f, "t": 1 + f, "latency": 2.0, "n_test": 100}
        | {"promised_correct": 10 * n + k + d, "potential_correct": 5 * n + k + d, "certain": n + k}
        for d in (2, 4)
        for k, policy in enumerate(("calibrated", "automatic"))
        for n, f in enumerate((0.0, 0.5, 1.0))
    ]


def test_early_decisions_are_drawn_by_policy_and_depth_promised_apart_from_potential():
    figure = early_decision.draw(moment_rows())
    for k, policy in enumerate(("calibrated", "automatic")):
        for column, d in enumerate((2, 4)):
            axes = figure.axes[2 * k + column]
            found = curves(axes)
            assert found["right, as promised"] == ([0, 0.5, 1], [k + d, 10 + k + d, 20 + k + d])
            assert found["right, potential so far"][1] == [k + d, 5 + k + d, 10 + k + d]
            assert found["certain"][1] == [k, 1 + k, 2 + k]
            assert column or policy in axes.get_ylabel()


def normalisation_rows() -> list[dict]:
    rows = []
    for trained, d in ((True, 2), (True, 4), (False, 16)):
        keys = {"depth": d, "trained": trained}
        for n in range(1, d):
            more = {"layer": n, "window": 10.0 + n + d, "window_after": 1.0 + 0.01 * n}
            more |= {"largest_weight": 0.2 + n / 100, "largest_weight_after": 0.1 + n / 100}
            rows.append(keys | {"kind": "layer"} | more)
        if trained:
            factors = [{"layer": n, "factor": [n, n + d, 3.0 * n + d]} for n in range(1, d + 1)]
            rows += [keys | {"kind": "sample"} | more for more in factors]
    return rows


def test_normalisation_is_drawn_before_and_after_and_factors_by_depth():
    figure = layer_normalisation.draw(normalisation_rows())
    left, middle, right = figure.axes
    drawn = {tuple(line.get_ydata()): line.get_linestyle() for line in left.get_lines()}
    assert drawn[(15.0, 16.0, 17.0)] == "-" and drawn[(1.01, 1.02, 1.03)] == "--"
    drawn = {
        tuple(np.round(line.get_ydata(), 6)): line.get_linestyle() for line in middle.get_lines()
    }
    assert drawn[(0.21, 0.22, 0.23)] == "-" and drawn[(0.11, 0.12, 0.13)] == "--"
    medians = [list(line.get_ydata()) for line in right.get_lines()]
    assert medians == [[3, 4], [5, 6, 7, 8]]
    assert list(curves(right)) == ["depth 2", "depth 4"]


def trace(**changes) -> dict:
    row = {"neuron_model": "B1", "layer": 2, "neuron": 7, "guard": True, "t_start": 1.0}
    row |= {"t_min": 3.0, "t_max": 11.0, "threshold": 6.0, "spike": 9.0}
    row |= {
        "corners": [[1.0, 0.0], [2.0, 1.0], [3.0, 0.0], [11.0, 8.0]],
        "input_spikes": [1.5, 2.0],
    }
    return row | changes


def test_traces_have_their_potential_their_threshold_and_their_spike_at_its_place():
    silent = trace(spike=None, threshold=9.0)
    early = trace(spike=2.0, threshold=1.0, guard=False)
    at_start = trace(spike=1.0, threshold=-1.0, guard=False)
    figure = membrane_traces.draw([trace(), early, silent, at_start])
    fires, premature, quiet, below = figure.axes
    potential, threshold, _, ticks, spike = fires.get_lines()
    assert potential.get_xydata().tolist() == [[0, 0], [0.5, 1], [1, 0], [2, 8]]
    assert threshold.get_xydata().tolist() == [[1, 6], [2, 6]]
    assert ticks.get_xdata().tolist() == [0.25, 0.5]
    assert (spike.get_xdata()[0], spike.get_ydata()[0]) == (1.75, 6.0)
    assert premature.get_lines()[1].get_xdata()[0] == 0  # without the guard it counts at once
    assert "fires before t_min" in texts(premature) and "silent" in texts(quiet)
    assert "threshold below rest" in texts(below) and "no guard" in texts(below)
    assert below.get_lines()[-1].get_xydata().tolist() == [[0, 0]]
    assert len(quiet.get_lines()) == 4 and "layer 2, neuron 7" in texts(quiet)


def cause_rows() -> list[dict]:
    rows, n = [], 0
    for d in (2, 4):
        for _, _, keys in degradation_causes.SUMMARY:
            n += 1
            more = {"cause": "", "variant": "", "training": "raw pixels", "training_seed": 0}
            rows.append({"depth": d} | more | keys | counts(n))
    grow = {"cause": "window growth", "variant": "window", "dtype": "float64", "training": ""}
    rows.append({"depth": 4, **grow, "windows": [2.0, 9.0], "b1_windows": [1.0, 2.0], **counts(1)})
    for neuron, lengths in (("alpha", [5.0, 50.0, 500.0]), ("B1", [5.0, 6.0, 7.0])):
        keys = {"depth": 4, "cause": "untrained", "variant": f"{neuron}, window", "training": ""}
        rows.append(keys | {"windows": lengths, **counts(2)})
    return rows


def test_causes_are_drawn_at_the_greatest_depth_filled_and_their_remedies_as_rings():
    rows = cause_rows()
    figure = degradation_causes.draw(rows)
    lost = degradation_causes.losses(rows)
    axes = panels_by_letter(figure)["b"]
    dots = [line for line in axes.get_lines() if line.get_marker() == "o"]
    filled = [x for line in dots if line.get_mfc() != "white" for x in line.get_xdata()]
    rings = [x for line in dots if line.get_mfc() == "white" for x in line.get_xdata()]
    several = [found for found in lost.values() if len(found) > 1]
    assert sorted(filled) == pytest.approx(sorted(np.mean(found[""][4]) for found in several))
    remedies = [np.mean(v[4]) for found in several for remedy, v in found.items() if remedy]
    assert sorted(rings) == pytest.approx(sorted(remedies))
    assert all(cause in texts(axes) for cause, found in lost.items() if len(found) > 1)


def panels_by_letter(figure) -> dict:
    return {axes.get_title(loc="left")[:1]: axes for axes in figure.axes}


def test_reported_loss_stands_beside_its_recipe_by_depth():
    rows = cause_rows()
    axes = panels_by_letter(degradation_causes.draw(rows))["a"]
    lost = degradation_causes.losses(rows)
    lines = [line for line in axes.get_lines() if list(line.get_xdata()) == [2, 4]]
    drawn = [list(line.get_ydata()) for line in lines]
    reported, bias, _, both = list(lost)[:4]
    for found in (lost[reported][""], lost[both][""], lost[bias][""], lost[bias]["bias rescaled"]):
        assert [found[2][0], found[4][0]] in drawn
    assert "as reported" in texts(axes) and "bias rescaled" in texts(axes)


def test_long_windows_and_clocks_are_drawn_from_their_own_rows():
    found = panels_by_letter(degradation_causes.draw(cause_rows()))
    lines = [
        line.get_ydata().tolist() for line in found["c"].get_lines() if len(line.get_xdata()) > 2
    ]
    assert lines == [[5.0, 50.0, 500.0], [5.0, 6.0, 7.0]]
    dots = [list(line.get_ydata()) for line in found["c"].get_lines() if line.get_marker() == "."]
    assert dots == [[2.0, 9.0], [1.0, 2.0]]
    clocks = [line for line in found["d"].get_lines() if len(line.get_xdata())]
    assert [line.get_linestyle() for line in clocks] == ["-", "-", "--", "--"]


def test_seeds_are_drawn_one_mark_a_network_with_their_mean():
    rows = [
        {"depth": d, "training_seed": s, "n_test": 1000, "relu_correct": 970 + d + s, "epochs": 3}
        for d in (2, 4)
        for s in (0, 1, 5)
    ]
    (axes,) = training_seeds.draw(rows).axes
    marks = [line.get_xydata().tolist() for line in axes.get_lines() if line.get_marker() != "None"]
    assert marks == [[[2, 97.2], [2, 97.3], [2, 97.7]], [[4, 97.4], [4, 97.5], [4, 97.9]]]
    assert "97.40" in texts(axes) and "97.60" in texts(axes)


@pytest.mark.parametrize("smallest", [0.0, -2.0])
def test_axis_of_losses_shows_gains_too(smallest):
    axes = Figure().subplots()
    loss_axis(axes.yaxis, 0.1, smallest)
    low, high = axes.get_ylim()
    assert low < smallest and high > 90 and axes.get_yscale() == "symlog"


def test_names_at_the_ends_of_curves_keep_apart_and_stay_where_there_is_room():
    figure = Figure(figsize=(4, 3), dpi=72)  # a point per pixel
    axes = figure.subplots()
    axes.set_ylim(0, 1)
    label_ends(axes, [(0.5, 0.5, "b"), (0.5, 0.501, "c\nd"), (0.5, 0.9, "e"), (0.5, 0.49, "a")], 6)
    middles = {text.get_text(): text.xyann[1] for text in axes.texts}
    height = {
        n: axes.transData.transform((0.5, y))[1] + middles[n]
        for n, y in (("a", 0.49), ("b", 0.5), ("c\nd", 0.501), ("e", 0.9))
    }
    assert middles["a"] == middles["e"] == 0
    assert height["b"] - height["a"] >= 7.2 - 1e-9
    assert height["c\nd"] - height["b"] >= 1.5 * 7.2 - 1e-9


def test_depths_differ_in_shade_and_in_marker():
    styles = [depth_style(depth) for depth in (2, 4, 6, 8)]
    shades = [0.3 * r + 0.59 * g + 0.11 * b for r, g, b, _ in (style["color"] for style in styles)]
    assert shades == sorted(shades) and min(np.diff(shades)) > 0.05
    assert len({style["marker"] for style in styles}) == 4


def test_axis_of_losses_is_linear_near_zero_and_has_plain_numbers():
    axes = Figure().subplots()
    loss_axis(axes.xaxis, 0.1, smallest=-20)
    assert axes.get_xticks().tolist() == [-10, -1, -0.1, 0, 0.1, 1, 10, 90]
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["-10", "-1", "-0.1", "0", "0.1", "1", "10", "90"]
    assert axes.get_xticks(minor=True).size == 0 and axes.get_xlim() == (-24, 150)
    assert axes.xaxis.get_transform().linthresh == 0.1
    loss_axis(axes.yaxis, 1.0, largest=10)
    assert axes.get_yticks().tolist() == [0, 1, 10] and axes.get_ylim() == (-0.3, 10)
