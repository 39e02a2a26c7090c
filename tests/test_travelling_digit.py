"""The digit that travels through a network: what each moment shows, and the file that moves."""

import numpy as np
import pytest
from committed import ALL
from committed import rows as committed_rows
from matplotlib.animation import FuncAnimation
from matplotlib.colors import to_rgba
from PIL import Image
from pipeline import folders, layers, run, train
from studied import parameters, rows

from experiments import __main__ as experiments
from experiments import digit_figure, travelling_digit
from experiments.digit_figure import AHEAD, CLOSED, NOW, OPEN, Bars, Clock, Lane, Picture, Pixels
from ttfs.stages.figures import COLOURS, FRAMES_PER_SECOND, SNN_COLOUR, STAY, save_animation

FIRES = {"neuron": 1, "threshold": 2.0, "spike": 1.5}
FIRES["corners"] = [[0.0, 0.0], [0.5, 1.0], [1.0, 1.5], [2.0, 2.5]]
SILENT = {"neuron": 2, "threshold": 1.0, "spike": None}
SILENT["corners"] = [[0.0, 0.0], [1.0, -0.5], [2.0, 0.5]]
HIDDEN = {"kind": "hidden", "layer": 1, "size": 4, "window": 2.5}
HIDDEN |= {"t_start": 0.0, "t_min": 1.0, "t_max": 2.0, "neurons": [1, 3], "times": [1.5, 1.9]}
LATER = {"t_start": 1.0, "t_min": 2.0, "t_max": 3.0, "neurons": [2], "times": [2.95]}
LATER |= {"layer": 2, "traces": [{**SILENT, "corners": [[1.0, 0.0], [2.0, 0.25], [3.0, 0.5]]}]}
ROWS = [
    {"kind": "pixels", "layer": 0, "size": 4, "t_min": 0.0, "t_max": 1.0}
    | {"neurons": [0, 3, 2], "times": [0.0, 0.25, 0.5]},
    HIDDEN | {"traces": [FIRES, SILENT]},
    HIDDEN | LATER,
    {"kind": "output", "layer": 3, "size": 3, "t_min": 2.0, "t_max": 3.0}
    | {"potentials": [[2.0, 0.0, 0.0, 0.0], [2.5, 1.0, 0.0, 0.0], [3.0, 1.0, -2.0, 3.0]]},
]
ROWS = [{"depth": 3, "image": 7, "frames": 4} | row for row in ROWS]


@pytest.fixture(scope="module")
def scene():
    return digit_figure.Scene(ROWS)


def parts(scene, kind) -> list:
    return [part for part in scene.parts if isinstance(part, kind)]


def points(*lines) -> list[tuple[float, float]]:
    return sorted(tuple(map(float, point)) for line in lines for point in line.get_xydata())


@pytest.mark.parametrize("t", [0.0, 0.25, 0.3, 0.49, 0.5, 1.0, 1.5, 1.89, 1.9, 3.25])
def test_exactly_the_spikes_until_now_are_there_and_the_newest_stand_out(scene, t):
    scene.show(t)
    (pixels,), lanes = parts(scene, Pixels), parts(scene, Lane)
    for part, row in zip((pixels, *lanes), ROWS[:3], strict=True):
        drawn = points(part.raster.old, part.raster.new)
        assert [x for x, _ in drawn] == [time for time in row["times"] if time <= t]
        new = [x for x, _ in points(part.raster.new)]
        assert new == [time for time in row["times"] if t - digit_figure.FLASH < time <= t]
    assert f"{len(points(pixels.raster.old, pixels.raster.new))} of 4" in pixels.state.get_text()


def test_spikes_are_drawn_at_the_height_of_their_neurons_the_first_on_top(scene):
    scene.show(3.25)
    (pixels,), (lane, _) = parts(scene, Pixels), parts(scene, Lane)
    assert points(pixels.raster.old) == [(0.0, 0.875), (0.25, 0.125), (0.5, 0.375)]
    assert np.allclose(points(lane.raster.old), [(1.5, 2 - 0.8 * 0.375), (1.9, 2 - 0.8 * 0.875)])
    assert lane.curves[0].jump.get_xydata().tolist() == [[1.5, 1.0], [1.5, 2 - 0.8 * 0.375]]


@pytest.mark.parametrize("t", [0.0, 0.99, 1.0, 1.99, 2.0, 2.99, 3.0, 3.25])
def test_each_window_opens_at_t_min_and_closes_at_t_max(scene, t):
    scene.show(t)
    (pixels,), lanes = parts(scene, Pixels), parts(scene, Lane)
    for part, row in zip((pixels, *lanes), ROWS[:3], strict=True):
        window, (t_min, t_max) = part.raster.window, (row["t_min"], row["t_max"])
        assert (window.get_x(), window.get_width()) == (t_min, t_max - t_min)
        is_open = t_min <= t < t_max
        colour = OPEN if is_open else AHEAD if t < t_min else CLOSED
        assert window.get_facecolor() == to_rgba(colour)
        assert (window.get_edgecolor() == to_rgba(NOW)) == is_open
    states = {0.0: "waits", 1.0: "listens to layer 1", 2.0: "0 of 4 fired"}
    if t in states:
        assert lanes[1].state.get_text() == states[t]


