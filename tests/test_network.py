import pickle

import numpy as np
import pytest
import torch
from oracles import random_network, random_pixels

from ttfs import InputError, windows
from ttfs.conversion import convert
from ttfs.network import ReluNetwork, check_arrays, unstandardised
from ttfs.network import random_network as untrained
from ttfs.simulation import closed_form, event_driven, simulator


def test_logits_equal_pytorchs_own_layers():
    network = random_network([7, 5, 4, 3])
    modules = []
    for weight, bias in zip(network.weights, network.biases, strict=True):
        linear = torch.nn.Linear(*weight.shape, dtype=torch.float64)
        linear.weight.data, linear.bias.data = weight.T, bias
        modules += [linear, torch.nn.ReLU()]
    x = random_pixels(9, 7)
    expected = torch.nn.Sequential(*modules[:-1])(x)
    torch.testing.assert_close(network.logits(x), expected, rtol=0, atol=1e-14)


def test_activations_are_those_of_the_hidden_layers_only():
    activations = random_network([7, 5, 4, 3]).activations(random_pixels(9, 7))
    assert [tuple(a.shape) for a in activations] == [(9, 5), (9, 4)]
    assert all((a >= 0).all() for a in activations)


def test_architecture_and_depth_are_read_off_the_weights():
    network = random_network([7, 5, 4, 3])
    assert network.architecture == [7, 5, 4, 3]
    assert network.depth == 3


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_dtype_of_the_input_decides_that_of_the_logits(dtype):
    assert random_network([7, 5, 3]).logits(random_pixels(2, 7).to(dtype)).dtype == dtype


def test_numpy_arrays_of_any_number_are_accepted():
    network = ReluNetwork([np.array([[1, 2]]), np.ones((2, 1), ">f4")], [np.zeros(2), np.ones(1)])
    assert network.logits(np.array([[0.5]])).tolist() == [[2.5]]


@pytest.mark.parametrize(
    ("weights", "biases", "message"),
    [
        ([], [], "0 weight arrays"),
        ([np.ones((3, 2))], [], "1 weight arrays and 0 bias arrays"),
        ([np.ones((3, 2))], [np.ones(5)], "layer 1 does not chain"),
        ([np.ones((3, 2))], [np.ones(3)], r"\(n_in, n_out\), these \(n_out, n_in\)"),
        ([np.ones((2, 3)), np.ones((4, 2))], [np.ones(2), np.ones(4)], "give each one's .T"),
        ([torch.nn.Linear(3, 2)], [np.ones(2)], r"Linear is not a ReluNetwork"),
        (torch.nn.Linear(3, 2), (), r"Linear is not a ReluNetwork.*from_torch\(model"),
        ({"0.weight": np.ones((2, 3))}, (), r"dict is not a ReluNetwork.*from_torch"),
        ([np.ones((3, 2)), np.ones((3, 1))], [np.ones(2), np.ones(1)], "layer 2 does not chain"),
        ([np.ones(3)], [np.ones(3)], r"weights\[0\] has shape \(3,\), not 2 non-empty"),
        ([np.ones((0, 2))], [np.ones(2)], "non-empty"),
        ([np.full((1, 1), np.nan)], [np.ones(1)], r"weights\[0\] holds NaN"),
        ([np.ones((1, 1))], [np.array([np.inf])], r"biases\[0\] holds NaN or infinite"),
        ([np.ones((1, 1), complex)], [np.ones(1)], "not numeric"),
        ([np.ones((1, 1), bool)], [np.ones(1)], "not numeric"),
        ([np.array([["a"]])], [np.ones(1)], "not numeric"),
        ([torch.ones(1, 1, dtype=torch.int64)], [np.ones(1)], "not real and floating"),
    ],
)
def test_unusable_arrays_are_refused_by_name(weights, biases, message):
    with pytest.raises(InputError, match=message):
        ReluNetwork(weights, biases)


