"""The bounds on errors are the formulas of ``ttfs.exactness``, for a network made by hand."""

import math

import pytest
import torch

from ttfs.conversion import convert
from ttfs.exactness import CERTIFIED, exact_layers, layer_errors, relu_reference
from ttfs.network import ReluNetwork
from ttfs.simulation import simulator

WEIGHTS = [
    [[0.5, -1.5, 0.75], [1.25, 0.5, -2.0], [-0.75, 2.0, 0.25], [0.1, 0.3, -0.2]],
    [[0.3, -0.7], [1.1, 0.9], [-0.4, 0.6]],
]
BIASES = [[0.25, 0.75, -1.0], [0.125, -0.375]]
PIXELS = torch.tensor([[0.5, 0.25, 0.0, 1.0], [1.0, 0.75, 0.5, 0.125]]).double()  # none is rounded
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


def errors(weights, biases, neuron, dtype, engine):
    """Return a converted network, its simulation, and every layer's errors and bounds."""
    network = ReluNetwork(
        *([torch.tensor(v, dtype=torch.float64) for v in part] for part in (weights, biases))
    )
    snn = convert(network, [3.0], neuron)
    simulation = simulator(engine)(snn, PIXELS.to(dtype))
    relu = relu_reference(exact_layers(network), PIXELS)
    return snn, simulation, list(layer_errors(snn, relu, PIXELS, simulation, engine))


def gamma(k, dtype):
    ku = k * torch.finfo(dtype).eps / 2
    return ku / (1 - ku)


def smallest(dtype):
    """Return what underflow can add, in twice a float64 reference as well."""
    normal = torch.finfo(torch.float64).smallest_normal
    own = {torch.float32: 2.0**-149, torch.float16: 2.0**-24, torch.bfloat16: 2.0**-133}
    return own.get(dtype, normal) + 2 * normal


def local_bound(layer, x, magnitudes, dtype, engine):
    """Return a layer's local bound, of inputs and of the magnitudes |W| x + |b|."""
    weight, u = layer.synapses.matrix().abs(), torch.finfo(dtype).eps / 2
    k, before, length = len(weight) + 3, layer.t_min - layer.t_start, layer.window.length
    theta, slope, fires = layer.threshold.abs(), layer.slope_before.abs(), layer.t_max < math.inf
    terms, more = gamma(k, dtype), 0.0
    if engine == "event-driven":
        fired = (x > 0).double()
        terms = gamma(2 * fired.sum(1, keepdim=True) + 8, dtype)
        crossing = u * (2 * theta + 4 * length) if fires else 0.0
        if layer.neuron.forced:
            d = gamma(k, dtype) * (slope + weight.sum(0))
            crossing = (length * d + crossing) / (1 - d)
        more = 1.01 * (2 * u * before * fired @ weight + crossing) + terms * slope * before
    elif torch.finfo(dtype).bits == 16:
        terms = gamma(4, dtype) + gamma(k, torch.float32)
    if engine == "closed-form:absolute" and fires:
        ends = 2 * (layer.t_min + layer.t_max + length)
        more = 1.01 * u * (ends + 4 * theta + 6 * slope * before)
    underflow = smallest(dtype) * (x.shape[1] + 2 + x.sum(1, keepdim=True))
    return (terms + 2 * gamma(k, torch.float64)) * magnitudes + more + underflow


@pytest.mark.parametrize("engine", CERTIFIED)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("neuron", ["B1", "alpha"])
def test_local_bounds_are_those_of_the_engines_rounded_operations(neuron, dtype, engine):
    snn, simulation, found = errors(WEIGHTS, BIASES, neuron, dtype, engine)
    x, before = PIXELS, torch.zeros_like(PIXELS)
    exact = PIXELS
    for layer, error, outcome in zip(snn.layers, found, [*simulation.time_left, None], strict=True):
        weight, bias = layer.synapses.matrix(), layer.synapses.bias()
        magnitudes = exact @ weight.abs() + bias.abs()
        magnitudes += before.amax(1, keepdim=True) * weight.abs().sum(0)
        expected = local_bound(layer, x, magnitudes, dtype, engine)
        torch.testing.assert_close(error.local_bound, expected, rtol=1e-9, atol=0)
        if outcome is not None:
            x, before, exact = outcome.double(), error.error, (exact @ weight + bias).relu()


@pytest.mark.parametrize("engine", CERTIFIED)
def test_accumulated_bounds_go_through_the_weights_and_end_at_silence_with_a_margin(engine):
    snn, _, (first, last) = errors(WEIGHTS, BIASES, "B1", torch.float32, engine)
    drive = PIXELS @ snn.layers[0].synapses.matrix() + snn.layers[0].synapses.bias()
    silent = drive < 0
    assert silent.any() and not silent.all() and (drive.abs() > 0.01).all()
    assert torch.equal(first.bound, first.local_bound.masked_fill(silent, 0))
    through = first.bound @ snn.readout.synapses.matrix().abs() + last.local_bound
    torch.testing.assert_close(last.bound, through, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("drive", "is_silent"), [(-1e-9, False), (-1e-5, True)])
def test_a_neuron_that_is_silent_by_less_than_its_bound_keeps_it(drive, is_silent):
    weights = [[[1.0], [1.0], [-1.0], [-1.0]], [[1.0, 1.0]]]
    biases = [[0.25 + drive], [0.0, 0.0]]  # the first image's weighted inputs are -0.25
    _, _, (first, _) = errors(weights, biases, "B1", torch.float32, "closed-form")
    bound, local = first.bound[0].item(), first.local_bound[0].item()
    assert 1e-8 < local < 1e-5 and bound == (0 if is_silent else local)


@pytest.mark.parametrize("dtype", DTYPES)
def test_where_all_is_zero_only_underflow_is_left_in_the_bound(dtype):
    weights, biases = [torch.zeros(4, 3).tolist(), WEIGHTS[1]], [[0.0] * 3, BIASES[1]]
    _, _, (first, _) = errors(weights, biases, "B1", dtype, "closed-form")
    expected = smallest(dtype) * (4 + 2 + PIXELS.sum(1, keepdim=True)).expand(2, 3)
    torch.testing.assert_close(first.local_bound, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize(("n_spikes", "is_finite"), [(1019, True), (1020, False), (1500, False)])
def test_there_is_no_bound_if_the_roundings_alone_can_be_as_large_as_the_sum(n_spikes, is_finite):
    """Of 2 m + 8 in float16, each may change it by 1 in 2,048."""
    network = ReluNetwork([torch.full((n_spikes, 1), 1e-3)], [torch.zeros(1)])
    pixels, relu = torch.ones(1, n_spikes), exact_layers(network)
    snn = convert(network, [])
    simulation = simulator("event-driven")(snn, pixels.half())
    (only,) = layer_errors(snn, relu_reference(relu, pixels), pixels, simulation, "event-driven")
    assert bool(only.local_bound.isfinite().all()) == is_finite