@pytest.mark.parametrize("t", [0.0, 0.2, 0.5, 1.3, 1.5, 2.0, 3.25])
def test_potentials_are_the_traces_in_parts_of_the_threshold_until_the_spike(scene, t):
    scene.show(t)
    fires, silent = parts(scene, Lane)[0].curves
    for curve, trace, end in ((fires, FIRES, 1.5), (silent, SILENT, 2.0)):
        times, potential = np.array(trace["corners"]).T
        x, y = curve.line.get_data()
        assert x[-1] == min(t, end) and set(times[times < x[-1]]) <= set(x)
        assert np.allclose(y, np.interp(x, times, potential) / trace["threshold"])
    assert points(fires.head) == [(min(t, 1.5), fires.line.get_ydata()[-1])]
    assert fires.jump.get_visible() == (t >= 1.5)
    assert bool(points(silent.head)) == (t < 2.0) and not silent.jump.get_visible()
    if t >= 1.5:
        assert points(fires.head) == [(1.5, 1.0)]
    if t < 1.0:
        assert not points(parts(scene, Lane)[1].curves[0].line)


@pytest.mark.parametrize("t", [0.0, 1.25, 3.0, 3.25])
def test_the_line_is_at_the_time_and_stays_at_the_end(scene, t):
    scene.show(t)
    (clock,) = parts(scene, Clock)
    assert list(clock.line.get_xdata()) == [min(t, 3.0)] * 2
    assert clock.text.get_text() == f"time: {min(t, 3.0):.2f} input windows"


def test_pixels_light_up_when_they_fire_and_black_ones_stay_black(scene):
    (picture,) = parts(scene, Picture)
    shown = {}
    for t in (0.0, 0.25, 1.0):
        scene.show(t)
        shown[t] = picture.image.get_array().flatten().tolist()
    dark = digit_figure.DARK
    assert shown[0.0] == pytest.approx([1, 0, 0.5 * dark, 0.75 * dark])
    assert shown[0.25] == pytest.approx([1, 0, 0.5 * dark, 0.75])
    assert shown[1.0] == [1, 0, 0.5, 0.75]


def test_output_potentials_grow_and_the_largest_is_dark_and_stands_out_in_the_end(scene):
    (bars,) = parts(scene, Bars)
    expected = {1.9: ([0, 0, 0], None), 2.25: ([0.5, 0, 0], 0), 2.75: ([1, -1, 1.5], 2)}
    expected |= {3.25: ([1, -2, 3], 2)}
    for t, (widths, leader) in expected.items():
        scene.show(t)
        assert [bar.get_width() for bar in bars.bars] == widths
        dark = [bar.get_facecolor() == to_rgba(SNN_COLOUR) for bar in bars.bars]
        assert dark == [k == leader for k in range(3)]
        weights = [name.get_fontweight() for name in bars.names]
        assert weights == ["bold" if k == leader and t > 3 else "normal" for k in range(3)]
    assert "The answer is 2." in scene.caption.get_text()


def test_moments_go_from_the_first_spike_until_the_last_is_old():
    assert digit_figure.moments(2.0, 4) == [n / 4 for n in range(10)]
    scene = digit_figure.Scene(ROWS)
    assert (scene.moments[0], scene.moments[-1]) == (0.0, 3.25)
    for t in scene.moments:
        scene.show(t)
    assert not points(parts(scene, Lane)[0].raster.new)


def test_the_animation_has_each_moment_loops_and_is_the_same_when_drawn_again(tmp_path):
    first = save_animation(travelling_digit.animate, ROWS, tmp_path / "a")
    again = save_animation(travelling_digit.animate, ROWS, tmp_path / "b")
    assert first.name == "a.gif" and first.read_bytes() == again.read_bytes()
    with Image.open(first) as gif:
        assert gif.n_frames == 3 * 4 + 2 and gif.info["loop"] == 0 and gif.width == 810
        durations, colours = [], set()
        for n in range(gif.n_frames):
            gif.seek(n)
            durations.append(gif.info["duration"])
            colours |= {colour for _, colour in gif.convert("RGB").getcolors(810**2)}
        assert gif.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
    assert durations == [STAY[0], *[1000 / FRAMES_PER_SECOND] * 12, STAY[1]]
    assert len(colours) <= COLOURS  # one palette for all frames


def test_an_animation_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    def fails(rows):
        scene = digit_figure.Scene(rows)

        def show(t: float) -> None:
            assert t < 1, "no such moment"
            scene.show(t)

        return FuncAnimation(scene.figure, show, scene.moments, cache_frame_data=False)

    (tmp_path / "a.gif").write_bytes(b"old")
    with pytest.raises(AssertionError, match="no such moment"):
        save_animation(fails, ROWS, tmp_path / "a")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.gif": b"old"}


