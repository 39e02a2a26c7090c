"""Spike codes: each against a plain NumPy network, and what is counted of them."""

import numpy as np
import pytest
import torch
from oracles import random_network, random_pixels
from pipeline import labels, layers
from studied import clocked, lab_of, parameters, rows

from experiments import spike_codes
from experiments.codes import (
    Coded,
    counted,
    first_spike,
    in_batches,
    pattern,
    quantised,
    rate,
    reached,
)
from experiments.energy import energy
from ttfs.network import ReluNetwork

SIZES = [6, 9, 7, 4]


@pytest.fixture
def network():
    return random_network(SIZES, seed=3)


@pytest.fixture
def pixels():
    return random_pixels(50, SIZES[0], seed=3)


def arrays(network):
    return [(la.synapses.matrix().numpy(), la.synapses.bias().numpy()) for la in network.layers]


@pytest.mark.parametrize("bits", range(6))
def test_codes_of_levels_say_the_same_as_the_quantised_network(network, pixels, bits):
    lengths = [1.3, 0.9]
    spikes, digits, none = (
        code.classify(network, lengths, pixels, bits) for code in (first_spike, pattern, quantised)
    )
    torch.testing.assert_close(spikes.logits, none.logits, rtol=0, atol=1e-12)
    torch.testing.assert_close(digits.logits, none.logits, rtol=0, atol=1e-12)
    assert spikes.spikes == none.spikes  # a neuron fires where the number is not 0
    assert spikes.sums == none.gathered == reached(none.spikes, SIZES)
    assert none.products == (none.gathered if bits else 0)
    assert spikes.products == digits.products == none.sums == spikes.gathered == 0
    assert digits.sums == reached(digits.spikes, SIZES) >= spikes.sums
    x = np.floor(pixels.numpy() * 2**bits + 0.5) / 2**bits
    active = [(x > 0).sum()]
    for (weight, bias), length in zip(arrays(network), lengths, strict=False):
        tick = length / 2**bits
        x = np.clip(np.floor((x @ weight + bias) / tick + 0.5), 0, 2**bits) * tick
        active.append((x > 0).sum())
    weight, bias = arrays(network)[-1]
    np.testing.assert_allclose(none.logits.numpy(), x @ weight + bias, atol=1e-12)
    assert none.spikes == active


@pytest.mark.parametrize("bits", range(5))
def test_digits_are_zeros_and_ones_that_add_up_to_the_level(bits):
    level = torch.arange(2**bits + 1).double()
    found = pattern.digits(level, bits)
    assert len(found) == bits + 1
    assert all(set(digit.tolist()) <= {0, 1} for digit in found)
    places = range(bits, -1, -1)
    assert sum(2**k * d for k, d in zip(places, found, strict=True)).tolist() == level.tolist()


def test_a_pattern_sends_a_spike_per_digit_that_is_one(network, pixels):
    found = pattern.classify(network, [1.3, 0.9], pixels, 3)
    level = np.floor(pixels.numpy() * 8 + 0.5).astype(int)
    assert found.spikes[0] == sum(bin(value).count("1") for value in level.flat)


def integrated(network, thresholds, x, steps, current):
    """Return logits and spikes of integrate-and-fire neurons, one image and one step at a time."""
    pairs, thetas = arrays(network), [1.0, *thresholds]
    logits, spikes = np.zeros((len(x), SIZES[-1])), [0] * len(pairs)
    for image, row in enumerate(x):
        potentials = [np.full(n, theta / 2) for n, theta in zip(SIZES, thetas, strict=False)]
        for _ in range(steps):
            sent = row
            for n, (weight, bias) in enumerate(pairs):
                if n or not current:
                    potentials[n] += sent
                    fired = potentials[n] >= thetas[n]
                    potentials[n] -= thetas[n] * fired
                    spikes[n] += int(fired.sum())
                    sent = thetas[n] * fired
                sent = sent @ weight + bias
            logits[image] += sent / steps
    return logits, spikes


@pytest.mark.parametrize("current", [False, True])
@pytest.mark.parametrize("steps", [1, 3, 8])
def test_rates_are_those_of_integrate_and_fire_neurons(network, pixels, current, steps):
    thresholds = [1.1, 0.8]
    *_, found = rate.classify(network, thresholds, pixels, (1, steps), current)
    logits, spikes = integrated(network, thresholds, pixels.numpy(), steps, current)
    np.testing.assert_allclose(found.logits.numpy(), logits, atol=1e-12)
    assert found.spikes == spikes and found.steps == steps
    pixels_reach = int((pixels > 0).sum()) * SIZES[1]
    assert found.products == found.gathered == (pixels_reach if current else 0)
    assert found.sums == reached(spikes, SIZES) > 0


