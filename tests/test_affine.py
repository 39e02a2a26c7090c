"""Synapses that are more than one matrix, against torch's own modules and the event engine."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import random_pixels
from torch import nn

from ttfs import InputError, affine
from ttfs.affine import Affine, MaxPool
from ttfs.conversion import convert
from ttfs.exactness import CERTIFIED, exact_layers, layer_errors, relu_reference
from ttfs.network import Layer, ReluNetwork, unstandardised
from ttfs.simulation import closed_form, event_driven, simulator
from ttfs.windows import calibrated, normalise_layers, safe


def batch_norm(kind, channels):
    """Return a batch normalisation that has seen data, with scales of either sign."""
    module = kind(channels).double()
    module.running_mean.normal_()
    module.running_var.uniform_(0.2, 3.0)
    with torch.no_grad():
        module.weight.normal_()
        module.bias.normal_()
    return module


def chains():
    """Return chains of modules in float64, in eval mode, with the shape of their input."""
    torch.manual_seed(5)
    found = {
        "linear": (nn.Linear(12, 7), [12]),
        "linear without bias": (nn.Linear(12, 7, bias=False), [12]),
        "convolution": (nn.Conv2d(2, 3, 3, stride=2, padding=1), [2, 6, 6]),
        "grouped, dilated convolution": (nn.Conv2d(4, 4, 2, groups=2, dilation=2), [4, 5, 5]),
        "convolution of sequences": (nn.Conv1d(2, 3, 3, padding="same"), [2, 9]),
        "mean of pools": (nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(2, 3, 2)), [2, 6, 6]),
        "mean of sequences": (nn.Sequential(nn.AvgPool1d(3), nn.Conv1d(2, 3, 2)), [2, 9]),
        "mean of whole sequences": (
            nn.Sequential(nn.AdaptiveAvgPool1d([1]), nn.Conv1d(2, 3, 1)),
            [2, 9],
        ),
        "batch normalisation of features": (
            nn.Sequential(nn.Linear(12, 5), batch_norm(nn.BatchNorm1d, 5)),
            [12],
        ),
        "batch normalisation of channels": (
            nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), batch_norm(nn.BatchNorm2d, 3)),
            [2, 5, 5],
        ),
        "batch normalisation first": (
            nn.Sequential(batch_norm(nn.BatchNorm2d, 2), nn.Conv2d(2, 3, 3, padding=1)),
            [2, 4, 4],
        ),
        "two linear layers": (
            nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.Dropout(), nn.Linear(6, 4)),
            [3, 2, 2],
        ),
    }
    return {name: (module.double().eval(), shape) for name, (module, shape) in found.items()}


CHAINS = chains()


@pytest.mark.parametrize("name", CHAINS)
def test_synapses_do_what_the_module_does(name):
    module, shape = CHAINS[name]
    x = torch.randn(9, *shape, dtype=torch.float64)
    found = Affine.of(module, shape)(x.flatten(1))
    torch.testing.assert_close(found, module(x).flatten(1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CHAINS)
def test_matrix_bias_and_sums_are_those_of_the_map(name):
    module, shape = CHAINS[name]
    synapses = Affine.of(module, shape)
    x = torch.randn(9, synapses.n_in, dtype=torch.float64)
    matrix, bias = synapses.matrix(), synapses.bias()
    torch.testing.assert_close(x @ matrix + bias, synapses(x), rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(synapses.sums(), matrix.sum(0), rtol=1e-10, atol=1e-11)
    assert (synapses.sums(torch.abs) >= matrix.abs().sum(0) - 1e-11).all()
    if len(synapses.steps) == 1:
        torch.testing.assert_close(synapses.sums(torch.abs), matrix.abs().sum(0))


@pytest.mark.parametrize("name", CHAINS)
def test_sparse_rows_are_the_matrix(name, monkeypatch):
    synapses = Affine.of(*CHAINS[name])
    monkeypatch.setattr(affine, "BLOCK", 3 * synapses.n_out)
    columns, values = synapses.sparse_rows()
    found = torch.zeros(synapses.n_in, synapses.n_out, dtype=torch.float64)
    found.scatter_add_(1, columns, values)
    assert torch.equal(found, synapses.matrix())


def test_a_large_convolution_is_never_made_a_matrix(monkeypatch):
    """Not by either engine, the bounds, the windows or the table of its layers."""
    network, pixels = convolutional(3)[0], random_pixels(5, 36)
    monkeypatch.setattr(affine, "MOST_DENSE", 100)
    with pytest.raises(InputError, match="36 x 144 takes too much memory: sparse_rows"):
        network.layers[0].synapses.matrix()
    snn = convert(network, calibrated(network, pixels))
    relu = relu_reference(exact_layers(network), pixels)
    for engine in CERTIFIED:
        found = simulator(engine)(snn, pixels)
        torch.testing.assert_close(found.logits, network.logits(pixels))
        for layer in layer_errors(snn, relu, pixels, found, engine):
            assert (layer.error <= layer.bound).all()
    assert "read-out" in repr(snn) and safe(network)


def test_sparse_rows_of_float32_and_float64_weights_are_exact():
    torch.manual_seed(0)
    for module in (nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 3, 3, padding=1).double()):
        synapses = Affine.of(module, [2, 4, 4])
        values = synapses.sparse_rows()[1]
        assert torch.isin(values[values != 0], module.weight.detach().double()).all()


@pytest.mark.parametrize("name", CHAINS)
def test_other_units_rescale_inputs_and_outputs(name):
    module, shape = CHAINS[name]
    synapses = Affine.of(module, shape)
    x = torch.rand(9, synapses.n_in, dtype=torch.float64)
    torch.testing.assert_close(
        synapses.rescaled(3.0, 0.5)(x), synapses(3.0 * x) / 0.5, rtol=1e-11, atol=1e-11
    )


@pytest.mark.parametrize("name", CHAINS)
def test_the_module_is_not_changed(name):
    module, shape = CHAINS[name]
    before = {key: value.clone() for key, value in module.state_dict().items()}
    synapses = Affine.of(module, shape)
    synapses(torch.rand(2, synapses.n_in)), synapses.matrix(), synapses.rescaled(2.0, 3.0)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert not synapses(torch.rand(2, synapses.n_in)).requires_grad


@pytest.mark.parametrize(
    "module",
    [
        nn.GELU(),
        nn.ReLU(),
        nn.LayerNorm(3),
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"),
        nn.BatchNorm1d(3, track_running_stats=False),
        nn.Flatten(0),
        nn.Sequential(nn.Linear(3, 3), nn.Tanh()),
    ],
    ids=lambda module: type(module).__name__,
)
def test_what_is_not_known_to_be_affine_is_refused_by_name(module):
    with pytest.raises(InputError, match="not known to be affine"):
        Affine.of(module, [3])


def convolutional(seed):
    """Return a network of two convolutions (a mean, a batch normalisation) and a linear layer."""
    torch.manual_seed(seed)
    first = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), batch_norm(nn.BatchNorm2d, 4))
    second = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(4, 5, 3))
    third = nn.Sequential(nn.Flatten(), nn.Linear(5, 3))
    shapes = ([1, 6, 6], [4, 6, 6], [5, 1, 1])
    modules = [module.double().eval() for module in (first, second, third)]
    layers = [Layer(Affine.of(m, shape)) for m, shape in zip(modules, shapes, strict=True)]
    model = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)
    return ReluNetwork.of_layers(layers), model


def pooled(seed):
    """Return a network that pools the first layer's outputs, the largest of four."""
    torch.manual_seed(seed)
    first, second = nn.Conv2d(1, 4, 3, padding=1).double(), nn.Linear(36, 3).double()
    pool = nn.MaxPool2d(2)
    layers = [
        Layer(Affine.of(first, [1, 6, 6])),
        Layer(Affine.of(second, [36]), MaxPool(pool, (4, 6, 6))),
    ]
    return ReluNetwork.of_layers(layers), nn.Sequential(
        first, nn.ReLU(), pool, nn.Flatten(), second
    )


