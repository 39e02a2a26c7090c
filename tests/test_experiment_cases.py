"""What the experiments go through, and what else their tables and figures say of it."""

import re

import numpy as np
import pytest
import torch
from oracles import random_network
from small import DEPTHS, largest, save_networks
from small import splits as small_splits
from test_figure_axes import ticks
from test_figures import counts, fault_rows, moment_rows, window_rows
from test_script_tables import lines

from experiments import (
    adaptive_windows,
    causes,
    causes_figure,
    degradation_causes,
    early_decision,
    published_loss,
    robustness,
    sparse_training,
    time_resolution,
    training_seeds,
)
from experiments import lab as laboratory
from experiments.lab import Lab, Setting
from experiments.recipe import recipe_logits
from ttfs import windows
from ttfs.conversion import convert
from ttfs.network import ReluNetwork
from ttfs.simulation import closed_form
from ttfs.stages import figures


@pytest.fixture
def lab(monkeypatch, tmp_path) -> Lab:
    monkeypatch.setattr(laboratory, "load_dataset", lambda name, folder: small_splits())
    return Lab(Setting("digits", "", str(save_networks(tmp_path) / "models"), DEPTHS, False))


def quick(lab) -> Lab:
    return Lab(lab.setting._replace(quick=True))


def test_clocks_go_through_every_policy_at_ticks_and_half_a_tick_low(lab):
    found = {}
    for case in time_resolution.cases(lab):
        key = case["depth"], case["policy"], case["half_tick"]
        found.setdefault(key, []).append(case["bits"])
    policies = ["calibrated", *(f"quantile:{q}" for q in (0.999, 0.99, 0.98, 0.95, 0.9))]
    expected = {(d, p, h): [*range(1, 11)] for d in DEPTHS for p in policies for h in (False, True)}
    tuned = ("best quantile", "best quantile per layer")
    assert found == expected | {(d, p, True): [*range(1, 7)] for d in DEPTHS for p in tuned}
    row = time_resolution.measure(lab, 3, "quantile:0.9", True, 3)
    assert row["windows"] == lab.windows(3, "quantile:0.9") != lab.windows(3, "calibrated")


def test_faults_go_through_ten_noise_seeds_or_two_in_a_short_look(lab):
    for own, n_seeds in ((lab, 10), (quick(lab), 2)):
        cases = robustness.cases(own)
        random = [case["noise_seed"] for case in cases if case["fault"] == "loss"]
        assert sorted(set(random)) == list(range(n_seeds))
        assert len(random) == len(DEPTHS) * 2 * 5 * n_seeds
        assert {c["noise_seed"] for c in cases if c["fault"] in robustness.COARSE} == {None}


def test_names_of_faults_say_their_level():
    for name, _, level in robustness.SHOWN:
        number = float(re.search(r"\d+", name)[0])
        assert level == (number / 100 if "%" in name or "lost" in name else number)


def test_seeds_of_training_all_differ_and_a_short_look_takes_two(lab):
    for own, n_seeds in ((lab, 5), (quick(lab), 2)):
        found = [(case["depth"], case["training_seed"]) for case in training_seeds.cases(own)]
        assert found == [(depth, seed) for depth in DEPTHS for seed in range(n_seeds)]
    for own, seeds in ((lab, {0, 1, 2, None}), (quick(lab), {0, None})):
        cases = degradation_causes.cases(own)
        assert {case["training_seed"] for case in cases} == seeds
        assert len(cases) == len({tuple(case.items()) for case in cases})


def test_the_image_that_is_shown_is_the_one_that_is_asked_for(lab):
    assert lab.shown(3).equal(small_splits()[2].images[3:4].double())


def test_untrained_networks_have_the_depth_of_their_row(lab, monkeypatch):
    monkeypatch.setattr(causes, "untrained_growth", lambda lab, depth: depth)
    assert degradation_causes.measure(lab, 16, None, degradation_causes.NONE) == 16


