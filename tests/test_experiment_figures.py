"""What the axes of the experiments' other figures hold, from rows made by hand."""

import numpy as np
import pytest
from test_experiment_tables import code_row, equivalence_rows, peer_row, trained_row
from test_figure_axes import written
from test_figures import counts, curves, panels, texts

from experiments import (
    convolutional,
    direct_training,
    early_decision,
    fine_tuning,
    peers,
    published_loss,
    records,
    sparse_training,
    spike_codes,
    training_equivalence,
    witness,
)
from experiments.recipe import REPORTED_CORRECT
from ttfs.metrics import percent_interval
from ttfs.stages.figures import RELU_COLOUR, SNN_COLOUR, depth_style


def marks(axes, marker: str) -> list[list[float]]:
    """Return the points of a panel that are drawn with a marker."""
    lines = [line for line in axes.lines if line.get_marker() == marker]
    return [point for line in lines for point in line.get_xydata().tolist()]


def test_names_of_early_curves_have_the_windows_of_their_row_and_the_depth_of_their_column():
    rows = [
        {"depth": d, "policy": policy, "fraction": f, "t": 1 + f, "latency": 2.0, "n_test": 10}
        | {"promised_correct": 7, "potential_correct": 5, "certain": 3}
        for d in (2, 4)
        for policy in ("calibrated", "automatic")
        for f in (0.0, 1.0)
    ]
    figure = early_decision.draw(rows)
    found = [axes.get_ylabel().split()[0] for axes in figure.axes if axes.get_ylabel()]
    assert found == ["calibrated", "automatic"]
    assert [axes.get_title() for axes in figure.axes[:2]] == ["2 layers", "4 layers"]
    assert curves(figure.axes[3])["right, as promised"] == ([0, 1], [70, 70])


def test_sparse_networks_are_drawn_as_accuracy_against_spikes_a_line_per_penalty():
    rows = [
        trained_row(depth=d, network=network, weight=w, spikes=1000 * (d + w + s), snn_correct=n)
        for d in (2, 4)
        for network in (sparse_training.HOYER, sparse_training.L1)
        for w in (1, 6)
        for s, n in ((0, 960 + w), (2, 962 + d + w))
    ]
    drawn = panels(sparse_training.draw(rows))
    for d in (2, 4):
        axes = drawn[f"{d} layers"]
        means = [(d + w + 1) / 40 for w in (1, 6)], [96.1 + (d + 2 * w - 0) / 20 for w in (1, 6)]
        for network in (sparse_training.HOYER, sparse_training.L1):
            x, y = curves(axes)[network]
            assert x == pytest.approx(means[0]) and y == pytest.approx(means[1])
        dots = marks(axes, ".")
        expected = [
            [(d + w + s) / 40, 96 + w / 10 + s * (2 + d) / 20] for w in (1, 6) for s in (0, 2)
        ]
        assert np.allclose(dots, expected)
        assert {text for text, *_ in written(axes)} == {"1", "6"}


def test_fine_tuning_is_drawn_as_points_lost_for_each_aim_from_top_to_bottom():
    rows = [
        trained_row(depth=d, aim=aim, how=how, **counts(10 * d + 3 * k + n))
        for d in (2, 4)
        for k, aim in enumerate(("1 tick", "2 ticks"))
        for n, how in enumerate(fine_tuning.STYLES)
    ]
    drawn = panels(fine_tuning.draw(rows))
    for d in (2, 4):
        for n, how in enumerate(fine_tuning.STYLES):
            x, y = curves(drawn[f"{d} layers"])[how]
            assert x == pytest.approx([d + 0.1 * n, d + 0.3 + 0.1 * n]) and y == [2, 1]
    first = drawn["2 layers"]
    assert first.get_yticks().tolist() == [2, 1]
    assert [label.get_text() for label in first.get_yticklabels()] == ["1 tick", "2 ticks"]


def test_equivalence_is_drawn_as_differences_losses_and_first_gradients():
    figure = training_equivalence.draw(equivalence_rows())
    apart, losses, gradients = figure.axes
    assert apart.lines[0].get_xydata().tolist() == [[1, 2e-16], [50, 4e-9], [1290, 3e-3]]
    assert apart.get_ylabel().startswith("8 layers")
    own, relu = losses.lines
    assert (own.get_label(), list(own.get_ydata())) == ("B1", [0.5] * 3)
    assert (relu.get_label(), list(relu.get_ydata())) == ("ReLU", [0.25] * 3)
    assert [line.get_xydata().tolist() for line in gradients.lines] == [
        [[1, 6.0], [2, 1.0]],
        [[1, 4.0], [2, 2.0]],
    ]