NETWORKS = {"convolutional": convolutional, "pooled": pooled}


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(list(NETWORKS)),
    neuron=st.sampled_from(["B1", "alpha"]),
    dense=st.booleans(),
)
def test_every_engine_agrees_with_torch_on_convolutional_networks(seed, kind, neuron, dense):
    with pytest.MonkeyPatch.context() as patch:  # its weights as a matrix, or as sparse rows
        patch.setattr(affine, "MOST_DENSE", 10**6 if dense else 0)
        engines_agree(seed, kind, neuron)


def engines_agree(seed, kind, neuron):
    network, model = NETWORKS[kind](seed)
    pixels = random_pixels(20, 36, seed)
    expected = model(pixels.unflatten(1, (1, 6, 6))).detach()
    torch.testing.assert_close(network.logits(pixels), expected, rtol=1e-10, atol=1e-11)
    snn = convert(network, calibrated(network, pixels), neuron)
    relu = relu_reference(exact_layers(network), pixels)
    for engine in CERTIFIED:
        simulation = simulator(engine)(snn, pixels)
        scale = max(1.0, expected.abs().max().item())
        assert (simulation.logits - expected).abs().max() < 1e-9 * scale
        assert all(layer.violations == 0 for layer in simulation.audit)
        for layer in layer_errors(snn, relu, pixels, simulation, engine):
            assert (layer.error <= layer.bound).all()
            assert (layer.local_error <= layer.local_bound).all()


