import pytest
from oracles import random_network, random_pixels

from ttfs import InputError, tuning, windows
from ttfs.conversion import convert
from ttfs.metrics import mcnemar_p
from ttfs.simulation import clock_driven, closed_form
from ttfs.windows import quantile, quantiles

CANDIDATES = (0.3, 0.5, 0.7, 0.9, 0.97, 0.99, 0.995, 0.999, 1.0)


@pytest.fixture
def case():
    return random_network([12, 30, 25, 20, 4]), random_pixels(400, 12), random_pixels(600, 12, 1)


def disagreements(network, x, validation_images, q):
    snn = convert(network, quantile(network, x, q))
    found = closed_form(snn, validation_images).predictions
    return int((found != network.logits(validation_images).argmax(1)).sum())


def test_automatic_windows_are_the_shortest_whose_changed_labels_could_be_chance(case):
    network, x, validation_images = case
    q = tuning.automatic_quantile(network, quantiles(network, x, CANDIDATES), validation_images)
    changed = {c: disagreements(*case, c) for c in CANDIDATES}
    assert mcnemar_p(changed[q], 0) >= 0.05
    assert CANDIDATES[0] < q < 1  # of these candidates some are too short and some needlessly long
    assert all(mcnemar_p(changed[c], 0) < 0.05 for c in CANDIDATES if c < q)


def test_five_changed_labels_may_be_chance_and_six_may_not():
    assert mcnemar_p(5, 0) == 0.0625
    assert mcnemar_p(6, 0) == 0.03125


def test_automatic_windows_fall_back_on_the_longest_candidate(case):
    network, x, validation_images = case
    assert (
        tuning.automatic_quantile(network, quantiles(network, x, (0.1, 0.2)), validation_images)
        == 0.2
    )


def distance(network, lengths, images, bits):
    """Return the cross-entropy of a clock's softmax labels from the ReLU network's."""
    logits = clock_driven(convert(network, lengths), images, bits, half_tick=True).logits
    targets = network.logits(images).softmax(1)
    return -(targets * logits.log_softmax(1)).sum(1).mean().item()


def clocked_lengths(network, x, images, bits):
    """Return the windows chosen for a clock, each layer's at its own quantile."""
    chosen = tuning.clock_quantiles(network, quantiles(network, x, CANDIDATES), images, bits)
    return [quantile(network, x, q)[n] for n, q in enumerate(chosen)]


@pytest.mark.parametrize("bits", [1, 3])
def test_clocked_windows_are_at_least_as_close_to_relu_as_any_common_quantile(case, bits):
    network, x, images = case
    lengths = clocked_lengths(network, x, images, bits)
    best = min(distance(network, quantile(network, x, q), images, bits) for q in CANDIDATES)
    assert distance(network, lengths, images, bits) <= best + 1e-12


@pytest.mark.parametrize(("seed", "bits"), [(0, 2), (3, 1), (5, 3)])  # the last two: two sweeps
def test_no_single_change_of_a_clocked_window_comes_closer(seed, bits):
    network, x = random_network([12, 30, 25, 20, 4], seed), random_pixels(400, 12, seed)
    images = random_pixels(600, 12, seed + 50)
    lengths = clocked_lengths(network, x, images, bits)
    found = distance(network, lengths, images, bits)
    for n in range(3):
        for q in CANDIDATES:
            other = [*lengths[:n], quantile(network, x, q)[n], *lengths[n + 1 :]]
            assert distance(network, other, images, bits) >= found - 1e-12


def test_a_network_without_hidden_layers_needs_no_windows():
    network, x = random_network([12, 4]), random_pixels(50, 12)
    candidates = quantiles(network, x, CANDIDATES)
    assert candidates[tuning.automatic_quantile(network, candidates, x)] == []
    assert tuning.clock_quantiles(network, candidates, x, 3) == []


@pytest.mark.parametrize("bits", [1, 3])
def test_windows_alike_are_those_of_the_best_common_quantile(case, bits):
    network, x, images = case
    qs = tuning.clock_quantiles(
        network, quantiles(network, x, CANDIDATES), images, bits, alike=True
    )
    assert len(set(qs)) == 1
    lengths = quantile(network, x, qs[0])
    best = min(distance(network, quantile(network, x, q), images, bits) for q in CANDIDATES)
    assert distance(network, lengths, images, bits) <= best + 1e-12


def test_the_words_of_a_policy_name_its_windows(case):
    network, x, _ = case
    expected = {
        "calibrated": windows.calibrated(network, x),
        "calibrated:0.25": windows.calibrated(network, x, 0.25),
        "quantile:0.9": quantile(network, x, 0.9),
        "fixed:7": windows.fixed(network, 7.0),
        "safe": windows.safe(network),
    }
    assert {name: tuning.window_policy(name)(*case) for name in expected} == expected


@pytest.mark.parametrize("name", ["", "safe:1", "fixed", "fixed:x", "quantile:0.5:0.6", "shortest"])
def test_words_that_name_no_policy_are_refused_with_those_that_do(name):
    with pytest.raises(InputError, match=f"unknown window policy '{name}': choose from calibrated"):
        tuning.window_policy(name)


def test_windows_of_a_clock_are_those_of_its_quantiles(case, monkeypatch):
    monkeypatch.setattr(tuning, "QUANTILES", CANDIDATES)
    assert tuning.clock_lengths(*case, 1) == clocked_lengths(*case, 1)
    assert tuning.clock_lengths(*case, 1) != tuning.clock_lengths(*case, 4)