def test_table_has_each_window_and_its_spikes_and_the_answer():
    lines = travelling_digit.table(
        [*ROWS[:2], ROWS[2] | {"neurons": [], "times": []}, ROWS[3]]
    ).lines
    assert lines[0] == ["pixels", "0", "1", "-", "4", "3", "0.000", "0.500", "-"]
    assert lines[1] == ["layer 1", "1", "2", "2.50", "4", "2", "1.500", "1.900", "-"]
    assert lines[2] == ["layer 2", "2", "3", "2.50", "4", "0", "-", "-", "-"]
    assert lines[3] == ["output", "2", "3", "-", "3", "-", "-", "-", "2"]


@pytest.fixture(scope="module")
def travelled(tmp_path_factory):
    """Return a folder with a network, and what one image does while it travels through it."""
    root = train(tmp_path_factory.mktemp("travelled"), "--depths", "3")
    asked = ["--dataset", "digits", "--jobs", 1, "--quick", "--depth", 3, "--image", 7]
    places = folders(root, "models", "results", "figures")
    run(experiments, "travelling_digit", *asked, *places)
    return root


def test_spikes_and_output_potentials_are_those_of_the_relu_network(travelled):
    pixels, *hidden, output = rows(travelled, "travelling_digit")
    x = layers(travelled, 3, "test")[0][7]
    assert pixels["neurons"] == np.flatnonzero(x).tolist()
    assert np.allclose(pixels["times"], 1 - x[x > 0], atol=1e-4)
    (*weights, last), t_max = parameters(travelled, 3), 1.0
    for row, (weight, bias) in zip(hidden, weights, strict=True):
        t_max += 1
        assert (row["t_start"], row["t_min"], row["t_max"]) == (t_max - 2, t_max - 1, t_max)
        x = np.clip(x @ weight + bias, 0, row["window"])
        assert row["neurons"] == np.flatnonzero(x).tolist()
        assert np.allclose(row["times"], t_max - x[x > 0] / row["window"], atol=2e-4)
    assert np.allclose(output["potentials"][-1], [t_max, *(x @ last[0] + last[1])], atol=1e-3)


def test_traced_neurons_start_at_rest_and_fire_where_they_meet_the_threshold(travelled):
    hidden = rows(travelled, "travelling_digit", kind="hidden")
    assert len(hidden) == 2
    for row in hidden:
        fired = dict(zip(row["neurons"], row["times"], strict=True))
        silent = [trace for trace in row["traces"] if trace["spike"] is None]
        assert 0 < len(silent) < len(row["traces"]) == 6
        for trace in row["traces"]:
            times, potential = np.array(trace["corners"]).T
            assert (times[0], potential[0], times[-1]) == (row["t_start"], 0, row["t_max"])
            assert trace["spike"] == fired.get(trace["neuron"])
            if trace["spike"] is None:
                assert potential[-1] <= trace["threshold"] + 1e-4
            elif trace["spike"] > row["t_min"]:
                met = np.interp(trace["spike"], times, potential)
                assert met == pytest.approx(trace["threshold"], abs=3e-4)


def test_the_moving_figure_is_written_beside_the_still_one_and_redrawn_alike(travelled, tmp_path):
    places = [*folders(travelled, "results"), *folders(tmp_path, "figures")]
    printed = run(experiments, "travelling_digit", "--dataset", "digits", "--redraw", *places)
    for suffix in ("gif", "png"):
        name = f"figures/digits/travelling_digit.{suffix}"
        assert (tmp_path / name).read_bytes() == (travelled / name).read_bytes()
        assert str(tmp_path / name) in printed


def test_an_image_that_does_not_exist_is_refused(travelled, tmp_path, capsys):
    places = [*folders(travelled, "models"), *folders(tmp_path, "results", "figures")]
    asked = ["--dataset", "digits", "--jobs", "1", "--depth", "3", "--image", "300"]
    with pytest.raises(SystemExit) as stop:
        experiments.main(["travelling_digit", *asked, *places])
    complaint = capsys.readouterr().err
    assert stop.value.code == 2 and complaint.count("\n") == 1
    assert "--image 300: the test images are 0 to 299" in complaint


@pytest.mark.pages
def test_page_says_who_fired_and_who_led():
    pixels, *hidden, output = committed_rows("travelling_digit")
    fired = [len(row["times"]) for row in hidden]
    words = "{} pixels fire, and then {}, {} and {} of the 400 neurons"
    assert words.format(len(pixels["times"]), *fired) in ALL
    times, *potentials = np.array(output["potentials"]).T
    fine = np.arange(output["t_min"], output["t_max"], 0.001)
    leader = np.argmax([np.interp(fine, times, curve) for curve in potentials], axis=0)
    first, second, third = (fine[np.flatnonzero(leader == k)] for k in (8, 9, 4))
    assert first[-1] < second[0] <= second[-1] < third[0] and third[-1] == fine[-1]
    assert f"9, which leads from {second[0]:.2f} on; from {third[0]:.2f} on" in ALL
