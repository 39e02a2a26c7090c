"""Which images, seeds and options the scripts use for what, on untrained networks.

The images of each split are darker than those of the split before, so none can stand for another.
"""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from oracles import random_network, random_pixels
from pipeline import folders, results, run
from small import N_TEST, largest, layers, network_of, save_networks
from small import splits as small_splits

import convert_all_models
import numerical_exactness_test
import spike_distribution_plot
import time_axis_schematic
from ttfs.conversion import convert
from ttfs.datasets import Split
from ttfs.network import ReluNetwork
from ttfs.network import random_network as drawn
from ttfs.simulation import closed_form
from ttfs.stages.inputs import image_places
from ttfs.storage import save_network
from ttfs.tuning import window_policy

CONVERT, EXACTNESS = convert_all_models, numerical_exactness_test
SPIKES, AXIS = spike_distribution_plot, time_axis_schematic
SEED, SAMPLES = 3, 30
SAMPLED = ["--samples", SAMPLES, "--seed", SEED]


@pytest.fixture
def splits(monkeypatch) -> list[Split]:
    """Return the splits that all scripts then read."""
    made = small_splits()
    for script in (CONVERT, EXACTNESS, SPIKES, AXIS):
        monkeypatch.setattr(script, "load_dataset", lambda name, folder: made)
    return made


@pytest.fixture
def root(splits, tmp_path):
    """Return a folder with networks of 2 and 3 layers, for the scripts to read."""
    return save_networks(tmp_path)


def asked(script, root, *options, status: int = 0) -> str:
    """Run a script on the networks of root, and return what it prints."""
    names = ["models", "results", *(["figures"] if script in (SPIKES, AXIS) else [])]
    chosen = ["--dataset", "digits", "--depths", 2, 3, *folders(root, *names)]
    return run(script, *chosen, *options, status=status)


def converted(root, *options) -> list[dict]:
    asked(CONVERT, root, *options)
    return results(root, "conversion")["rows"]


@pytest.mark.parametrize("policy", [None, "calibrated:0.1", "quantile:0.9", "automatic"])
def test_windows_are_those_of_the_policy_and_of_no_test_image(splits, root, policy):
    training, validation, test = (split.images for split in splits)
    asked_for, find = ["--windows", policy] if policy else [], window_policy(policy or "calibrated")
    rows = converted(root, "--engine", "closed-form", *asked_for)
    assert [row["policy"] for row in rows] == 2 * [policy or "calibrated"]

    def chosen_by(*images) -> list[float]:
        return [t for depth in (2, 3) for t in find(network_of(root, depth), *images)]

    found = [t for row in rows for t in row["windows"]]
    assert found == pytest.approx(chosen_by(training, validation))
    other = (training, test) if policy == "automatic" else (test, validation)
    assert found != pytest.approx(chosen_by(*other))


def test_a_row_counts_what_numpy_counts(splits, root):
    """In windows so short that the spiking network differs from ReLU in every number."""
    (_, _, test), length = splits, 0.125
    rows = converted(root, "--windows", f"fixed:{length}", "--engine", "closed-form")
    classes = test.labels.numpy()
    for row in rows:
        network, depth, cut = network_of(root, row["depth"]), row["depth"], []

        def clipped(x, n, cut=cut):
            cut += [int((x > length).sum())] if n else []
            return np.minimum(x, length) if n else x

        pixels, *hidden, x = layers(network, test.images, clipped)
        relu = layers(network, test.images)[-1]
        spikes = [int((values > 0).sum()) for values in (pixels, *hidden)]
        right = [int((v.argmax(1) == classes).sum()) for v in (relu, x)]
        agreements = int((relu.argmax(1) == x.argmax(1)).sum())
        assert len({*right, agreements, N_TEST}) == 4
        assert [row["relu_correct"], row["snn_correct"], row["agreements"]] == [*right, agreements]
        names = [f"{name}_correct_first_1000" for name in ("relu", "snn")]
        assert [row[name] for name in names] == right and row["n_first_1000"] == N_TEST
        assert (row["input_spikes"], row["hidden_spikes"]) == (spikes[0], sum(spikes[1:]))
        assert row["input_spikes_per_image"] == spikes[0] / N_TEST
        neurons = sum(network.architecture[1:-1])
        assert row["hidden_neurons"] == neurons
        assert row["spikes_per_hidden_neuron"] == sum(spikes[1:]) / (neurons * N_TEST)
        assert row["max_abs_logit_error"] == pytest.approx(np.abs(x - relu).max())
        assert row["largest_logit"] == pytest.approx(np.abs(relu).max())
        ends = [1 + length * n for n in range(1, depth)]
        assert (row["t_max"], row["latency"]) == (ends, ends[-1])
        assert [layer["layer"] for layer in row["audit"]] == list(range(1, depth))
        assert [layer["spikes"] for layer in row["audit"]] == spikes[1:]
        assert [layer["saturations"] for layer in row["audit"]] == cut