def test_rates_of_many_steps_are_the_activations(network, pixels):
    thresholds = [float(u.max()) for u in network.activations(pixels)]
    errors = [
        (found.logits - network.logits(pixels)).abs().max().item()
        for found in rate.classify(network, thresholds, pixels, (16, 256, 4096))
    ]
    assert errors[1] < errors[0] / 4 and errors[2] < errors[1] / 4


@pytest.mark.parametrize("level", [0.2, 0.49, 0.52, 0.9, 1.4])
def test_one_neuron_fires_its_activation_in_units_of_the_threshold_to_the_nearest(level):
    network = ReluNetwork([[[2.0]], [[1.0]]], [[0.0], [0.0]])
    pixels = torch.ones(1, 1, dtype=torch.float64)
    (found,) = rate.classify(network, [2 / level], pixels, (10,), current=True)
    assert found.spikes == [0, min(10, round(10 * level))]


def test_synaptic_operations_are_spikes_times_the_neurons_that_they_reach():
    assert reached([2, 3, 5], [7, 11, 13, 17]) == 2 * 11 + 3 * 13 + 5 * 17


def test_updates_are_counted_per_neuron_and_step(network, pixels):
    images = len(pixels)
    clock = first_spike.classify(network, [1.0, 1.0], pixels, 2)
    assert clock.updates == images * 4 * (2 * (9 + 7) + 4) and clock.steps == 3 * 4
    digits = pattern.classify(network, [1.0, 1.0], pixels, 2)
    assert digits.updates == images * 3 * (2 * (9 + 7) + 4) and digits.steps == 3 * 3
    *_, rates = rate.classify(network, [1.0, 1.0], pixels, (5,))
    assert rates.updates == images * 5 * (9 + 7 + 4)
    exact = first_spike.continuous(network, [9.0, 9.0], pixels)
    assert exact.updates == images * (9 + 7 + 4) and exact.steps is None
    assert exact.sums == exact.products == reached(exact.spikes, SIZES) and exact.gathered == 0
    none = quantised.classify(network, [1.0, 1.0], pixels, 2)
    assert none.updates == images * (9 + 7 + 4) and none.steps == 3
    torch.testing.assert_close(exact.logits, network.logits(pixels))


def test_energy_is_that_of_the_stated_operations():
    assert energy(1000, 0, 0, 0) == pytest.approx((0.9, 0.9 + 15))
    assert energy(0, 1000, 0, 0) == pytest.approx((0.9, 0.9 + 5))
    assert energy(0, 0, 1000, 0) == pytest.approx((3.7, 3.7))
    assert energy(0, 0, 0, 1000) == pytest.approx((0.9, 0.9 + 10))
    assert energy(0, 1000, 1000, 0) == pytest.approx((4.6, 9.6))  # a dense layer's product


def test_counts_of_batches_add_up_by_step():
    def answer(classes, steps, n):
        logits = torch.nn.functional.one_hot(torch.tensor(classes), 3).double()
        return Coded(logits, [n, 2 * n], steps, 3 * n, 4 * n, 5 * n, 6 * n)

    batches = [
        [answer([0, 1], 1, 10), answer([0, 2], 2, 20)],
        [answer([2], 1, 100), answer([1], 2, 200)],
    ]
    first, second = counted(batches, torch.tensor([0, 2, 1]))
    own = {"n_test": 3, "spikes": [110, 220], "sums": 330, "gathered": 440}
    own |= {"products": 550, "updates": 660}
    assert first == own | {"snn_correct": 1, "steps": 1}
    assert second["snn_correct"] == 3 and second["spikes"] == [220, 440] and second["steps"] == 2


def row(**changes):
    own = {"depth": 2, "code": spike_codes.RATE, "bits": None, "quantile": 0.999, "steps": 8}
    own |= {"n_test": 100, "relu_correct": 98, "snn_correct": 97, "n_validation": 1000}
    own |= {"validation_correct": 979, "relu_validation_correct": 980, "spikes": [1500, 300]}
    own |= {"sums": 400_000, "gathered": 30_000, "products": 20_000, "updates": 90_000}
    return own | changes


def test_batches_are_answered_one_after_the_other():
    """A tool keeps potentials between the steps of a batch: another must not come between."""
    running = []

    def classify(part):
        for steps in (1, 2):
            running.append((int(part[0, 0]), steps))
            yield Coded(part, [0], steps, 0, 0, 0, 0)

    images = torch.arange(2500).double()[:, None]
    assert [len(part) for part in in_batches(classify, images)] == [2, 2, 2]
    assert running == [(0, 1), (0, 2), (1000, 1), (1000, 2), (2000, 1), (2000, 2)]