@pytest.mark.parametrize("kind", NETWORKS)
def test_spike_times_of_both_engines_are_the_same(kind):
    network, _ = NETWORKS[kind](3)
    pixels = random_pixels(20, 36)
    snn = convert(network, calibrated(network, pixels))
    events, formula = event_driven(snn, pixels), closed_form(snn, pixels)
    for found, wanted in zip(events.spike_times, formula.spike_times, strict=True):
        assert torch.equal(torch.isinf(found), torch.isinf(wanted))
        fired = torch.isfinite(wanted)
        assert (found[fired] - wanted[fired]).abs().max() < 500 * np.spacing(snn.t_read)


@pytest.mark.parametrize("kind", NETWORKS)
def test_alpha_never_fires_early_in_safe_windows_of_a_convolutional_network(kind):
    network, _ = NETWORKS[kind](1)
    pixels = random_pixels(30, 36)
    found = event_driven(convert(network, safe(network), "alpha"), pixels, guard=False)
    assert sum(layer.violations for layer in found.audit) == 0


@pytest.mark.parametrize("kind", NETWORKS)
def test_normalised_convolutional_network_does_the_same_in_windows_of_one(kind):
    network, _ = NETWORKS[kind](2)
    pixels = random_pixels(30, 36)
    normalised = normalise_layers(network, calibrated(network, pixels))
    found = closed_form(convert(normalised, [1.0] * (network.depth - 1)), pixels)
    torch.testing.assert_close(found.logits, network.logits(pixels), rtol=1e-10, atol=1e-10)
    assert all(layer.used_fraction < 0.7 for layer in found.audit)


@pytest.mark.parametrize("pool", [None, MaxPool(nn.MaxPool2d(3, 1, 1), (1, 6, 6))])
@pytest.mark.parametrize("kind", NETWORKS)
def test_network_of_standardised_pixels_becomes_one_of_raw_pixels(kind, pool):
    """Zeros that pad standardised pixels are not those that pad raw ones."""
    first, *others = NETWORKS[kind](2)[0].layers
    network = ReluNetwork.of_layers([Layer(first.synapses, pool), *others])
    pixels = random_pixels(30, 36)
    raw = unstandardised(network, 0.13, 0.31)
    expected = network.logits((pixels - 0.13) / 0.31)
    torch.testing.assert_close(raw.logits(pixels), expected, rtol=1e-10, atol=1e-10)
    found = event_driven(convert(raw, calibrated(raw, pixels)), pixels)
    torch.testing.assert_close(found.logits, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("module", "shape"),
    [(nn.Linear(3, 2), [4]), (nn.Conv2d(1, 1, 3), [2, 5, 5]), (nn.Conv2d(1, 1, 3), [1, 2, 2])],
)
def test_a_module_that_does_not_take_the_shape_is_refused(module, shape):
    with pytest.raises(InputError, match="takes no inputs of shape"):
        Affine.of(module, shape)


def test_a_network_without_layers_is_refused():
    with pytest.raises(InputError, match="at least one layer"):
        ReluNetwork.of_layers([])


def test_layers_that_do_not_chain_are_refused():
    first, second = (Layer(Affine.of(nn.Linear(*sizes), sizes[:1])) for sizes in ((5, 4), (3, 2)))
    with pytest.raises(InputError, match="layer 2 takes 3 inputs; there are 4"):
        ReluNetwork.of_layers([first, second])