def test_first_images_are_the_first_thousand_of_those_that_were_tested():
    network, pixels = random_network([5, 6, 4]), random_pixels(1200, 5)
    snn, test = convert(network, [0.5]), Split(pixels, torch.arange(1200) % 4)
    places, simulate = torch.arange(100, 1200), partial(closed_form, snn)
    logits = network.logits(pixels[places])
    row = convert_all_models.row_of(snn, simulate, logits, test, places, "float64")
    first, labels = slice(100, 1000), test.labels[100:1000]
    answers = {"relu": network.logits(pixels[first]), "snn": simulate(pixels[first]).logits}
    right = {name: int((found.argmax(1) == labels).sum()) for name, found in answers.items()}
    assert row["n_first_1000"] == 900 and right["relu"] != right["snn"]
    assert {name: row[f"{name}_correct_first_1000"] for name in right} == right


def test_an_error_that_is_not_finite_is_none():
    network, pixels = random_network([5, 6, 4]), random_pixels(9, 5)
    snn, test = convert(network, [9.0]), Split(pixels, torch.arange(9) % 4)

    def overflowing(images):
        simulation = closed_form(snn, images)
        return replace(simulation, logits=simulation.logits * math.inf)

    logits = network.logits(pixels)
    row = convert_all_models.row_of(snn, overflowing, logits, test, torch.arange(9), "float64")
    assert row["max_abs_logit_error"] is None
    assert row["largest_logit"] == logits.abs().max().item()


@pytest.mark.parametrize(("dtype", "low", "high"), [("float64", 0, 1e-12), ("float32", 1e-9, 1e-3)])
def test_numbers_are_of_the_precision_that_is_asked_for(root, dtype, low, high):
    for row in converted(root, "--dtype", dtype):
        assert low <= row["max_abs_logit_error"] < high


def test_the_neuron_is_the_one_that_is_asked_for(root):
    for row in converted(root, "--neuron", "alpha", "--engine", "event-driven"):
        assert row["hidden_spikes"] == row["hidden_neurons"] * N_TEST  # each is made to fire
        assert [layer["held_back"] is None for layer in row["audit"]] == [False] * (
            row["depth"] - 1
        )


def test_only_a_violation_fails_and_only_if_strict(root):
    short = ["--windows", "fixed:0.25", "--engine", "closed-form"]
    printed = asked(CONVERT, root, *short, "--strict", status=1)
    assert "violations in: depth 2, layer 1, closed-form; depth 3, layer 1, closed-form" in printed
    assert "violations in: depth 2" in asked(CONVERT, root, *short)
    assert "no violation in any layer" in asked(CONVERT, root, "--strict")


def test_the_title_says_what_was_done(root):
    options = ["--windows", "fixed:7", "--neuron", "alpha", "--dtype", "float32", *SAMPLED]
    printed = asked(CONVERT, root, *options)
    assert printed.startswith(
        "digits, 30 test images, alpha neuron, fixed:7 windows, float32; accuracy in per cent"
    )


def test_a_network_is_converted_for_what_its_file_says_unless_told_otherwise(root):
    made_for = {"windows": [2.0, 3.0], "trained_for": {"ticks": 4}}
    save_network(root / "models" / "digits_3_layer.pkl", network_of(root, 3), **made_for)
    plain, own = ([r for r in converted(root) if r["depth"] == depth] for depth in (2, 3))
    assert [row["engine"] for row in plain] == ["event-driven", "closed-form"]
    (row,) = own
    assert (row["policy"], row["windows"]) == ("trained", [2.0, 3.0])
    assert row["engine"] == "clock:2:half-tick"
    told = converted(root, "--windows", "fixed:5", "--engine", "closed-form")
    assert [(row["policy"], row["engine"]) for row in told] == 2 * [("fixed:5", "closed-form")]
    assert told[1]["windows"] == [5.0, 5.0]


