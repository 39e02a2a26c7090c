"""What stands around the points of the scripts' figures: ticks, names, colours, sides, limits."""

import pytest
from matplotlib.colors import to_rgba
from matplotlib.text import Annotation
from test_figures import CONVERSION

import create_plot
import spike_distribution_plot
import time_axis_schematic
from ttfs.metrics import percent_interval
from ttfs.stages.figures import INPUT_COLOUR, RELU_COLOUR, SNN_COLOUR, depth_style


def written(axes) -> set[tuple]:
    """Return every note of a panel: its text, the point that it is beside, on which side."""
    notes = [text for text in axes.texts if isinstance(text, Annotation)]
    return {(note.get_text(), note.xy, note.xyann, note.get_ha()) for note in notes}


def texts_at(axes) -> dict[str, tuple]:
    return {text.get_text(): text.get_position() for text in axes.texts}


def ticks(axes) -> list[tuple[float, str]]:
    labels = [label.get_text() for label in axes.get_xticklabels()]
    return list(zip(axes.get_xticks().tolist(), labels, strict=True))


def test_main_figure_writes_each_accuracy_on_the_outer_side_of_its_point():
    (axes,) = create_plot.draw_depth_comparison(CONVERSION).axes
    relu = {("97.00", (1.84, 97.0)), ("99.00", (3.84, 99.0))}
    snn = {("96.00", (2.16, 96.0)), ("93.00", (4.16, 93.0))}
    left = {(*what, (-5, 0), "right") for what in relu}
    assert written(axes) == left | {(*what, (5, 0), "left") for what in snn}


def test_main_figure_has_an_interval_through_each_point_in_the_colour_of_its_network():
    (axes,) = create_plot.draw_depth_comparison(CONVERSION).axes
    bars = {x[0]: tuple(line.get_ydata()) for line in axes.lines if len(x := line.get_xdata()) == 2}
    places = {1.84: 970, 2.16: 960, 3.84: 990, 4.16: 930}
    assert bars == {x: pytest.approx(percent_interval(n, 1000)) for x, n in places.items()}
    for line in axes.lines:
        left = round(line.get_xdata()[0] % 1, 2) == 0.84
        assert line.get_color() == (RELU_COLOUR if left else SNN_COLOUR)


def test_main_figure_names_its_depths_its_axis_and_both_networks_once():
    (axes,) = create_plot.draw_depth_comparison(CONVERSION).axes
    assert axes.get_xticks().tolist() == [2, 4]
    low, high = axes.get_ylim()
    assert low < percent_interval(930, 1000)[0] and high > percent_interval(990, 1000)[1]
    assert axes.get_ylabel() == f"Test accuracy (%), axis from {low:.1f}"
    legend = axes.get_legend()
    assert legend.get_title().get_text() == "95 % intervals"
    assert [text.get_text() for text in legend.get_texts()] == ["ReLU network", "spiking network"]