def test_codes_are_drawn_against_all_spikes_above_and_steps_below():
    rows = [
        code_row(depth=d, code=code, bits=bits, steps=d * 2**bits, snn_correct=970 - 2 * k - d)
        | {"validation_correct": 900 + bits, "spikes": [1000 * bits, 2000, 3000 * k]}
        for d in (2, 4)
        for k, code in enumerate((spike_codes.CLOCK, spike_codes.QUANTISED))
        for bits in (3, 1)
    ]
    worse = rows[0] | {"validation_correct": 1, "snn_correct": 500}
    figure = spike_codes.draw([worse, *rows])
    for column, d in enumerate((2, 4)):
        above, below = figure.axes[column], figure.axes[column + 2]
        assert above.get_title() == f"{d} layers"
        for k, code in enumerate((spike_codes.CLOCK, spike_codes.QUANTISED)):
            lost = pytest.approx([1.5 + 0.2 * k + d / 10] * 2)
            assert curves(above)[code] == ([3 + 3 * k, 5 + 3 * k], lost)
            assert curves(below)[code] == ([2 * d, 8 * d], lost)
    assert [axes.get_xlabel() for axes in figure.axes] == [
        *("Spikes per image", "Spikes per image", "Time steps", "Time steps")
    ]


def test_trainers_are_drawn_against_steps_above_and_hidden_spikes_below():
    keys = {"trainer": direct_training.LEAKY, "inputs": direct_training.RATE}
    rows = [
        code_row(depth=d, steps=steps, snn_correct=970 - d, spikes=[9000, 1000 * d, 500], **keys)
        for d in (2, 8)
        for steps in (8, 25)
    ]
    worse = rows[0] | {"validation_correct": 1, "snn_correct": 500}
    figure = direct_training.draw([worse, *rows])
    for column, d in enumerate((2, 8)):
        above, below = figure.axes[column], figure.axes[column + 2]
        right = pytest.approx([97 - d / 10] * 2)
        assert curves(above)[direct_training.LEAKY] == ([8, 25], right)
        assert curves(below)[direct_training.LEAKY] == ([d + 0.5] * 2, right)
        assert above.get_title() == f"{d} layers"
        assert {text for text, *_ in written(above)} == {"rates"}
    names = [axes.get_xlabel() for axes in figure.axes]
    assert names == 2 * ["Time steps"] + 2 * ["Hidden spikes per image"]


def test_peers_are_drawn_as_time_against_hidden_spikes_open_if_not_as_right():
    poor = peer_row(setting="poor", validation_correct=900, spikes=[1000, 7000], steps=8)
    deep = peer_row(depth=8, tool=peers.HERE, setting=peers.OWN_RATE, seconds=10.0)
    left, right = peers.draw([peer_row(), poor, deep]).axes
    drawn = {
        (*line.get_xydata()[0], line.get_mfc()) for line in left.lines if len(line.get_xdata())
    }
    assert drawn == {(20, 1.5, RELU_COLOUR), (7, 1.5, "white")}
    assert {(text, xy) for text, xy, *_ in written(left)} == {("T = 24", (20, 1.5))}
    assert {(text, xy) for text, xy, *_ in written(right)} == {("rate, T = 24", (20, 2.5))}
    assert [axes.get_title() for axes in (left, right)] == ["2 layers", "8 layers"]


def test_the_witness_is_drawn_as_the_largest_difference_of_each_layer_against_the_step():
    rows = [
        {"depth": 3, "steps_per_window": n, "image": k, "differences": [k / n, 3 / n]}
        for n in (64, 256)
        for k in (2, 1)
    ]
    (axes,) = witness.draw(rows).axes
    found, steps = curves(axes), [1 / 64, 1 / 256]
    assert found["layer 1"] == (steps, [2 / 64, 2 / 256])
    assert found["layer 2"] == (steps, [3 / 64, 3 / 256])
    assert found["one step"] == (steps, steps)