def test_spikes_are_those_of_the_first_images_that_are_tested_a_file_per_engine(root):
    engines = ["clock:2", "closed-form"]
    asked(CONVERT, root, "--spikes", 5, *SAMPLED, "--engine", *engines)
    places = image_places(N_TEST, SAMPLES, SEED)[:5].tolist()
    for depth in (2, 3):
        for engine in ("clock_2", "closed-form"):
            name = f"spikes_{depth}_layer_{engine}.npz"
            with np.load(root / "results" / "digits" / name) as file:
                assert file["image"].tolist() == places
                assert f"spike_times_{depth - 1}" in file and f"spike_times_{depth}" not in file


@pytest.mark.parametrize("script", [CONVERT, SPIKES])
def test_a_seed_that_draws_nothing_is_refused(script, root, capsys):
    with pytest.raises(SystemExit) as stop:
        script.parse(["--seed", "3"])
    assert (
        stop.value.code == 2 and "--seed draws the images of --samples" in capsys.readouterr().err
    )
    assert script.parse([*map(str, SAMPLED)]).seed == SEED


def test_a_seed_draws_the_images_that_are_tested(splits, root):
    chosen, others = (
        int((splits[2].images[image_places(N_TEST, SAMPLES, seed)] > 0).sum()) for seed in (SEED, 0)
    )
    for row in converted(root, *SAMPLED):
        assert (row["n_test"], row["input_spikes"]) == (SAMPLES, chosen)
    assert chosen != others


@pytest.fixture
def certified(monkeypatch) -> list[dict]:
    """Return a list of what is certified from now on."""
    seen, certify, make = [], EXACTNESS.certificate, EXACTNESS.convert

    def converting(network, lengths, neuron):
        seen.append({"network": network, "lengths": lengths, "neuron": neuron})
        return make(network, lengths, neuron)

    def certifying(network, snn, images, ways, *others):
        seen[-1] |= {"images": images, "ways": ways}
        return certify(network, snn, images, ways, *others)

    monkeypatch.setattr(EXACTNESS, "convert", converting)
    monkeypatch.setattr(EXACTNESS, "certificate", certifying)
    return seen


def test_the_certificate_is_of_the_networks_ways_and_images_that_are_asked_for(
    splits, root, certified
):
    training, _, test = splits
    ways = ["--dtype", "float64", "float16", "--engine", "event-driven"]
    asked(EXACTNESS, root, *SAMPLED, *ways, "--neuron", "alpha", "--random-depths", 3)
    assert [seen["network"].depth for seen in certified] == [2, 3, 3]
    for seen in certified:
        assert seen["neuron"] == "alpha"
        assert seen["lengths"] == pytest.approx(largest(seen["network"], training.images), rel=1e-5)
        assert seen["images"].equal(test.images[image_places(N_TEST, SAMPLES, SEED)])
    trained = [("float64", "event-driven"), ("float16", "event-driven")]
    untrained = [("float64", "closed-form"), ("float32", "closed-form")]
    assert [list(seen["ways"]) for seen in certified] == [trained, trained, untrained]
    expected = drawn([784, 400, 400, 10], SEED)
    assert certified[2]["network"].weights[0].equal(expected.weights[0])
    rows = results(root, "exactness")["rows"]
    found = {(row["depth"], row["trained"], row["dtype"]) for row in rows}
    both = {(depth, True, dtype) for depth in (2, 3) for dtype in ("float64", "float16")}
    assert found == both | {(3, False, "float64"), (3, False, "float32")}
    assert {row["n_test"] for row in rows if row["output"]} == {SAMPLES}


def test_without_options_the_certificate_is_of_every_way_and_of_a_network_of_64_layers():
    args = EXACTNESS.parse([])
    assert args.random_depths == [64]
    assert args.dtype == ["float64", "float32", "float16", "bfloat16"]
    assert args.engine == ["closed-form", "closed-form:absolute", "event-driven"]


def line(layer: int, depth: int, error: float) -> dict:
    """Return a row of a certificate."""
    row = {"dtype": "float32", "engine": "closed-form", "layer": layer, "output": layer == depth}
    row |= {"broken": 0, "n_test": 9, "agreements": 9, "relative_error": error, "ulp": 1.0}
    row |= dict.fromkeys(EXACTNESS.DETAIL, 1.0) | {"largest_activation": 1.0}
    return row | {"largest_error": error}