SAME = [{"engine": "event-driven", "policy": "calibrated", "n_test": 10_000, "agreements": 10_000}]
VERDICTS = {
    "all": (4 * SAME, "event-driven, calibrated windows:\nsame label on all 10,000 images"),
    "all but one": ([*3 * SAME, SAME[0] | {"agreements": 9_999}], "1 of 40,000 labels differ"),
    "several ways": (
        [SAME[0], SAME[0] | {"engine": "clock:3", "policy": "fixed:5", "agreements": 8_766}],
        "event-driven and clock:3, calibrated and fixed:5 windows:\n1,234 of 20,000 labels differ",
    ),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_verdict_counts_the_labels_that_differ_in_what_was_simulated(case):
    rows, words = VERDICTS[case]
    verdict = create_plot.verdict([{"snn_correct": 77} | row for row in rows])
    assert words in verdict and ("same label" in verdict) == (case == "all")


def histogram_rows() -> list[dict]:
    window = {"n_test": 1234, "t_min": 1.0, "t_max": 5.0, "earliest_spike": 2.0}
    return [
        {"depth": d, "layer": n, "silent": 30, "spikes": 10 * n, "spikes_per_bin": bins} | window
        for d, n, bins in ((2, 1, [1, 9]), (4, 1, [2, 8]), (4, 2, [15, 5]))
    ]


def test_histograms_share_one_axis_of_time_from_0_to_1():
    figure = spike_distribution_plot.draw_spike_histograms(histogram_rows())
    shown = [axes for axes in figure.axes if axes.get_visible()]
    for axes in shown:
        assert axes.get_xlim() == (0, 1) and axes.get_ylim() == shown[0].get_ylim()
        assert axes.patches[0].get_data().edges.tolist() == [0, 0.5, 1]
        assert axes.lines[0].get_xydata().tolist() == [[0.25, 0]]
    for axes in shown[1:]:  # the lowest of each column has the names
        assert ticks(axes) == [(0, "0"), (0.5, "½"), (1, "1")]
    assert "1,234 test images" in figure.get_supxlabel()
    assert "t_min = 0, t_max = 1" in figure.get_supxlabel()


def test_histograms_name_their_depth_on_the_left_and_their_layer_below():
    figure = spike_distribution_plot.draw_spike_histograms(histogram_rows())
    (above, hidden), (left, right) = figure.axes[:2], figure.axes[2:]
    assert not hidden.get_visible()
    names = [axes.get_ylabel().split("\n")[0] for axes in (above, left, right)]
    assert names == ["2 layers", "4 layers", ""]
    assert [axes.get_xlabel() for axes in (left, right)] == ["hidden layer 1", "hidden layer 2"]
    for axes, depth in ((above, 2), (left, 4), (right, 4)):
        assert axes.patches[0].get_facecolor() == depth_style(depth)["color"]


def axis_rows() -> list[dict]:
    first = {"size": 4, "neurons": [1], "times": [0.25]}
    second = {"size": 5, "neurons": [0, 1], "times": [2.0, 4.0]}
    third = {"size": 3, "neurons": [2], "times": [7.5]}
    row = {"image": 3, "label": 1, "pixels": list(range(784))}
    row |= {"output_potentials": [0.0, 1.0, 5.0, -5.0]}
    windows = [[0.0, 1.0], [1.0, 5.0], [5.0, 7.75]]
    return [
        row | {"depth": 2, "spikes": [first, second], "windows": windows[:2]},
        row | {"depth": 3, "spikes": [first, second, third], "windows": windows},
    ]


def test_time_axes_stand_below_each_other_by_depth_with_the_image_in_the_corner():
    figure = time_axis_schematic.draw_time_axes(axis_rows())
    *panels, corner = figure.axes
    places = [axes.get_subplotspec().rowspan.start for axes in panels]
    names = [axes.get_ylabel() for axes in panels]
    assert (places, names) == ([0, 1], ["2 layers\nneurons", "3 layers\nneurons"])
    (image,) = corner.images
    assert image.get_array().ravel().tolist() == list(range(784))
    assert image.get_cmap().name == "gray_r"  # ink is dark
    assert corner.get_title() == "test image\n3"
    assert "bars: output potentials" in figure.get_supxlabel()


def test_time_axis_has_windows_of_one_width_between_their_true_ends():
    for axes, row in zip(
        time_axis_schematic.draw_time_axes(axis_rows()).axes, axis_rows(), strict=False
    ):
        n = row["depth"]
        ends = ["0", "1", "5", "7.75"][: n + 1]
        assert ticks(axes) == list(enumerate(ends))
        assert (axes.get_xlim(), axes.get_ylim()) == ((0, n + 1), (0, 1))
        bounds = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "None"]
        assert bounds == list(range(n + 1))
        shaded = [patch.get_extents() for patch in axes.patches if patch.get_height() == 1]
        shaded = [axes.transData.inverted().transform_bbox(box) for box in shaded]
        assert [(round(box.x0, 6), round(box.x1, 6)) for box in shaded] == [(1, 2)]
        above = {name: x for name, (x, y) in texts_at(axes).items() if y == 1.05}
        expected = {"input\n1/4": 0.5, "layer 1\n2/5": 1.5, "output\n2": n + 0.5}
        assert above == expected | ({"layer 2\n1/3": 2.5} if n == 3 else {})
        dots = [line.get_color() for line in axes.lines if line.get_marker() == "."]
        assert dots == [INPUT_COLOUR, *[depth_style(n)["color"]] * (n - 1)]


def test_spikes_of_later_layers_stand_in_their_own_window():
    axes = time_axis_schematic.draw_time_axes(axis_rows()).axes[1]
    dots = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "."]
    assert dots[1] == [[1.25, pytest.approx(0.1)], [1.75, pytest.approx(0.3)]]
    assert dots[2] == [[pytest.approx(2 + 2.5 / 2.75), pytest.approx(2.5 / 3)]]


def test_output_bars_stand_beside_their_digits_and_the_winner_stands_out():
    axes = time_axis_schematic.draw_time_axes(axis_rows()).axes[1]
    bars = [bar for bar in axes.patches if bar.get_height() == pytest.approx(0.07)]
    assert [bar.get_x() for bar in bars] == [3.25] * 4
    heights = [bar.get_y() + 0.035 for bar in bars]
    assert heights == pytest.approx([0.05, 0.15, 0.25, 0.35])
    won, others = to_rgba(depth_style(3)["color"]), to_rgba("0.75")
    assert [bar.get_facecolor() for bar in bars] == [others, others, won, others]
    digits = {text.get_text(): text for text in axes.texts if text.get_text() in "0123"}
    for digit, text in digits.items():
        assert text.get_position() == (3.2, pytest.approx(0.05 + int(digit) / 10))
        assert text.get_fontweight() == ("bold" if digit == "2" else "normal")
    assert sorted(digits) == list("0123")


def test_time_axis_table_is_of_the_image_and_its_label():
    table = time_axis_schematic.table(axis_rows())
    assert table.title == "t_max of every window, for test image 3 (a 1)"
    assert list(table.header) == ["depth", "input", "layer 1", "layer 2"]