def test_records_are_drawn_with_their_interval_and_their_spikes_from_top_to_bottom():
    rows = [
        trained_row(record="few_spikes", network="mlp", depth=2),
        trained_row(record="conv", network="lenet", depth=4, snn_correct=990, spikes=4000),
    ]
    left, right = records.draw(rows).axes
    assert marks(left, "o") == [[97, 2], [99, 1]] and marks(right, "o") == [[0.3, 2], [0.1, 1]]
    bars = [line.get_xydata().tolist() for line in left.lines if len(line.get_xdata()) == 2]
    for bar, correct, place in zip(bars, (970, 990), (2, 1), strict=True):
        low, high = percent_interval(correct, 1000)
        assert bar == [[pytest.approx(low), place], [pytest.approx(high), place]]
    names = [label.get_text() for label in left.get_yticklabels()]
    assert (names, left.get_yticks().tolist()) == (["few spikes, 2 layers", "conv, LeNet"], [2, 1])
    assert "97.00" in texts(left) and "0.100" in texts(right)


def test_lenets_clocks_stand_on_the_left_and_its_jitter_on_the_right():
    rows = [
        trained_row(question=question, engine=engine, policy="", dtype="", **counts(n))
        for question, engine, n in (
            ("clock", "clock:1:half-tick", 30),
            ("clock", "clock:2:half-tick", 20),
            ("jitter", "jitter:0.01", 5),
            ("jitter", "jitter:0.1", 15),
        )
    ]
    left, right = convolutional.draw(rows).axes
    for axes, lost, names in ((left, [3, 2], ["2", "4"]), (right, [0.5, 1.5], ["0.01", "0.1"])):
        assert np.allclose(marks(axes, "o"), list(enumerate(lost)))
        assert [label.get_text() for label in axes.get_xticklabels()] == names
        assert {text for text, *_ in written(axes)} == {f"{98 - n:.2f} %" for n in lost}
    assert "Ticks" in left.get_xlabel() and "Jitter" in right.get_xlabel()


def published_rows() -> list[dict]:
    rows = []
    for d in (2, 8):
        relu, snn = REPORTED_CORRECT[d]
        reported = {"variant": "reported", "images": published_loss.FIRST, "batch_size": None}
        rows.append(
            {"depth": d, **reported, "n_test": 1000, "relu_correct": relu, "snn_correct": snn}
        )
        for batch, n in ((128, 20), (128, 40), (64, 70)):
            keys = {"depth": d, "batch_size": batch, "variant": "published"}
            became = [d, 0, n, *6 * [0], 1]
            for images, more in ((published_loss.FIRST, 0), (published_loss.ALL, 9)):
                rows.append(keys | {"images": images, "changed_to": became, **counts(n + d + more)})
            first = {"variant": "first biases", "images": published_loss.ALL}
            rows += [keys | first | {"layer": k, **counts(n + k)} for k in range(2, d + 1)]
    return rows


def test_published_runs_stand_around_the_published_numbers_on_the_first_images():
    lost, relu, *_ = published_loss.draw(published_rows()).axes
    runs = {(round(x, 2), round(y, 2)) for x, y in marks(lost, "o")}
    expected = {
        (d + x, round((n + d) / 10, 2)) for d in (2, 8) for x, n in ((-0.65, 20), (0.05, 40))
    }
    assert runs == {(round(x, 2), y) for x, y in expected} | {(2.35, 7.2), (8.35, 7.8)}
    faces = {line.get_mfc() for line in lost.lines if line.get_marker() == "o"}
    assert faces == {RELU_COLOUR, "white"}
    for axes, values in ((lost, {2: 0.3, 8: 4.8}), (relu, {2: 96.8, 8: 96.8})):
        black = [
            line for line in axes.lines if line.get_color() == "black" and len(line.get_xdata())
        ]
        drawn = {line.get_xdata()[0] + 0.85: line.get_ydata()[0] for line in black}
        assert drawn == pytest.approx(values)
    assert {y for _, y in marks(relu, "o")} == {98.0}
    zero = [line for line in lost.lines if line.get_color() == SNN_COLOUR]
    assert [line.get_ydata()[0] for line in zero] == [0]


def test_published_biases_lose_layer_by_layer_and_change_labels_of_the_deepest_networks():
    *_, added, became = published_loss.draw(published_rows()).axes
    drawn = [line.get_xydata().tolist() for line in added.lines]
    assert np.allclose(drawn[0], [[1, 0], [2, 3.2]])
    assert np.allclose(drawn[1], [[1, 0], *([k, 3 + k / 10] for k in range(2, 9))])
    assert added.lines[1].get_marker() == depth_style(8)["marker"]
    shares = [bar.get_width() for bar in became.patches]
    total = 2 * 8 + 60 + 2
    assert shares == pytest.approx([100 * n / total for n in (16, 0, 60, *6 * [0], 2)])
    assert "at 8 layers" in became.get_xlabel()
