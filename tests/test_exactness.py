from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles import random_network, random_pixels

from ttfs.affine import Affine
from ttfs.conversion import convert
from ttfs.exactness import (
    CERTIFIED,
    _gamma,
    _sum_rounding,
    exact_layers,
    layer_errors,
    relu_reference,
    ulp,
)
from ttfs.network import Layer, ReluNetwork
from ttfs.simulation import event_driven, simulator
from ttfs.windows import calibrated

WAYS = [
    (neuron, dtype, engine)
    for neuron in ("B1", "alpha")
    for dtype in (torch.float64, torch.float32)
    for engine in CERTIFIED
]


def measured(neuron, dtype, engine, break_it=lambda snn: snn):
    network, pixels = random_network([30, 40, 40, 40, 5]), random_pixels(100, 30)
    snn = break_it(convert(network, calibrated(network, pixels), neuron))
    simulation = simulator(engine)(snn, pixels.to(dtype))
    relu = relu_reference(exact_layers(network), pixels)
    return list(layer_errors(snn, relu, pixels, simulation, engine))


@pytest.mark.parametrize("value", [1.0, 1.5, 15.0, 16.0, 446.7, 1e-30])
def test_ulp_is_numpys_spacing(value):
    assert ulp(value, torch.float64) == np.spacing(value)
    assert ulp(value, torch.float32) == np.spacing(np.float32(value))


def test_ulp_of_bfloat16_knows_its_eight_bits():
    assert ulp(1.0, torch.bfloat16) == 2**-7


@pytest.mark.parametrize(("neuron", "dtype", "engine"), WAYS)
def test_every_error_lies_under_its_bound(neuron, dtype, engine):
    layers = measured(neuron, dtype, engine)
    assert len(layers) == 4
    for layer in layers:
        assert (layer.error <= layer.bound).all()
        assert (layer.local_error <= layer.local_bound).all()


@pytest.mark.parametrize(("neuron", "dtype", "engine"), WAYS)
def test_bounds_are_not_so_wide_that_nothing_could_break_them(neuron, dtype, engine):
    network, pixels = random_network([30, 40, 40, 40, 5]), random_pixels(100, 30)
    layers = [*network.activations(pixels), network.logits(pixels)]
    for layer, values in zip(measured(neuron, dtype, engine), layers, strict=True):
        largest = values.abs().max()
        assert layer.local_bound.max() < 2000 * torch.finfo(dtype).eps * largest


def without_one_bias(snn):
    layers, synapses = list(snn.layers), snn.layers[1].synapses
    bias = synapses.bias().clone()
    bias[7] = 0
    layers[1] = replace(layers[1], synapses=Affine.dense(synapses.matrix(), bias))
    return replace(snn, layers=tuple(layers))


def with_a_short_window(snn):
    lengths = [layer.window.length for layer in snn.hidden]
    return convert(
        ReluNetwork.of_layers(snn.layers), [lengths[0], 0.5, lengths[2]], snn.neuron.name
    )


@pytest.mark.parametrize(("neuron", "dtype", "engine"), WAYS)
@pytest.mark.parametrize("fault", [without_one_bias, with_a_short_window])
def test_a_fault_in_one_layer_breaks_that_layers_bound_alone(neuron, dtype, engine, fault):
    layers = measured(neuron, dtype, engine, fault)
    broken = [bool((layer.local_error > layer.local_bound).any()) for layer in layers]
    assert broken == [False, True, False, False]
    assert bool((layers[1].error > layers[1].bound).any())


def test_absolute_time_is_as_coarse_as_long_windows_make_it_and_its_bound_knows():
    network, pixels = random_network([30, 40, 40, 40, 5]), random_pixels(100, 30)
    snn = convert(network, [1000 * length for length in calibrated(network, pixels)])
    relu, found = relu_reference(exact_layers(network), pixels), {}
    for engine in ("closed-form", "closed-form:absolute"):
        simulation = simulator(engine)(snn, pixels.float())
        found[engine] = list(layer_errors(snn, relu, pixels, simulation, engine))
    relative, absolute = found.values()
    for layer in absolute:
        assert (layer.local_error <= layer.local_bound).all()
        assert (layer.error <= layer.bound).all()
    for coarse, fine in zip(absolute[:-1], relative[:-1], strict=True):
        assert (coarse.local_error > fine.local_bound).any()


def test_a_pruned_neuron_without_a_bound_in_16_bits_has_an_infinite_one():
    network = random_network([784, 3, 2])
    network.weights[0][:, 1] = 0
    network.biases[0][1] = 0
    pixels = random_pixels(4, 784)
    snn = convert(network, [100.0])
    simulation = event_driven(snn, pixels.bfloat16())
    relu = relu_reference(exact_layers(network), pixels)
    first, _ = layer_errors(snn, relu, pixels, simulation, "event-driven")
    assert not first.local_bound.isnan().any() and not first.bound.isnan().any()
    assert (first.local_error <= first.local_bound).all()


def errors_of(network, snn, pixels, engine):
    relu = relu_reference(exact_layers(network), pixels)
    return list(layer_errors(snn, relu, pixels, simulator(engine)(snn, pixels), engine))


def test_alphas_slope_that_may_be_off_by_itself_has_no_bound():
    # gamma_4 = 4 / 2^24 of |1 - w| + w: 1.43 of a slope of 1.
    network, pixels = ReluNetwork([[[3e6]], [[1.0]]], [[0.0], [0.0]]), torch.ones(1, 1)
    snn = convert(network, [1e7], "alpha")
    assert errors_of(network, snn, pixels, "event-driven")[0].local_bound.isinf().all()


def test_pixels_that_are_no_spike_times_stay_as_they_are():
    # 1 - (1 - x) is 0 in float32; the closed form in window-relative time has no such step.
    network, pixels = ReluNetwork([[[1e9]], [[1.0]]], [[0.0], [0.0]]), torch.full((1, 1), 1e-9)
    for layer in errors_of(network, convert(network, [2.0]), pixels, "closed-form"):
        assert (layer.error <= layer.bound).all() and (layer.local_error <= layer.local_bound).all()


def test_the_crossing_in_absolute_time_adds_what_the_formula_says():
    network, dtype = random_network([6, 8, 5, 3]), torch.float32
    snn = convert(network, [3.0, 7.0], "alpha")  # layer 2: t_start = 1, t_min = 4, t_max = 11
    layer, exact = snn.hidden[1], exact_layers(network)[1]
    gamma, more = _sum_rounding(exact, layer, None, dtype, "closed-form:absolute")
    own = 6 * layer.slope_before.abs() * 3
    terms = 2 * 4 + 2 * 11 + 2 * 7 + 4 * layer.threshold.abs() + own
    torch.testing.assert_close(more, 1.01 * 2.0**-24 * terms)
    assert gamma == _gamma(8 + 3, dtype)


def test_in_16_bits_every_step_of_a_chain_rounds_its_sum():
    chain = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 3))
    network = ReluNetwork.of_layers([Layer(Affine.of(chain, [6]))])
    (exact,), (layer,) = exact_layers(network), convert(network, []).layers
    gamma, _ = _sum_rounding(exact, layer, None, torch.bfloat16, "closed-form")
    assert gamma == _gamma(2 * 4, torch.bfloat16) + _gamma(6 + 3 + 5 + 3, torch.float32)