def test_rates_use_the_windows_of_a_clock_or_a_quantile(studied):
    lab = lab_of(studied)
    network, images = lab.network(3), lab.validation.images
    for bits, quantile in ((1, None), (None, 0.999)):
        thresholds = lab.candidates(3)[quantile] if quantile else lab.clock_lengths(3, bits)
        classify = spike_codes.classifier(lab, 3, spike_codes.RATE, bits, quantile)
        found = {row.steps: row for row in classify(images)}
        assert set(found) == ({2} if bits else {1, 2, 4, 8, 16})
        (own,) = rate.classify(network, thresholds, images, (2,))
        torch.testing.assert_close(found[2].logits, own.logits)


def test_the_cheapest_setting_is_chosen_among_the_equal_ones_on_validation_images():
    good, dear = row(), row(products=20_001, snn_correct=100, spikes=[1, 1])
    worse = row(sums=1, validation_correct=978, snn_correct=100)
    assert spike_codes.cheapest([dear, good, worse]) == good
    assert spike_codes.cheapest([worse]) is None


def test_the_table_shows_each_count_in_its_column():
    found = spike_codes.table([row(), row(code=spike_codes.CLOCK, validation_correct=900)])
    cells = dict(zip(found.header, found.lines[0], strict=True))
    assert cells["setting"] == "99.9 % quantile" and cells["steps"] == "8"
    assert cells["test accuracy (95 % interval)"].startswith("97.00 %")
    assert (cells["input spikes"], cells["hidden spikes"]) == ("15", "3")
    assert (cells["sums"], cells["products"], cells["updates"]) == ("4.3", "0.2", "0.9")
    low, high = energy(4000, 300, 200, 900)
    assert cells["energy (nJ)"] == f"{low:.0f} to {high:.0f}"
    assert found.lines[1][2] == "none" and set(found.lines[1][3:]) == {"-"}


@pytest.mark.parametrize("depth", [2, 3])
def test_codes_of_levels_agree_in_the_experiment_and_with_numpy(studied, depth):
    windows = {
        row["bits"]: row["windows"]
        for row in rows(
            studied,
            "time_resolution",
            depth=depth,
            policy="best quantile per layer",
            half_tick=True,
        )
    }
    for bits in (1, 2):
        found = {row["code"]: row for row in rows(studied, "spike_codes", depth=depth, bits=bits)}
        clock, digits, none = (found[code] for code in spike_codes.LEVELS)
        assert clock["snn_correct"] == digits["snn_correct"] == none["snn_correct"]
        assert clock["validation_correct"] == digits["validation_correct"]
        assert clock["spikes"] == none["spikes"]
        ours = clocked(studied, depth, windows[bits], 2**bits, "test")
        assert abs(int((ours == labels()).sum()) - clock["snn_correct"]) <= 1


@pytest.mark.parametrize("depth", [2, 3])
def test_in_continuous_time_the_code_is_the_relu_network(studied, depth):
    (found,) = rows(studied, "spike_codes", depth=depth, code=spike_codes.CONTINUOUS)
    values = layers(studied, depth, "test")
    assert found["spikes"] == [int((value > 0).sum()) for value in values[:-1]]
    assert found["snn_correct"] == found["relu_correct"]
    assert found["relu_correct"] == int((values[-1].argmax(1) == labels()).sum())
    assert (
        found["sums"]
        == found["products"]
        == reached(found["spikes"], [784, *(len(bias) for _, bias in parameters(studied, depth))])
    )


def test_the_figure_shows_points_lost_against_spikes_and_steps():
    clock = [
        row(code=spike_codes.CLOCK, bits=bits, steps=2 * 2**bits, snn_correct=90 + bits)
        for bits in (2, 1)
    ]
    rates = [row(steps=8, spikes=[100, 100], snn_correct=95, quantile=q) for q in (0.9, 0.98)]
    rates[1] |= {"validation_correct": 980, "snn_correct": 96}  # chosen on validation images
    figure = spike_codes.draw([*clock, *rates, row(steps=2, spikes=[50, 50], snn_correct=80)])
    above, below = figure.axes
    found = {line.get_label(): line.get_xydata().tolist() for line in above.get_lines()}
    assert found[spike_codes.CLOCK] == [[18, 7], [18, 6]]
    assert found[spike_codes.RATE] == [[1, 18], [2, 2]]
    found = {line.get_label(): line.get_xydata().tolist() for line in below.get_lines()}
    assert found[spike_codes.CLOCK] == [[4, 7], [8, 6]]
    assert found[spike_codes.RATE] == [[2, 18], [8, 2]]
