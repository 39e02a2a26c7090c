"""Networks at the edge: both engines, both neurons and the certificate must take them all."""

import pytest
import torch
from oracles import random_network, random_pixels

from ttfs import InputError
from ttfs.conversion import convert
from ttfs.exactness import CERTIFIED, exact_layers, layer_errors, relu_reference
from ttfs.network import ReluNetwork
from ttfs.simulation import clock_driven, event_driven, simulator
from ttfs.windows import calibrated, fixed, normalise_layers


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Leave torch's other threads out: those that trained still take subnormal numbers for 0."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def changed(sizes, change):
    """Return a random network after ``change(weights, biases)``."""
    network = random_network(sizes)
    change(network.weights, network.biases)
    return ReluNetwork(network.weights, network.biases)


def scale(first, second):
    def change(weights, biases):
        weights[0] *= first
        biases[0] *= first
        weights[1] *= second

    return change


SIZES = [8, 12, 10, 3]
NETWORKS = {
    "a dead layer": changed(SIZES, lambda w, b: b[1].fill_(-1e3)),
    "every layer dead": changed(SIZES, lambda w, b: [bias.fill_(-1e3) for bias in b]),
    "negative biases": changed(SIZES, lambda w, b: [bias.abs_().neg_() for bias in b]),
    "a neuron without input": changed(SIZES, lambda w, b: w[1][:, 3].zero_()),
    "a neuron that is never heard": changed(SIZES, lambda w, b: w[1][3].zero_()),
    "no weight at all": changed(SIZES, lambda w, b: [weight.zero_() for weight in w]),
    "depth 1": random_network([8, 3]),
    "width 1": random_network([8, 1, 1, 3]),
    "one input": random_network([1, 5, 3]),
    "one class": random_network([8, 5, 1]),
}


def simulate(snn, pixels, engine):
    return simulator(engine)(snn, pixels)


def errors_of(network, snn, pixels, simulation, engine):
    relu = relu_reference(exact_layers(network), pixels)
    return list(layer_errors(snn, relu, pixels, simulation, engine))


@pytest.mark.parametrize("n_batch", [1, 20])
@pytest.mark.parametrize("engine", CERTIFIED)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("neuron", ["B1", "alpha"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_engine_stays_within_its_bound(name, neuron, dtype, engine, n_batch):
    network = NETWORKS[name]
    pixels = random_pixels(n_batch, network.architecture[0])
    snn = convert(network, calibrated(network, pixels), neuron)
    simulation = simulate(snn, pixels.to(dtype), engine)
    assert len(simulation.spike_times) == network.depth - 1
    assert simulation.logits.isfinite().all()
    for layer in errors_of(network, snn, pixels, simulation, engine):
        assert (layer.error <= layer.bound).all() and (layer.local_error <= layer.local_bound).all()
    assert sum(layer.violations for layer in simulation.audit) == 0


EXTREMES = [(1e-30, 1e30), (1e30, 1e-30), (1e15, 1e15), (1e-30, 1e-30), (1e-42, 1.0)]


@pytest.mark.parametrize("engine", CERTIFIED)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("scales", EXTREMES)
def test_extreme_weights_are_carried_by_normalised_windows(scales, dtype, engine):
    network = changed(SIZES, scale(*scales))
    pixels = random_pixels(20, 8)
    network = normalise_layers(network, calibrated(network, pixels))
    snn = convert(network, [1.0, 1.0])
    simulation = simulate(snn, pixels.to(dtype), engine)
    for layer in errors_of(network, snn, pixels, simulation, engine):
        assert (layer.error <= layer.bound).all() and (layer.local_error <= layer.local_bound).all()


@pytest.mark.parametrize("engine", CERTIFIED)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("first", [1e-30, 1e-42])
def test_tiny_weights_are_carried_by_windows_of_ordinary_length(first, dtype, engine):
    network, pixels = changed(SIZES, scale(first, 1.0)), random_pixels(20, 8)
    snn = convert(network, [15.0, 15.0])
    simulation = simulate(snn, pixels.to(dtype), engine)
    for layer in errors_of(network, snn, pixels, simulation, engine):
        assert (layer.error <= layer.bound).all() and (layer.local_error <= layer.local_bound).all()


def test_windows_of_incomparable_lengths_are_refused_with_advice():
    network, pixels = changed(SIZES, scale(1e30, 1e-30)), random_pixels(20, 8)
    with pytest.raises(InputError, match="layer 2: a window of .* is lost.*normalise_layers"):
        convert(network, calibrated(network, pixels))


def test_weights_that_drown_alphas_slope_of_1_have_no_bound():
    network, pixels = changed(SIZES, scale(1e20, 1e-20)), random_pixels(20, 8)
    snn = convert(network, [1e25, 1e25], "alpha")
    errors = errors_of(network, snn, pixels, event_driven(snn, pixels), "event-driven")
    assert torch.isinf(errors[0].local_bound).all()
    assert all(torch.isinf(layer.bound).any() for layer in errors)


@pytest.mark.parametrize("neuron", ["B1", "alpha"])
@pytest.mark.parametrize("engine", CERTIFIED)
def test_a_bias_larger_than_the_window_saturates_on_every_image(neuron, engine):
    network = changed(SIZES, lambda w, b: b[0].fill_(50.0))
    simulation = simulate(convert(network, fixed(network, 15.0), neuron), torch.zeros(4, 8), engine)
    assert simulation.spike_times[0].tolist() == 4 * [12 * [1.0]]  # at t_min: the earliest there is
    assert simulation.audit[0].saturations == 4 * 12


@pytest.mark.parametrize("neuron", ["B1", "alpha"])
@pytest.mark.parametrize("engine", CERTIFIED)
def test_a_black_image_leaves_biases_alone(neuron, engine):
    network = random_network(SIZES)
    black = torch.zeros(1, 8, dtype=torch.float64)
    snn = convert(network, [20.0, 20.0], neuron)
    simulation = simulate(snn, black, engine)
    expected = torch.where(network.biases[0] > 0, 21 - network.biases[0], torch.inf)
    torch.testing.assert_close(simulation.spike_times[0][0], expected, rtol=0, atol=1e-13)
    torch.testing.assert_close(simulation.logits, network.logits(black), rtol=0, atol=1e-12)


def test_a_clock_of_one_tick_a_window_fires_at_t_min_or_not_at_all():
    network, pixels = random_network(SIZES), random_pixels(20, 8)
    snn = convert(network, [0.5, 0.5])
    for layer, times in zip(snn.hidden, clock_driven(snn, pixels, 0).spike_times, strict=True):
        assert set(times.unique().tolist()) <= {layer.t_min, float("inf")}