def test_alpha_is_free_to_fire_in_windows_without_room_to_spare(monkeypatch):
    training, *_ = small_splits()
    network, used = random_network([784, 9, 8, 10]), []

    def converting(network, lengths, neuron="B1"):
        used.append((neuron, lengths))
        return convert(network, lengths, neuron)

    monkeypatch.setattr(causes, "convert", converting)
    list(causes.premature(network, training.images))
    tight = [length / 1.5 for length in largest(network, training.images)]
    safe, *others = sorted(used, key=lambda use: use[1] != windows.safe(network))
    assert safe == ("alpha", windows.safe(network))
    assert [neuron for neuron, _ in others] == ["alpha", "B1"]
    assert all(lengths == pytest.approx(tight, rel=1e-5) for _, lengths in others)


def test_what_short_windows_cut_off_is_counted_by_layer(lab):
    row = adaptive_windows.measure(lab, 3, "quantile:0.5")
    snn = convert(lab.network(3), lab.windows(3, "quantile:0.5"))
    audits = closed_form(snn, small_splits()[2].images).audit
    assert row["saturations"] == [layer.saturations for layer in audits]
    assert row["used_fraction"] == [1.0, 1.0] and min(row["saturations"]) > 0


def test_windows_table_has_the_gains_of_all_layers_and_the_p_of_the_automatic_ones():
    rows = [row for row in window_rows() if row["depth"] == 4]
    own = {"calibrated": ([4.0, 9.0, 20.0], 0.25), "automatic": ([2.0, 2.0, 2.5], 0.125)}
    for row in rows:
        row["windows"], row["mcnemar_p"] = own.get(row["policy"], (row["windows"], 0.5))
    (line,) = lines(adaptive_windows.table(rows))
    assert line["finer ticks and jitter, by layer"] == "2.0 to 8.0 times"
    assert line["McNemar p"] == "0.12"


def test_bands_hold_95_percent_of_the_noise_seeds():
    rows = [counts(n) for n in range(0, 41)]  # 0 to 4 points, in steps of 0.1
    assert robustness.band(rows) == pytest.approx((2.0, 0.1, 3.9))


def test_faults_are_drawn_with_their_bands_and_coarse_weights_from_many_bits_to_few():
    rows = fault_rows()
    figure = robustness.draw(rows)
    loss = next(axes for axes in figure.axes if "Lost" in axes.get_xlabel())
    keys = {"fault": "loss", "depth": 2, "policy": "calibrated"}
    found = [row for row in rows if keys.items() <= row.items()]
    bands = [robustness.band([r for r in found if r["level"] == v])[1:] for v in (0.01, 0.03)]
    segments = [segment[:, 1].tolist() for segment in loss.collections[0].get_segments()]
    assert np.allclose(segments[:2], bands) and bands[0][0] < bands[0][1]
    bits = next(axes for axes in figure.axes if "bits" in axes.get_xlabel())
    assert bits.get_xlim()[0] > bits.get_xlim()[1]
    (legend,) = figure.legends
    named = zip(legend.get_texts(), legend.get_lines(), strict=True)
    styles = {text.get_text().split(";")[0]: line.get_linestyle() for text, line in named}
    assert (styles["calibrated"], styles["automatic"]) == ("--", "-")


def test_answers_that_are_final_but_not_certain_are_not_counted_as_certain(monkeypatch):
    network = ReluNetwork([[[3.0, 1.0]], [[1.0, 2.0], [0.0, 5.0]]], [[0.0, 0.0], [0.5, -1.0]])
    snn = convert(network, [4.0])
    never = torch.zeros(1, dtype=torch.bool)
    monkeypatch.setattr(early_decision, "is_certain", lambda *arguments: never)
    (*_, last) = early_decision.moments(snn, closed_form(snn, torch.ones(1, 1)), torch.tensor([1]))
    assert (last["promised_final"], last["certain"], last["certain_final"]) == (1, 0, 0)


def test_early_moments_lie_in_the_last_window(lab):
    first, *_, last = early_decision.measure(lab, 3, "calibrated")
    one, two = lab.windows(3, "calibrated")
    assert first["t"] == pytest.approx(1 + one) and last["t"] == pytest.approx(1 + one + two)


def test_early_table_keeps_promises_apart_from_potentials():
    rows = [
        row | {"promised_correct": 90, "potential_correct": int(80 + 10 * row["fraction"])}
        for row in moment_rows()
    ]
    first, *_ = lines(early_decision.table(rows))
    assert first["promised nearly final"] == "0 (1.0)"
    assert first["potential nearly final"] == "100 (2.0)"


