"""Quantised activations as another trainer has them, against plain NumPy."""

import numpy as np
import pytest
import torch
from oracles import random_network, random_pixels
from torch import nn

from experiments import direct_training
from experiments.codes import rate
from experiments.passes.clip_floor_shift import ClipFloorShift
from ttfs.datasets import Split
from ttfs.network import ReluNetwork
from ttfs.training import train

SIZES = [6, 9, 7, 4]


def normalised(levels, noise=0.0):
    norms = [nn.BatchNorm1d(n).double() for n in SIZES[1:-1]]
    through = ClipFloorShift(levels, torch.Generator().manual_seed(0), norms, noise)
    for theta, value in zip(through.thresholds, (1.7, 0.6), strict=True):
        theta.data.fill_(value)
    return through


@pytest.mark.parametrize("levels", [1, 2, 4, 8])
def test_answer_is_that_of_activations_in_levels(levels):
    network, pixels = random_network(SIZES, seed=5), random_pixels(40, 6, seed=5)
    found, x = normalised(levels).answer(network, [1.7, 0.6], pixels), pixels.numpy()
    for layer, theta in zip(network.layers, (1.7, 0.6, None), strict=True):
        x = x @ layer.synapses.matrix().numpy() + layer.synapses.bias().numpy()
        if theta:
            x = theta * np.clip(np.floor(x * levels / theta + 0.5) / levels, 0, 1)
    np.testing.assert_allclose(found.numpy(), x, atol=1e-12)


def test_training_and_the_delivered_network_agree_once_normalisation_stands_still():
    network, pixels = random_network(SIZES, seed=5), random_pixels(40, 6, seed=5)
    through = normalised(4)
    for norm in through.norms:
        norm.running_mean.uniform_(-0.1, 0.1)
        norm.running_var.uniform_(0.5, 2)
        norm.eval()
    logits, penalty = through(network, pixels)
    answer = through.answer(through.delivered(network), through.lengths, pixels)
    torch.testing.assert_close(logits, answer)
    assert penalty == 0


def test_gradients_are_those_of_the_clipped_activation():
    network = random_network([1, 1, 1], seed=0)
    through = ClipFloorShift(4, torch.Generator(), [nn.BatchNorm1d(1)])
    theta = through.thresholds[0]
    theta.data.fill_(2.0)
    for value, slope in ((-0.5, 0), (0.9, 1), (3.0, 0)):
        drive = torch.tensor([[value]], requires_grad=True)
        through._activation(drive, theta).sum().backward()
        assert drive.grad.item() == slope
    theta.grad = None
    through._activation(torch.tensor([[3.0]]), theta).sum().backward()
    assert theta.grad.item() == 1  # a clipped activation is the threshold
    assert network.depth == 2


def test_pixel_noise_is_there_in_training_alone():
    network, pixels = random_network(SIZES, seed=5), random_pixels(40, 6, seed=5)
    through = normalised(4, noise=0.5)
    for norm in through.norms:
        norm.eval()
    first, second = (through(network, pixels)[0] for _ in range(2))
    assert not torch.equal(first, second)
    answers = [through.answer(network, [1.7, 0.6], pixels) for _ in range(2)]
    assert torch.equal(*answers)


def test_thresholds_are_trained_with_the_weights():
    pixels = random_pixels(64, 6, seed=1).float()
    split = Split(pixels, (4 * pixels.mean(1)).long().clamp(max=3))
    through = ClipFloorShift(2, torch.Generator(), [nn.BatchNorm1d(n) for n in SIZES[1:-1]])
    before = list(through.lengths)
    generator = torch.Generator().manual_seed(0)
    start = random_network(SIZES)
    start = ReluNetwork(
        [layer.synapses.matrix().float() for layer in start.layers],
        [layer.synapses.bias().float() for layer in start.layers],
    )
    settings = {"epochs": 5, "batch_size": 16, "learning_rate": 0.05, "generator": generator}
    found = train(start, split, split, through=through, **settings)
    assert found.windows == through.lengths != before
    answer = through.answer(found.network, found.windows, pixels).argmax(1)
    assert found.correct == int((answer == split.labels).sum()) == found.history[-1]


def test_neurons_of_one_layer_fire_the_levels_that_they_were_trained_to():
    network, pixels = random_network([6, 9, 4], seed=5), random_pixels(40, 6, seed=5)
    through = ClipFloorShift(4, torch.Generator(), [nn.BatchNorm1d(9)])
    *_, fired = rate.classify(network, [1.7], pixels, (4,), current=True)
    torch.testing.assert_close(fired.logits, through.answer(network, [1.7], pixels))


def test_the_best_setting_is_chosen_on_validation_images():
    rows = [
        {"validation_correct": 970, "snn_correct": 99},
        {"validation_correct": 980, "snn_correct": 90},
    ]
    assert direct_training.best(rows) == rows[1]
