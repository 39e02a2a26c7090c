import numpy as np
import pytest
import torch
from oracles import random_network, random_pixels

from ttfs import InputError
from ttfs.network import ReluNetwork
from ttfs.windows import calibrated, fixed, normalise_layers, quantile, quantiles, safe


def test_fixed_windows_are_the_same_for_every_hidden_layer():
    assert fixed(random_network([7, 5, 4, 3]), 2.5) == [2.5, 2.5]
    assert fixed(random_network([7, 5, 3])) == [15.0]


def test_calibrated_windows_hold_the_largest_activation_and_the_margin():
    network, x = random_network([7, 5, 4, 3]), random_pixels(50, 7)
    largest = [a.max().item() for a in network.activations(x)]
    assert calibrated(network, x) == [1.5 * a for a in largest]
    assert calibrated(network, x, margin=0) == largest


def test_calibration_in_several_batches_equals_calibration_at_once(monkeypatch):
    network, x = random_network([7, 5, 4, 3]), random_pixels(50, 7)
    at_once = calibrated(network, x), quantile(network, x, 0.9)
    monkeypatch.setattr("ttfs.windows.BATCH", 7)
    np.testing.assert_allclose(calibrated(network, x), at_once[0], rtol=1e-14)
    np.testing.assert_allclose(quantile(network, x, 0.9), at_once[1], rtol=1e-14)


def test_quantile_windows_hold_that_share_of_the_spikes():
    network, x = random_network([20, 30, 40, 3]), random_pixels(200, 20)
    lengths = quantile(network, x, 0.95)
    for activation, length in zip(network.activations(x), lengths, strict=True):
        spikes = activation[activation > 0]
        share = (spikes <= length).double().mean()
        assert abs(share - 0.95) <= 2 / len(spikes)


def test_quantile_one_is_the_largest_activation():
    network, x = random_network([7, 5, 4, 3]), random_pixels(50, 7)
    assert quantile(network, x, 1.0) == calibrated(network, x, margin=0)


def test_a_layer_that_never_fires_gets_a_window_of_one():
    network = ReluNetwork(
        [torch.ones(2, 3), torch.ones(3, 1)], [torch.full((3,), -9.0), torch.zeros(1)]
    )
    assert calibrated(network, torch.ones(4, 2)) == [1.0]
    assert quantile(network, torch.ones(4, 2), 0.5) == [1.0]


def test_a_network_of_one_layer_has_no_windows():
    network = random_network([7, 3])
    assert fixed(network) == calibrated(network, random_pixels(5, 7)) == []


@pytest.mark.parametrize("t_max", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_t_max_is_refused(t_max):
    with pytest.raises(InputError, match="positive and finite"):
        fixed(random_network([7, 5, 3]), t_max)


@pytest.mark.parametrize("margin", [-0.1, float("nan"), float("inf")])
def test_an_impossible_margin_is_refused(margin):
    with pytest.raises(InputError, match="margin"):
        calibrated(random_network([7, 5, 3]), random_pixels(5, 7), margin)


@pytest.mark.parametrize("q", [0.0, 1.1, -1.0, float("nan")])
def test_an_impossible_quantile_is_refused(q):
    with pytest.raises(InputError, match="quantile"):
        quantile(random_network([7, 5, 3]), random_pixels(5, 7), q)


@pytest.mark.parametrize("sizes", [[7, 3], [7, 5, 3], [12, 20, 15, 10, 4]])
def test_normalised_network_computes_the_same_in_windows_of_one(sizes):
    network, x = random_network(sizes), random_pixels(50, sizes[0])
    lengths = [2.5 * (n + 1) for n in range(len(sizes) - 2)]
    normalised = normalise_layers(network, lengths)
    torch.testing.assert_close(normalised.logits(x), network.logits(x), rtol=0, atol=1e-13)
    for n, length in enumerate(lengths):
        found, expected = normalised.activations(x)[n], network.activations(x)[n] / length
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-15)
    largest = calibrated(network, x, margin=0)
    assert calibrated(normalise_layers(network, largest), x, margin=0) == pytest.approx(
        [1.0] * len(largest)
    )


@pytest.mark.parametrize("lengths", [[], [1.0], [1.0, 0.0], [1.0, -2.0], [1.0, float("inf")]])
def test_normalisation_needs_a_positive_length_for_every_hidden_layer(lengths):
    with pytest.raises(InputError, match="2 positive window lengths"):
        normalise_layers(random_network([7, 5, 4, 3]), lengths)


def test_safe_windows_by_hand():
    # b + L_{n-1} x positive weights: 0.5 + 1 x 3, then the larger of -1 + 3.5 x 2 and 0 + 3.5 x 1.
    network = ReluNetwork(
        [[[3.0], [-2.0]], [[2.0, 1.0]], torch.ones(2, 1)], [[0.5], [-1.0, 0.0], [0.0]]
    )
    assert safe(network) == pytest.approx([3.5, 6.0], rel=1e-5)
    assert safe(network)[0] > 3.5


def test_safe_windows_hold_every_activation():
    network = random_network([20, 30, 40, 3])
    lengths = safe(network)
    for activation, length in zip(network.activations(torch.ones(1, 20)), lengths, strict=True):
        assert activation.max() < length


def test_safe_window_of_a_layer_that_cannot_fire_is_one():
    weights, biases = [-torch.ones(2, 3), torch.ones(3, 1)], [torch.zeros(3), [0.0]]
    assert safe(ReluNetwork(weights, biases)) == [1]
    assert safe(ReluNetwork([*weights, [[1.0]]], [*biases, [0.0]])) == pytest.approx([1, 3])


def test_several_quantiles_from_one_pass_equal_each_alone():
    network, x = random_network([20, 30, 40, 3]), random_pixels(100, 20)
    assert quantiles(network, x, [0.5, 0.9]) == {q: quantile(network, x, q) for q in (0.5, 0.9)}


@pytest.mark.parametrize("choose", [calibrated, lambda n, x: quantile(n, x, 0.9)])
def test_images_that_cannot_choose_a_window_are_refused(choose):
    network, x = random_network([7, 5, 3]), random_pixels(5, 7)
    broken = x.clone()
    broken[2, 3] = float("nan")
    for bad, words in (
        (broken, r"not \[0, 1\]"),
        (255 * x, r"not \[0, 1\]"),
        ((255 * x).byte(), "divide them"),
        (x[:0], "training images, and there are none$"),
        (x[:, :6], r"not \(n_batch, 7\)"),
    ):
        with pytest.raises(InputError, match=words):
            choose(network, bad)


@pytest.mark.parametrize("choose", [calibrated, lambda n, x: quantile(n, x, 0.9)])
def test_activations_that_overflow_are_refused(choose):
    network = ReluNetwork(
        [torch.full((7, 5), 1e30), torch.full((5, 5), 1e30), torch.ones(5, 3)],
        [torch.zeros(5), torch.zeros(5), torch.zeros(3)],
    )
    with pytest.raises(InputError, match="overflow"):
        choose(network, random_pixels(5, 7).float())


def test_safe_windows_that_overflow_are_refused():
    network = ReluNetwork(
        [torch.full((7, 7), 1e200, dtype=torch.float64)] * 3, [torch.zeros(7)] * 3
    )
    with pytest.raises(InputError, match="overflow"):
        safe(network)
