import numpy as np
import pytest
import torch
from oracles import random_network

from ttfs import InputError
from ttfs.affine import Affine
from ttfs.conversion import convert
from ttfs.network import Layer, ReluNetwork


def test_windows_are_chained_after_the_input_window():
    snn = convert(random_network([7, 5, 4, 3]), [2.0, 3.5])
    assert [(layer.t_start, layer.t_min, layer.t_max) for layer in snn.hidden] == [
        (0.0, 1.0, 3.0),
        (1.0, 3.0, 6.5),
    ]
    assert [layer.window.layer for layer in snn.layers] == [1, 2, 3]
    assert snn.t_max == [3.0, 6.5]
    assert snn.t_read == 6.5


def test_b1_threshold_is_the_window_less_the_bias():
    network = ReluNetwork([torch.tensor([[2.0], [-3.0]]), torch.ones(1, 1)], [[0.25], [0.0]])
    layer = convert(network, [4.0]).hidden[0]
    assert layer.threshold.tolist() == [3.75]
    assert layer.slope_before.tolist() == [0.0]


def test_alpha_threshold_of_the_first_layer_is_t_max_less_bias_less_weights():
    network = ReluNetwork([torch.tensor([[2.0], [-3.0]]), torch.ones(1, 1)], [[0.25], [0.0]])
    layer = convert(network, [4.0], neuron="alpha").hidden[0]
    assert layer.slope_before.tolist() == [1 - (2 - 3)]  # alpha = 1 - sum of weights
    assert layer.threshold.tolist() == [5 - 0.25 - (2 - 3)]  # t_max - b - sum of weights


def test_alpha_threshold_of_a_later_layer_counts_the_previous_window():
    network = random_network([7, 5, 4, 3])
    layer = convert(network, [2.0, 3.5], neuron="alpha").hidden[1]
    alpha = 1 - network.weights[1].sum(0)
    expected = 3.5 - network.biases[1] + alpha * 2.0
    np.testing.assert_allclose(layer.threshold, expected, rtol=1e-14)


def test_parameters_are_kept_in_float64_whatever_the_files_precision():
    network = random_network([7, 5, 3])
    network = ReluNetwork([w.float() for w in network.weights], [b.float() for b in network.biases])
    layer = convert(network, [2.0]).hidden[0]
    assert layer.threshold.dtype == layer.slope_before.dtype == torch.float64
    assert torch.equal(layer.threshold, 2.0 - network.biases[0].double())


def test_a_network_without_hidden_layers_is_read_when_the_input_window_ends():
    snn = convert(random_network([7, 3]), [])
    assert snn.hidden == () and snn.t_max == [] and snn.t_read == 1.0


@pytest.mark.parametrize("length", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_window_is_refused_by_layer(length):
    with pytest.raises(InputError, match="layer 2: the window length"):
        convert(random_network([7, 5, 4, 3]), [1.0, length])


def test_a_window_that_rounding_would_shorten_is_refused():
    with pytest.raises(InputError, match="layer 2: a window of 0.3 is lost beside"):
        convert(random_network([7, 5, 4, 3]), [1e15, 0.3])


def test_one_window_too_few_is_refused():
    with pytest.raises(InputError, match="1 window lengths for 2 layers"):
        convert(random_network([7, 5, 4, 3]), [1.0])


def test_an_unknown_neuron_is_refused():
    with pytest.raises(InputError, match="unknown neuron 'beta'"):
        convert(random_network([7, 5, 3]), [1.0], neuron="beta")


def test_a_spiking_network_prints_what_each_layer_is_made_of_and_its_window():
    chain = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
    synapses = [Affine.of(chain, [4]), Affine.dense(torch.ones(2, 5), torch.zeros(5))]
    first, readout = Layer(synapses[0]), Layer(synapses[1], made_of="6 (Linear)")
    whole, named = (
        str(convert(ReluNetwork.of_layers(layers), lengths)).splitlines()
        for layers, lengths in (([first, readout], [2.0]), ([readout], []))
    )
    assert "a chain" in whole[2] and whole[2].endswith("1 to 3")
    assert "6 (Linear)" in whole[3] and whole[3].endswith("read at 3")
    assert "6 (Linear)" in named[2] and named[2].endswith("read at 1")