@pytest.mark.parametrize("faults", [[], ["depth 3, layer 2: broken", "depth 3, layer 3: broken"]])
def test_the_verdict_is_printed_and_is_the_exit_status(root, monkeypatch, faults):
    def certificate(network, *others):
        depth = network.depth
        return [line(n, depth, 1e-7 * (10 * depth + n)) for n in range(1, depth + 1)]

    monkeypatch.setattr(EXACTNESS, "certificate", certificate)
    monkeypatch.setattr(EXACTNESS, "verdict", lambda rows: faults)
    printed = asked(EXACTNESS, root, "--random-depths", status=bool(faults))
    assert all(fault in printed for fault in faults)
    assert ("exact: every error under its bound" in printed) == (not faults)
    one, whole = printed.split("One layer, of the 2-layer network")[1].split("Whole networks")
    assert "2.1e-06" in one and not any(f"{n}e-06" in one for n in ("2.2", "3.1", "3.2", "3.3"))
    assert "2.2e-06" in whole and "3.3e-06" in whole
    assert not any(f"{n}e-06" in whole for n in ("2.1", "3.1", "3.2"))


def test_histograms_are_of_the_images_that_are_asked_for_in_calibrated_windows(splits, root):
    training, _, test = splits
    asked(SPIKES, root, *SAMPLED)
    rows = results(root, "spike_time_distributions")["rows"]
    assert [(row["depth"], row["layer"]) for row in rows] == [(2, 1), (3, 1), (3, 2)]
    for row in rows:
        network, n = network_of(root, row["depth"]), row["layer"] - 1
        length = largest(network, training.images)[n]
        assert row["t_max"] - row["t_min"] == pytest.approx(length, rel=1e-5)
        spikes = [
            int((network.activations(test.images[places].double())[n] > 0).sum())
            for places in (image_places(N_TEST, SAMPLES, SEED), image_places(N_TEST, SAMPLES, 0))
        ]
        assert row["n_test"] == SAMPLES and row["spikes"] == spikes[0] != spikes[1]


@pytest.mark.parametrize("turned", [False, True])
def test_spikes_of_all_batches_are_counted_in_their_bins(turned):
    """One neuron, of window [1, 5) in 40 bins of 0.1, that fires at 5 - 4 x."""
    snn = convert(ReluNetwork([[[4.0]], [[1.0]]], [[0.0], [0.0]]), [4.0])
    batches = [torch.tensor([[0.9875], [0.0], [0.5125]]), torch.tensor([[0.4875], [0.0], [0.51]])]
    (row,) = spike_distribution_plot.layer_rows(snn, batches[::-1] if turned else batches)
    bins = {n: count for n, count in enumerate(row["spikes_per_bin"]) if count}
    assert bins == {0: 1, 19: 2, 20: 1} and len(row["spikes_per_bin"]) == 40
    assert (row["layer"], row["t_min"], row["t_max"]) == (1, 1.0, 5.0)
    assert (row["spikes"], row["silent"]) == (4, 2)
    assert row["earliest_spike"] == pytest.approx(1.05, abs=1e-6)


@pytest.mark.parametrize("image", [None, 7])
def test_the_time_axis_is_of_the_test_image_that_is_drawn_or_named(splits, root, image):
    training, _, test = splits
    draws = [int(np.random.default_rng(seed).integers(N_TEST)) for seed in (SEED, 0)]
    assert draws[0] != draws[1]
    asked(AXIS, root, *(["--seed", SEED] if image is None else ["--image", image]))
    place, winners = draws[0] if image is None else image, set()
    for row in results(root, "time_axis_schematic")["rows"]:
        network, pixels = network_of(root, row["depth"]), test.images[place]
        assert (row["image"], row["label"]) == (place, int(test.labels[place]))
        assert row["pixels"] == [round(255 * value) for value in pixels.double().tolist()]
        ends = np.cumsum([0, 1, *largest(network, training.images)])
        windows = np.stack([ends[:-1], ends[1:]], 1)
        assert np.allclose(row["windows"], windows, rtol=1e-5)
        logits = network.logits(pixels[None].double())[0]
        winners.add(int(logits.argmax()))
        assert row["output_potentials"] == pytest.approx(logits.tolist())
        assert row["spikes"][0]["neurons"] == pixels.nonzero().flatten().tolist()
    assert winners != {row["label"]}
