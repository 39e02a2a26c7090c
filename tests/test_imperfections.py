import numpy as np
import pytest
import torch
from oracles import random_network, random_pixels

from ttfs import InputError
from ttfs.affine import Affine
from ttfs.coding import Window
from ttfs.conversion import convert
from ttfs.imperfections import clock, jitter, loss, mismatch, quantised
from ttfs.network import Layer, ReluNetwork
from ttfs.simulation import clock_driven, closed_form, simulate


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def case():
    network = random_network([40, 60, 50, 4])
    return network, convert(network, [8.0, 8.0]), random_pixels(200, 40)


RULES = {
    "jitter": lambda snn, level, generator: jitter(level, generator),
    "loss": lambda snn, level, generator: loss(level, generator),
    "mismatch": mismatch,
}


@pytest.mark.parametrize("fault", RULES)
def test_without_noise_it_is_the_closed_form(case, fault):
    _, snn, pixels = case
    found = simulate(snn, pixels, RULES[fault](snn, 0.0, seeded()))
    expected = closed_form(snn, pixels)
    assert torch.equal(found.logits, expected.logits)
    assert all(map(torch.equal, found.spike_times, expected.spike_times))


@pytest.mark.parametrize("fault", RULES)
def test_one_seed_gives_the_same_and_another_seed_something_else(case, fault):
    _, snn, pixels = case
    first, again, other = (
        simulate(snn, pixels, RULES[fault](snn, 0.1, seeded(seed))).logits for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("fault", RULES)
def test_a_fault_disturbs_the_rule_it_is_given(case, fault):
    _, snn, pixels = case
    rule = {"jitter": jitter, "loss": loss}.get(fault, lambda *a, **k: mismatch(snn, *a, **k))
    found = simulate(snn, pixels, rule(0.0, seeded(), fire=clock(2)))
    assert torch.equal(found.logits, clock_driven(snn, pixels, 2).logits)


def test_spikes_that_noise_adds_or_loses_are_counted():
    snn, black = identity(activation=-0.1)
    audit = simulate(snn, black, mismatch(snn, 0.1, seeded())).audit[0]
    assert audit.spurious == audit.spikes > 0 and audit.missing == 0
    snn, black = identity()
    audit = simulate(snn, black, loss(0.3, seeded())).audit[0]
    assert audit.missing == 3000 - audit.spikes > 0 and audit.spurious == 0


def identity(n=3000, activation=2.0):
    """Return a layer whose neurons all carry the same activation, and the image that makes it."""
    network = ReluNetwork(
        [torch.zeros(1, n), torch.ones(n, 1)], [torch.full((n,), activation)] * 1 + [torch.zeros(1)]
    )
    return convert(network, [4.0]), torch.zeros(1, 1, dtype=torch.float64)


def test_jitter_has_its_standard_deviation_in_units_of_the_window():
    snn, black = identity()
    times = simulate(snn, black, jitter(0.05, seeded())).spike_times[0]
    assert times.mean().item() == pytest.approx(3.0, abs=0.02)
    assert times.std().item() == pytest.approx(0.05 * 4.0, rel=0.05)


def test_jittered_spikes_stay_inside_their_window():
    snn, black = identity()
    times = simulate(snn, black, jitter(2.0, seeded())).spike_times[0]
    fired = times[torch.isfinite(times)]
    assert fired.min() == 1.0 and fired.max() <= 5.0


def test_silent_neurons_stay_silent_whatever_the_jitter():
    snn, black = identity(activation=-1.0)
    noisy = simulate(snn, black, jitter(0.5, seeded()))
    assert torch.isinf(noisy.spike_times[0]).all() and noisy.logits.item() == 0


def test_black_pixels_get_no_spike_from_jitter():
    network = ReluNetwork([torch.ones(50, 1), torch.ones(1, 1)], [[0.0], [0.0]])
    black = torch.zeros(4, 50)
    found = simulate(convert(network, [9.0]), black, jitter(0.5, seeded()))
    assert (found.logits == 0).all()


def test_lost_spikes_are_the_share_asked_for():
    snn, black = identity()
    times = simulate(snn, black, loss(0.3, seeded())).spike_times[0]
    assert torch.isinf(times).double().mean().item() == pytest.approx(0.3, abs=0.03)
    assert (times[torch.isfinite(times)] == 3.0).all()


def test_mismatch_belongs_to_the_neuron_and_not_to_the_image():
    snn, black = identity()
    times = simulate(snn, black.repeat(2, 1), mismatch(snn, 0.05, seeded())).spike_times[0]
    assert torch.equal(times[0], times[1])
    assert times[0].std().item() == pytest.approx(0.2, rel=0.05)


def test_mismatch_can_wake_a_silent_neuron():
    snn, black = identity(activation=-0.1)
    times = simulate(snn, black, mismatch(snn, 0.1, seeded())).spike_times[0]
    assert 0.2 < torch.isfinite(times).double().mean().item() < 0.6


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 8])
def test_quantised_weights_are_the_nearest_multiples_of_their_scale(bits, per_channel):
    network = random_network([7, 5, 3])
    top = 2 ** (bits - 1) - 1
    for weight, found in zip(
        network.weights, quantised(network, bits, per_channel).weights, strict=True
    ):
        magnitude = np.abs(weight.numpy())
        scale = (magnitude.max(0) if per_channel else magnitude.max()) / top
        expected = np.round(weight.numpy() / scale) * scale
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)
        assert len(found.unique()) <= (2 * top + 1) * (weight.shape[1] if per_channel else 1)


