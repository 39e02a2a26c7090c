"""The alpha1 neuron against an integrated potential, its start, and what the rows say."""

import pytest
import torch
from oracles import random_network, random_pixels
from studied import rows

from experiments import training_equivalence as equivalence
from ttfs.coding import encode
from ttfs.network import ReluNetwork

NAME, LENGTH = "training_equivalence", 6.0


def test_alpha1_neurons_fire_where_their_integrated_potential_meets_the_threshold():
    """One layer of slope 1 + sum of the weights of inputs that fired, in steps of 1e-5."""
    own = ReluNetwork([[[1.5, -0.4], [-0.7, 0.2], [0.4, 0.1]], [[1.0], [1.0]]], [[0.3, 0.5], [0.0]])
    pixels = torch.tensor([[0.9, 0.2, 0.0]], dtype=torch.float64)
    weight, bias = own.weights[0].double(), own.biases[0].double()
    slope = 1 + weight.sum(0)  # once all have fired: the silent input is made to fire at t_min = 1
    threshold = slope * LENGTH + 1 - bias
    times = encode(pixels)[0].clamp(max=1)
    dt = 1e-5
    potential, fired = torch.zeros(2, dtype=torch.float64), [None, None]
    for k in range(round((1 + LENGTH) / dt)):
        t = k * dt
        potential += dt * (1 + weight[times <= t].sum(0))
        for i in range(2):
            if fired[i] is None and potential[i] >= threshold[i]:
                fired[i] = t
    (activations,) = equivalence.Alpha1().network(own).activations(pixels)
    carried = [1 + LENGTH - t if t is not None else 0.0 for t in fired]
    assert activations[0].tolist() == pytest.approx(carried, abs=1e-3)
    assert min(carried) > 0.05


def test_alpha1_neurons_whose_potential_never_rises_are_silent():
    own = ReluNetwork([[[-2.0, 1.0], [0.5, 1.0]], [[1.0], [1.0]]], [[9.0, 1.0], [0.0]])
    (activations,) = equivalence.Alpha1().network(own).activations(torch.rand(5, 2))
    assert (activations[:, 0] == 0).all() and (activations[:, 1] > 0).all()


def test_alpha1_at_its_own_start_does_the_work_of_a_relu_network():
    network, pixels = random_network([12, 20, 15, 4]), random_pixels(40, 12)
    found = equivalence.Alpha1().network(equivalence.own_start(network))
    sums = [weight.sum(0) for weight in network.weights[:-1]]
    assert any((total > 0.5).any() for total in sums)
    for weight, before, total in zip(found.weights, network.weights, sums, strict=False):
        assert (weight.sum(0) <= 0.5 + 1e-9).all()
        kept = total <= 0.5
        torch.testing.assert_close(weight[:, kept], before[:, kept], rtol=0, atol=1e-12)
        shift = before[:, ~kept] - weight[:, ~kept]
        assert (shift > 0).all() and shift.std(0).max() < 1e-12
    assert torch.equal(found.weights[-1], network.weights[-1])
    assert found.logits(pixels).isfinite().all()


def test_b1_learns_what_relu_learns_and_alpha1_does_not(studied):
    for depth in (2, 3):
        kinds = {
            network: rows(studied, NAME, depth=depth, network=network, kind="step")
            for network in equivalence.NETWORKS
        }
        for row in kinds["B1"]:
            assert row["weight_difference"] == 0 and row["loss"] == row["relu_loss"]
            assert row["gradients"] == row["relu_gradients"]
        for row in kinds["B1, absolute time"]:
            assert 0 < row["weight_difference"] < 1e-9
        for network in (equivalence.PLAIN, equivalence.OWN, equivalence.SLOW):
            assert kinds[network][-1]["weight_difference"] > 1e-4
        assert kinds[equivalence.PLAIN][0]["falling"] > 0 == kinds[equivalence.OWN][0]["falling"]
        assert kinds["B1"][0]["falling"] == 0
        (end,) = rows(studied, NAME, depth=depth, network="B1", kind="end")
        assert end["agreements"] == 300 and end["saturations"] == 0
        (slow,) = kinds[equivalence.SLOW][:1]
        assert slow["loss"] == pytest.approx(slow["relu_loss"], rel=1e-9)
        assert [row["step"] for row in kinds["B1"]] == [1, 2, 5, 10]
        assert all(len(row["gradients"]) == depth for row in kinds["B1"])