def test_seeds_are_drawn_with_their_mean_as_a_line():
    rows = [
        {"depth": 2, "training_seed": s, "n_test": 1000, "relu_correct": c, "epochs": 3}
        for s, c in enumerate((970, 971, 980))
    ]
    (axes,) = training_seeds.draw(rows).axes
    (mean,) = [line for line in axes.lines if line.get_color() == "black"]
    assert mean.get_ydata() == pytest.approx([97.366666667] * 2)


def test_panels_of_depths_share_their_axes_and_names_stand_above_them():
    figure, panels = figures.depth_panels([8, 2], 2.0)
    assert list(panels) == [2, 8]
    panels[2].plot([1, 10], [1, 5], label="first")
    panels[2].plot([1, 10], [1, 6], label="second")
    panels[2].set_xscale("log")
    figures.plain_ticks(panels[2].xaxis)
    figures.corner_note(panels[2], "in the corner")
    figures.legend_above(figure, panels[2], 2)
    assert panels[8].get_ylim() == panels[2].get_ylim()
    (legend,) = figure.legends
    named = zip(legend.get_texts(), legend.get_lines(), strict=True)
    drawn = {line.get_label(): line.get_color() for line in panels[2].lines}
    assert {text.get_text(): line.get_color() for text, line in named} == drawn
    figure.set_layout_engine("constrained")
    figure.draw_without_rendering()
    above = panels[2].get_window_extent().y1
    assert legend.get_window_extent().y0 > above
    assert (1.0, "1") in ticks(panels[2]) and (10.0, "10") in ticks(panels[2])
    (corner,) = panels[2].texts
    assert corner.get_position() == (0.03, 0.97)


def test_colours_are_those_that_captions_and_pages_name():
    """Vermillion is ReLU's and blue that of spikes, of Okabe and Ito's colours."""
    assert (figures.RELU_COLOUR, figures.SNN_COLOUR) == ("#D55E00", "#0072B2")


def test_causes_are_simulated_with_the_neuron_the_time_and_the_precision_of_their_rows(
    lab, monkeypatch
):
    seen, judge = [], lab.judge

    def judging(network, simulate, dtype, n_images=None):
        seen.append((simulate, dtype))
        return judge(network, simulate, dtype, n_images)

    monkeypatch.setattr(lab, "judge", judging)
    for row, (simulate, dtype) in zip(causes.every_cause(lab, lab.network(3)), seen, strict=True):
        assert str(dtype) == f"torch.{row['dtype']}"
        neuron = {"window growth": "alpha", "precision": "B1"}.get(row["cause"])
        if neuron:
            assert simulate.args[0].neuron.name == neuron
            assert simulate.keywords == {"time": row["variant"]}


def test_the_recipe_rescales_every_bias_or_none(lab):
    network, images = lab.network(3), small_splits()[2].images.double()
    labels, expected = network.logits(images).argmax(1), {}
    for name, rescaled in (("bias not rescaled", ()), ("bias rescaled", (1, 2, 3))):
        logits = recipe_logits(network, images, rescaled=rescaled)
        expected[name] = int((logits.argmax(1) == labels).sum())
    found = {
        row["variant"]: row["agreements"]
        for row in causes.every_cause(lab, network)
        if row["cause"] == "recipe"
    }
    assert found == expected and len(set(found.values())) == 2


def test_folded_networks_are_converted_in_windows_of_the_training_images(lab, monkeypatch):
    used = []

    def converting(network, lengths):
        used.append((network, lengths))
        return convert(network, lengths)

    monkeypatch.setattr(causes, "convert", converting)
    rows = causes.preprocessing(lab, lab.network(2), 0.25, 0.5)
    ((folded, lengths),) = used
    assert lengths == pytest.approx(largest(folded, small_splits()[0].images), rel=1e-5)
    assert rows[2]["variant"] == "folded into the first layer, B1"