def test_a_neuron_without_weights_is_left_alone():
    network = ReluNetwork([torch.zeros(3, 2), torch.ones(2, 1)], [[0.5, 0.5], [0.0]])
    for per_channel in (False, True):
        assert (quantised(network, 4, per_channel).weights[0] == 0).all()


def test_biases_are_thresholds_and_stay():
    network = random_network([7, 5, 3])
    assert all(map(torch.equal, quantised(network, 2, True).biases, network.biases))


@pytest.mark.parametrize("bits", [1, 0, -3, 17])
def test_impossible_bits_are_refused(bits):
    with pytest.raises(InputError, match=f"bits is {bits}"):
        quantised(random_network([7, 3]), bits, False)


def test_weights_that_are_multiplied_with_others_are_refused():
    chain = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)).eval()
    network = ReluNetwork.of_layers([Layer(Affine.of(chain, [3]))])
    with pytest.raises(InputError, match="layer 1 multiplies weights"):
        quantised(network, 4, True)


def test_lost_input_spikes_leave_the_bias_alone():
    network, pixels = random_network([6, 3]), random_pixels(4, 6)
    found = simulate(convert(network, []), pixels, loss(1.0, seeded()))
    assert torch.equal(found.logits, network.biases[0].expand(4, 3))


def test_input_spikes_jitter():
    network, pixels = random_network([6, 3]), random_pixels(4, 6)
    found = simulate(convert(network, []), pixels, jitter(0.1, seeded()))
    assert (found.logits != network.logits(pixels)).all()


@pytest.mark.parametrize("per_neuron", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 5])
def test_a_typical_scale_cuts_the_largest_weights_off(bits, per_neuron):
    network, top = random_network([7, 50, 3]), 2 ** (bits - 1) - 1
    coarse = quantised(network, bits, per_neuron, typical=True)
    for weight, found in zip(network.weights, coarse.weights, strict=True):
        magnitude = np.abs(weight.numpy())
        scale = 2 * magnitude.mean(0 if per_neuron else None) / np.sqrt(top)
        expected = np.clip(np.round(weight.numpy() / scale), -top, top) * scale
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("typical", [False, True])
def test_ternary_weights_are_those_of_two_bits(typical):
    network = random_network([7, 50, 3])
    found, expected = (quantised(network, bits, False, typical) for bits in (1.6, 2))
    assert all(map(torch.equal, found.weights, expected.weights))
    assert len(found.weights[0].unique()) == 3


def test_gradients_pass_a_clock_and_coarse_weights_as_if_they_were_exact():
    drive = torch.tensor([-1.0, 0.3, 2.6, 9.0], requires_grad=True)
    u = clock(2)(drive, Window(1, 1.0, 5.0))  # ticks of 1 in a window of 4
    assert u.tolist() == [0.0, 0.0, 2.0, 4.0]
    u.sum().backward()
    assert drive.grad.tolist() == [0.0, 1.0, 1.0, 0.0]
    weight = torch.tensor([[1.0, -0.2], [0.4, 0.9]], requires_grad=True)
    (coarse,) = quantised(ReluNetwork([weight], [torch.zeros(2)]), 2, False).weights
    (coarse * torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert weight.grad.tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
@pytest.mark.parametrize("fault", RULES)
def test_a_fault_keeps_the_dtype_of_the_pixels(case, fault, dtype):
    _, snn, pixels = case
    found = simulate(snn, pixels.to(dtype), RULES[fault](snn, 0.1, seeded()))
    assert {x.dtype for x in (*found.time_left, found.logits)} == {dtype}
