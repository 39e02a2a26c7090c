from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles import random_network, random_pixels

from ttfs.conversion import convert
from ttfs.exactness import layer_errors, ulp
from ttfs.simulation import closed_form
from ttfs.windows import calibrated

WAYS = [
    (neuron, dtype, time)
    for neuron in ("B1", "alpha")
    for dtype in (torch.float64, torch.float32)
    for time in ("window", "absolute")
]


def measured(neuron, dtype, time, break_it=lambda snn: snn):
    network, pixels = random_network([30, 40, 40, 40, 5]), random_pixels(100, 30)
    snn = break_it(convert(network, calibrated(network, pixels), neuron))
    return layer_errors(network, snn, pixels, closed_form(snn, pixels.to(dtype), time), time)


@pytest.mark.parametrize("value", [1.0, 1.5, 15.0, 16.0, 446.7, 1e-30])
def test_ulp_is_numpys_spacing(value):
    assert ulp(value, torch.float64) == np.spacing(value)
    assert ulp(value, torch.float32) == np.spacing(np.float32(value))


def test_ulp_of_bfloat16_knows_its_eight_bits():
    assert ulp(1.0, torch.bfloat16) == 2**-7


@pytest.mark.parametrize(("neuron", "dtype", "time"), WAYS)
def test_every_error_lies_under_its_bound(neuron, dtype, time):
    layers = measured(neuron, dtype, time)
    assert len(layers) == 4
    for layer in layers:
        assert (layer.error <= layer.bound).all()
        assert (layer.local_error <= layer.local_bound).all()


@pytest.mark.parametrize(("neuron", "dtype", "time"), WAYS)
def test_bounds_are_not_so_wide_that_nothing_could_break_them(neuron, dtype, time):
    for layer in measured(neuron, dtype, time):
        assert layer.local_bound.max() < 2000 * torch.finfo(dtype).eps * layer.largest_activation


def without_one_bias(snn):
    layer = snn.hidden[1]
    bias = layer.bias.clone()
    bias[7] = 0
    broken = replace(layer, bias=bias, threshold=layer.threshold + layer.bias - bias)
    return replace(snn, hidden=(snn.hidden[0], broken, snn.hidden[2]))


def with_a_short_window(snn):
    layer = snn.hidden[1]
    return replace(
        snn, hidden=(snn.hidden[0], replace(layer, t_max=layer.t_min + 0.5), snn.hidden[2])
    )


@pytest.mark.parametrize(("neuron", "dtype", "time"), WAYS)
@pytest.mark.parametrize("fault", [without_one_bias, with_a_short_window])
def test_a_fault_in_one_layer_breaks_that_layers_bound_alone(neuron, dtype, time, fault):
    layers = measured(neuron, dtype, time, fault)
    broken = [bool((layer.local_error > layer.local_bound).any()) for layer in layers]
    assert broken == [False, True, False, False]
    assert bool((layers[1].error > layers[1].bound).any())