def test_losses_of_the_recipe_are_means_of_the_seeds_at_their_depth():
    rows = [
        {"depth": depth, "cause": "recipe", "variant": variant, "training_seed": seed}
        | counts(10 * depth + 5 * seed + more)
        for depth in (2, 4)
        for variant, more in (("bias not rescaled", 3), ("bias rescaled", 1))
        for seed in (0, 1, 3)
    ]
    axes = figures.Figure().subplots()
    ends = causes_figure.draw_recipe(axes, degradation_causes.losses(rows))
    means = {"recipe": 0.3 + 2 / 3, "bias rescaled": 0.1 + 2 / 3}
    assert [(x, name) for x, _, name in ends] == [(4, "recipe"), (4, "bias rescaled")]
    assert [y for _, y, _ in ends] == pytest.approx([4 + mean for mean in means.values()])
    ranges = [line.get_ydata() for line in axes.lines if list(line.get_xdata()) == [2, 2]]
    assert np.allclose(ranges, [[2.3, 3.8], [2.1, 3.6]])


def test_clocks_of_the_causes_are_drawn_at_ticks_and_with_both_remedies():
    variants = {"ticks": 0, "half tick": 5, "half tick, 99 % windows": 9}
    rows = [
        {"depth": 4, "cause": "time resolution", "variant": variant, "bits": bits}
        | counts(30 + 10 * bits + more + seed)
        for variant, more in variants.items()
        for bits in (1, 3)
        for seed in (0, 4)
    ]
    axes = figures.Figure().subplots()
    causes_figure.draw_clocks(axes, rows)
    drawn = [line for line in axes.lines if len(line.get_xdata())]
    assert [line.get_linestyle() for line in drawn] == ["-", "--"]
    for line, more in zip(drawn, (0, 0.9), strict=True):
        assert np.allclose(line.get_xydata(), [[1, 4.2 + more], [3, 6.2 + more]])


def test_growth_is_drawn_of_the_deepest_untrained_network_beside_units_of_each_precision():
    rows = [
        {"depth": depth, "cause": "untrained", "variant": f"{neuron}, window"}
        | {"windows": [factor * n for n in range(1, depth)]}
        for depth in (4, 8)
        for neuron, factor in (("alpha", 10.0), ("B1", 1.0))
    ]
    axes = figures.Figure().subplots()
    causes_figure.draw_window_growth(axes, rows)
    layers = [*range(1, 8)]
    found = [line.get_xydata().T.tolist() for line in axes.lines if len(line.get_xdata()) == 7]
    assert found == [[layers, [10 * n for n in layers]], [layers, layers]]
    units = {n.get_text().split()[3]: n.xy[1] for n in axes.texts if "ulp" in n.get_text()}
    assert units == {"float16": 2**11, "float32": 2**24, "float64": 2**53}


def test_each_cause_is_written_with_what_it_alone_loses():
    axes = figures.Figure().subplots()
    lost = {"one": {"": {8: [1.0, 2.0]}, "mended": {8: [0.25]}}, "alone": {"": {8: [9.0]}}}
    causes_figure.draw_causes(axes, lost)
    assert [text.get_text() for text in axes.texts] == ["1.50", "one"]


def test_published_networks_are_trained_with_the_seed_and_the_batches_of_their_row(
    lab, monkeypatch
):
    asked = []

    def trained(depth, seed, batch_size, prepare):
        asked.append((depth, seed, batch_size))
        return lab.network(depth), 7

    monkeypatch.setattr(lab, "trained_as_published", trained)
    monkeypatch.setattr(published_loss, "REPORTED_IMAGES", 40)
    rows = published_loss.measure(lab, 2, 5, 64)
    assert asked == [(2, 5, 64)] and {row["epochs"] for row in rows} == {7}
    assert {(row["images"], row["n_test"]) for row in rows} == {("first 1,000", 40), ("all", 120)}


def test_sparse_networks_learn_with_the_seed_and_the_penalty_of_their_row(lab, monkeypatch):
    monkeypatch.setattr(lab, "retrained", lambda *what, **settings: what)
    keys = sparse_training.FINE_TUNED, 3.0, 5
    start, through, generator, _ = sparse_training.trained(lab, 3, *keys)
    assert generator.initial_seed() == 5 and through.sparsity == 3 and start is lab.network(3)
    longest = [length / 1.5 for length in largest(start, small_splits()[0].images)]
    assert through.lengths == pytest.approx(longest, rel=1e-5)
