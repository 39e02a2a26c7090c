import numpy as np
import pytest
import torch
from oracles import random_network, random_pixels

from experiments import recipe
from ttfs.datasets import Split
from ttfs.network import ReluNetwork, unstandardised


def test_recipe_with_its_bias_rescaled_is_the_relu_network_divided_by_one_factor_a_sample():
    network, pixels = random_network([12, 20, 15, 4]), random_pixels(50, 12)
    pixels[:, 0] = 0  # as in any image; and below: a silent neuron and one that fires in each layer
    layers = network.activations(pixels)
    usual = torch.stack([(a == 0).any(1) & (a > 0).any(1) for a in layers]).all(0)
    assert usual.sum() > 40
    found = recipe.recipe_logits(network, pixels, t_max=1e6, rescale_bias=True)
    factor = recipe.sample_scale(layers[-1])
    expected = network.logits(pixels)[usual]
    torch.testing.assert_close((found * factor)[usual], expected, rtol=0, atol=1e-12)


def test_recipe_with_its_bias_left_alone_is_another_function():
    network, pixels = random_network([12, 20, 15, 4]), random_pixels(200, 12)
    found = recipe.recipe_logits(network, pixels, t_max=1e6)
    assert 0 < int((found.argmax(1) != network.logits(pixels).argmax(1)).sum()) < 200


def test_recipe_of_one_image_by_hand():
    # Pixels 0.5 and 0 scale to 1 and 0; the layer gives (2 + 1, -1 + 0.5 -> 0), scaled to (1, 0);
    # the output is 4 - 0.5 for the one class, and 0.25 for the other.
    network = ReluNetwork(
        [[[2.0, -1.0], [7.0, 7.0]], [[4.0, 0.0], [9.0, 9.0]]], [[1.0, 0.5], [-0.5, 0.25]]
    )
    pixels = torch.tensor([[0.5, 0.0]], dtype=torch.float64)
    assert recipe.recipe_logits(network, pixels).tolist() == [[3.5, 0.25]]


def test_recipe_clips_activations_at_t_max():
    # The first layer's 20 becomes 15; scaled by 15 - 3, the two values are 1 and 0 either way, but
    # a third, 9, becomes 6 / 12, where unclipped it would be 6 / 17.
    network = ReluNetwork([[[20.0, 3.0, 9.0]] * 2, [[0.0], [0.0], [1.0]]], [[0.0] * 3, [0.0]])
    pixels = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    assert recipe.recipe_logits(network, pixels).item() == 6 / 12
    assert recipe.recipe_logits(network, pixels, t_max=30.0).item() == 6 / 17


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
