import numpy as np
import pytest
import torch
from oracles import random_network, random_pixels

from experiments import recipe
from ttfs.datasets import Split
from ttfs.network import ReluNetwork, unstandardised


def test_recipe_of_one_image_by_hand():
    """Two units in each of three layers, in the original write-up's own terms."""
    network = ReluNetwork(
        [[[2.0, -1.0], [7.0, 7.0]], [[4.0, 0.0], [9.0, 9.0]]], [[1.0, 0.5], [-0.5, 0.25]]
    )
    # Pixels 0.5 and 0 scale to 1 and 0, and fire at 0 and 1. V_threshold = 15 - bias - sum(W) is
    # 15 - 1 - 9 = 5 and 15 - 0.5 - 6 = 8.5; so the layer's times are 5 + 2 * 0 + 7 * 1 = 12, and
    # 8.5 - 1 * 0 + 7 * 1 = 15.5, which is later than 15. It hands on 3 and 0, which scale to 1 and
    # 0. The output's thresholds are 15 + 0.5 - 13 = 2.5 and 15 - 0.25 - 9 = 5.75, its times
    # 2.5 + 9 = 11.5 and 5.75 + 9 = 14.75.
    pixels = torch.tensor([[0.5, 0.0]])
    logits, factors = recipe.recipe(network, pixels)
    assert logits.tolist() == [[15 - 11.5, 15 - 14.75]]
    assert [factor.item() for factor in factors] == [0.5, 0.5 * 3]
    # Rescaled, the biases are (2, 1) and (-1 / 3, 1 / 6), where 1.5 times 2 is the factor: the
    # layer hands on 2 + 2 = 4 and -1 + 1 = 0, the factor is 0.5 * 4, and 0.25 / 2 the second bias.
    assert recipe.recipe_logits(network, pixels, rescaled=recipe.every_layer(network)).tolist() == [
        [3.75, 0.125]
    ]
    mixed = recipe.recipe_logits(network, pixels, rescaled=[1])
    assert mixed.tolist() == [[3.5, 0.25]]


def test_times_of_the_recipe_are_those_of_a_neuron_that_integrates_its_inputs():
    """Small steps of time: slope alpha = 1 - sum(W), and W more after each input spike."""
    network, pixels = random_network([6, 3]), random_pixels(5, 6)
    weight, bias = network.weights[0].numpy(), network.biases[0].numpy()
    expected, step = recipe.recipe_logits(network, pixels, t_max=15.0), 1e-4
    for x, times_left in zip(pixels.numpy(), expected.numpy(), strict=True):
        t_in = 1 - (x - x.min()) / (x.max() - x.min())
        threshold = 15 - bias - weight.sum(0)
        potential, t = (0.0, 0.0)
        while t < 1:  # the inputs; a crossing counts after them, when the slope is 1
            slope = 1 - weight.sum(0) + weight[t_in <= t].sum(0)
            potential, t = potential + step * slope, t + step
        t_out = np.minimum(t + threshold - potential, 15)
        np.testing.assert_allclose(15 - t_out, times_left, atol=20 * step)


def test_recipe_with_its_bias_rescaled_is_the_relu_network_divided_by_one_factor_a_sample():
    network, pixels = random_network([12, 20, 15, 4]), random_pixels(50, 12)
    pixels[:, 0] = 0  # as in any image; and below: a silent neuron and one that fires in each layer
    layers = network.activations(pixels)
    usual = torch.stack([(a == 0).any(1) & (a > 0).any(1) for a in layers]).all(0)
    assert usual.sum() > 40
    found, factors = recipe.recipe(network, pixels, rescaled=recipe.every_layer(network))
    expected = network.logits(pixels)[usual].clamp(min=0)  # an output fires by t_max
    torch.testing.assert_close((found * factors[-1])[usual], expected, rtol=0, atol=1e-11)
    torch.testing.assert_close(
        factors[-1][usual], recipe.sample_scale(layers[-1])[usual], rtol=1e-12, atol=0
    )


def test_recipe_with_its_bias_left_alone_is_another_function():
    network, pixels = random_network([12, 20, 15, 4]), random_pixels(200, 12)
    found = recipe.recipe_logits(network, pixels)
    assert 0 < int((found.argmax(1) != network.logits(pixels).argmax(1)).sum()) < 200


def test_one_bias_left_alone_is_between_none_and_all():
    network, pixels = random_network([12, 20, 15, 4]), random_pixels(200, 12)
    every = recipe.recipe_logits(network, pixels, rescaled=recipe.every_layer(network))
    for layer in (1, 2, 3):
        found = recipe.recipe_logits(network, pixels, rescaled={1, 2, 3} - {layer})
        assert not torch.equal(found, every)
        others = [b.clone() for b in network.biases]
        others[layer - 1].zero_()
        rest = ReluNetwork(network.weights, others)
        without = recipe.recipe_logits(rest, pixels, rescaled={1, 2, 3} - {layer})
        assert torch.equal(without, recipe.recipe_logits(rest, pixels, rescaled={1, 2, 3}))


def test_recipe_limits_no_activation_by_t_max():
    network, pixels = random_network([12, 20, 15, 4]), 50 * random_pixels(20, 12)
    found = recipe.recipe_logits(network, pixels, t_max=0.01)
    assert found.max() > 0.1
    torch.testing.assert_close(
        found, recipe.recipe_logits(network, pixels, t_max=15.0), rtol=0, atol=1e-12
    )


def test_samples_of_equal_values_are_scaled_by_one():
    assert recipe.sample_scale(torch.full((2, 3), 0.7)).tolist() == [[1.0], [1.0]]


def test_literal_formula_by_hand():
    # I = 2 x 0.5 + 3 x 0.25 = 1.75; V_threshold = 15 - 1 - 5 = 9; t = 9 / 1.75.
    network = ReluNetwork([[[2.0, -1.0], [3.0, 0.0]], [[1.0], [1.0]]], [[1.0, 0.0], [0.0]])
    pixels = torch.tensor([[0.5, 0.25]], dtype=torch.float64)
    found = recipe.literal_formula_logits(network, pixels)
    assert found.item() == pytest.approx(15 - 9 / 1.75)  # the other neuron has no positive current


def test_network_of_standardised_pixels_does_the_same_with_raw_ones():
    network, pixels = random_network([12, 20, 4]), random_pixels(50, 12)
    standard = recipe.standardised(Split(pixels, torch.zeros(50)), 0.13, 0.31)
    np.testing.assert_allclose(standard.images, (pixels - 0.13) / 0.31)
    raw = unstandardised(network, 0.13, 0.31).logits(pixels)
    torch.testing.assert_close(raw, network.logits(standard.images), rtol=0, atol=1e-12)


def test_pixel_statistics_are_those_of_all_pixels():
    images = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    assert recipe.pixel_statistics(images) == (0.75, 0.5)