@pytest.mark.parametrize("module", [nn.Flatten(), nn.Identity(), nn.Sequential(), nn.AvgPool2d(2)])
def test_a_layer_without_weights_leaves_its_inputs_alone_and_can_be_normalised(module):
    synapses = Affine.of(module, [1, 2, 2])
    readout = Layer(Affine.dense(torch.ones(len(synapses.bias()), 2).double(), torch.zeros(2)))
    network = ReluNetwork.of_layers([Layer(synapses), readout])
    pixels = torch.full((3, 4), 0.9, dtype=torch.float64)
    short = closed_form(convert(network, [0.5]), pixels)
    assert (pixels == 0.9).all() and (short.time_left[0] == 0.5).all()
    normalised = normalise_layers(network, [2.0])
    found = closed_form(convert(normalised, [1.0]), pixels)
    torch.testing.assert_close(found.logits, network.logits(pixels))
    assert found.time_left[0].max() == pytest.approx(0.45)


def test_a_convolutional_spiking_network_can_be_pickled():
    for kind in NETWORKS:
        network, _ = NETWORKS[kind](4)
        pixels = random_pixels(5, 36)
        snn = pickle.loads(pickle.dumps(convert(network, calibrated(network, pixels))))
        torch.testing.assert_close(closed_form(snn, pixels).logits, network.logits(pixels))


ROUNDINGS = {  # terms of each step's sums, and three more each
    "linear": 12 + 3,
    "linear without bias": 12 + 3,
    "convolution": 18 + 3,
    "grouped, dilated convolution": 8 + 3,
    "convolution of sequences": 6 + 3,
    "mean of pools": 4 + 3 + 8 + 3,
    "mean of sequences": 3 + 3 + 4 + 3,
    "mean of whole sequences": 9 + 3 + 2 + 3,
    "batch normalisation of features": 12 + 3 + 1 + 3,
    "batch normalisation of channels": 18 + 3 + 1 + 3,
    "batch normalisation first": 1 + 3 + 18 + 3,
    "two linear layers": 0 + 3 + 12 + 3 + 6 + 3,
}


@pytest.mark.parametrize("name", CHAINS)
def test_roundings_are_counted_by_the_terms_of_every_step(name):
    assert Affine.of(*CHAINS[name]).roundings == ROUNDINGS[name]


@pytest.mark.parametrize("name", CHAINS)
def test_synapses_are_counted_as_the_matrix_has_them(name):
    synapses = Affine.of(*CHAINS[name])
    assert synapses.n_synapses == int((synapses.matrix() != 0).sum())


def test_full_connections_alone_are_dense():
    dense = {name for name in CHAINS if Affine.of(*CHAINS[name]).is_dense}
    assert dense == {"linear"}
    assert not Affine.of(nn.Linear(6, 2), [5, 6]).is_dense  # one for each of five rows


def test_a_matrix_that_is_kept_or_fits_is_small(monkeypatch):
    chains = {name: Affine.of(*CHAINS[name]) for name in ("linear", "linear without bias")}
    for most, small in ((84, [True, True]), (83, [True, False])):  # 12 x 7 = 84
        monkeypatch.setattr(affine, "MOST_DENSE", most)
        assert [synapses.is_small for synapses in chains.values()] == small


SIMPLER = {  # what is left of a chain of several steps
    "mean of pools": ["mean2d", "conv2d"],
    "mean of sequences": ["mean1d", "conv1d"],
    "mean of whole sequences": ["mean1d", "conv1d"],
    "batch normalisation of features": ["linear"],
    "batch normalisation of channels": ["conv2d"],
    "batch normalisation first": ["scale", "conv2d"],
    "two linear layers": ["linear", "linear"],
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_scale_is_multiplied_into_the_weights_before_it(name):
    synapses = Affine.of(*CHAINS[name])
    simple = synapses.simplified()
    kinds = [step.kind for step in simple.steps]
    assert kinds == SIMPLER.get(name, [step.kind for step in synapses.steps])
    x = torch.randn(9, synapses.n_in, dtype=torch.float64)
    torch.testing.assert_close(simple(x), synapses(x), rtol=1e-12, atol=1e-12)


def test_a_scale_of_rows_is_not_one_of_the_features_that_a_matrix_gives():
    rows = nn.Sequential(nn.Linear(6, 2), batch_norm(nn.BatchNorm1d, 5)).double().eval()
    simple = Affine.of(rows, [5, 6]).simplified()
    assert [step.kind for step in simple.steps] == ["linear", "scale"]
    x = torch.randn(9, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(simple(x.flatten(1)), rows(x).flatten(1))