def test_arrays_of_described_layers_have_one_to_four_dimensions():
    check_arrays([np.ones(3), np.ones((2, 2, 2, 2))], [np.ones(3), np.ones(2)])
    message = r"weights\[0\] has shape \(1, 1, 1, 1, 1\), not 1 to 4 non-empty"
    with pytest.raises(InputError, match=message):
        check_arrays([np.ones((1, 1, 1, 1, 1))], [np.ones(1)])
    with pytest.raises(InputError, match="1 weight arrays and 2 bias arrays"):
        check_arrays([np.ones(3)], [np.ones(3), np.ones(2)])


def test_every_block_of_rows_is_looked_at(monkeypatch):
    monkeypatch.setattr("ttfs.network.ROWS", 2)
    for n in range(5):
        weight = np.ones((5, 1))
        weight[n] = np.nan
        with pytest.raises(InputError, match=r"weights\[0\] holds NaN"):
            ReluNetwork([weight], [np.ones(1)])


@pytest.mark.parametrize(
    ("given", "kept"),
    [("i1", "float32"), ("u2", "float32"), ("i4", "float64"), ("u8", "float64")]
    + [("f2", "float16"), (">f4", "float32"), ("f8", "float64"), (np.longdouble, "float64")],
)
def test_numbers_keep_their_precision_or_get_one_that_holds_them(given, kept):
    network = ReluNetwork([np.ones((2, 1), given)], [np.zeros(1, given)])
    assert network.weights[0].dtype == network.biases[0].dtype == getattr(torch, kept)
    assert network.weights[0].tolist() == [[1.0], [1.0]]


@pytest.mark.parametrize("weight", [np.ones((1, 1)), torch.ones(1, 1), torch.ones(1, 1).T])
def test_arrays_given_are_not_shared(weight):
    network = ReluNetwork([weight], [np.zeros(1)])
    weight[:] = 5
    assert network.logits(torch.ones(1, 1)).item() == 1


@pytest.mark.parametrize("x", [torch.ones(2, 7, dtype=torch.uint8), torch.ones(2, 6)])
def test_input_that_is_not_floating_or_does_not_fit_is_refused(x):
    with pytest.raises(InputError, match="not floating and"):
        random_network([7, 5, 3]).logits(x)


def test_the_remedy_named_for_a_torch_module_works():
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    linear_layers = [module for module in model if isinstance(module, torch.nn.Linear)]
    network = ReluNetwork(
        [layer.weight.T for layer in linear_layers], [layer.bias for layer in linear_layers]
    )
    x = torch.rand(5, 4)
    torch.testing.assert_close(network.logits(x), model(x))
    assert not network.logits(x).requires_grad
    before = network.logits(x)
    with torch.no_grad():
        linear_layers[0].weight.zero_()
    assert torch.equal(network.logits(x), before)  # it is apart from the module


@pytest.mark.parametrize(
    "function",
    [
        lambda model: convert(model, [1.0]),
        lambda model: windows.calibrated(model, torch.rand(3, 4)),
        lambda model: windows.quantile(model, torch.rand(3, 4), 0.9),
        lambda model: windows.fixed(model),
        lambda model: windows.safe(model),
        lambda model: windows.normalise_layers(model, [1.0]),
        lambda model: unstandardised(model, 0.1, 0.3),
    ],
)
def test_a_torch_module_is_refused_everywhere_with_the_call_that_makes_a_network(function):
    with pytest.raises(InputError, match=r"Sequential is not a ReluNetwork.*from_torch\(model"):
        function(torch.nn.Sequential(torch.nn.Linear(4, 3)))


@pytest.mark.parametrize(
    "engine", ["closed-form", "closed-form:absolute", "event-driven", "clock:3"]
)
def test_a_network_that_is_not_converted_is_refused_with_the_call_that_converts_it(engine):
    with pytest.raises(InputError, match=r"ReluNetwork is not a SpikingNetwork: convert\(network"):
        simulator(engine)(random_network([4, 3]), random_pixels(2, 4))


@pytest.mark.parametrize(("mean", "deviation"), [(0.1, 0.0), (0.1, -1.0), (np.nan, 1.0)])
def test_a_standardisation_that_cannot_be_undone_is_refused(mean, deviation):
    with pytest.raises(InputError, match="the deviation must be positive"):
        unstandardised(random_network([4, 3]), mean, deviation)


def test_images_of_any_shape_are_taken_if_they_have_as_many_pixels():
    network, pixels = random_network([12, 5, 3]), random_pixels(6, 12)
    snn = convert(network, windows.calibrated(network, pixels.unflatten(1, (1, 3, 4))))
    images = pixels.unflatten(1, (1, 3, 4))
    assert torch.equal(network.logits(images), network.logits(pixels))
    for simulate in (closed_form, event_driven):
        assert torch.equal(simulate(snn, images).logits, simulate(snn, pixels).logits)
    for bad in (pixels[0], pixels[:, :11], torch.zeros(2, 5, 3)):
        with pytest.raises(InputError, match=r"\(n_batch, 12\)"):
            network.logits(bad)


def test_a_converted_network_can_be_pickled():
    pixels = random_pixels(6, 12)
    for neuron in ("B1", "alpha"):
        network = random_network([12, 5, 3])
        snn = convert(network, windows.calibrated(network, pixels), neuron)
        again = pickle.loads(pickle.dumps(snn))
        assert torch.equal(closed_form(again, pixels).logits, closed_form(snn, pixels).logits)


def test_a_network_is_printed_as_a_table_of_its_layers():
    model = torch.nn.Sequential(
        *(torch.nn.Conv2d(1, 2, 3, padding=1), torch.nn.BatchNorm2d(2), torch.nn.ReLU()),
        *(torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(8, 3)),
    ).eval()
    network = ReluNetwork.from_torch(model, (1, 4, 4))
    header, rule, first, last = str(network).splitlines()
    assert header.split() == ["layer", "made", "of", "inputs", "neurons", "synapses"]
    inside = 16 * 9 - 4 * 4 * 3 + 4  # of each channel: without the padding
    assert first.split() == [
        "1",
        "0",
        "(Conv2d),",
        "1",
        "(BatchNorm2d)",
        "16",
        "32",
        f"{2 * inside}",
    ]
    assert last.split() == ["read-out", "5", "(Linear),", "after", "a", "maximum", "32", "3", "24"]
    snn = convert(network, [2.5])
    assert str(snn).splitlines()[2].endswith("1 to 3.5")
    assert str(snn).splitlines()[3].endswith("read at 3.5")
    assert "full connections" in str(random_network([12, 5, 3]))
    mean = torch.nn.Sequential(torch.nn.AvgPool1d(2), torch.nn.Conv1d(1, 1, 2))
    assert str(ReluNetwork.from_torch(mean, (1, 6))).split()[-1] == "8"  # 2 outputs of 4 inputs


def test_an_untrained_network_is_he_normal_and_its_seeds_own():
    network = untrained([50, 400, 300], seed=3)
    assert network.architecture == [50, 400, 300]
    for weight, bias in zip(network.weights, network.biases, strict=True):
        assert weight.dtype == torch.float32 and (bias == 0).all()
        assert weight.std().item() == pytest.approx((2 / len(weight)) ** 0.5, rel=0.02)
    again, other = untrained([50, 400, 300], seed=3), untrained([50, 400, 300], seed=4)
    assert all(map(torch.equal, network.weights, again.weights))
    assert not torch.equal(network.weights[0], other.weights[0])


def test_a_network_of_standardised_pixels_becomes_one_of_raw_pixels():
    network, pixels = random_network([7, 5, 3]), random_pixels(9, 7)
    raw = unstandardised(network, 0.13, 0.31)
    assert raw.is_fully_connected
    expected = network.logits((pixels - 0.13) / 0.31)
    torch.testing.assert_close(raw.logits(pixels), expected, rtol=0, atol=1e-13)


def test_weights_and_biases_are_changed_alike():
    network = random_network([7, 5, 3])
    double = network.changed(lambda number: 2 * number)
    for found, number in zip(double.numbers, network.numbers, strict=True):
        assert torch.equal(found, 2 * number)
