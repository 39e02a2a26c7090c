import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import random_network, random_pixels

from ttfs import InputError
from ttfs.conversion import convert
from ttfs.network import ReluNetwork
from ttfs.simulation import clock_driven, closed_form
from ttfs.windows import calibrated


def converted(sizes=(12, 20, 15, 4), seed=0):
    network, pixels = random_network(sizes, seed), random_pixels(40, sizes[0], seed)
    return network, convert(network, calibrated(network, pixels)), pixels


def ticked_layer(x, layer, bits, half_tick):
    """Return a layer's time left by testing the threshold at every tick, one after the other."""
    tick = layer.window.length / 2**bits
    potential = x @ layer.synapses.matrix()
    threshold = layer.threshold - (tick / 2 if half_tick else 0)
    time_left = torch.zeros_like(potential)
    for k in range(2**bits):
        met = (potential + k * tick >= threshold) & (time_left == 0)
        time_left[met] = layer.window.length - k * tick
    return time_left


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), bits=st.integers(0, 6), half_tick=st.booleans())
def test_neurons_fire_at_the_tick_at_which_a_stepped_clock_finds_them(seed, bits, half_tick):
    network, snn, pixels = converted(seed=seed)
    ticks = torch.floor(pixels * 2**bits + 0.5 * half_tick) / 2**bits
    simulation = clock_driven(snn, pixels, bits, half_tick)
    x = ticks
    for layer, found in zip(snn.hidden, simulation.time_left, strict=True):
        torch.testing.assert_close(
            found, ticked_layer(x, layer, bits, half_tick), rtol=1e-12, atol=0
        )
        x = found


@pytest.mark.parametrize("half_tick", [False, True])
def test_a_layer_is_the_closed_form_rounded_to_ticks_exactly(half_tick):
    network = random_network([12, 20, 4])
    snn = convert(network, [4.0])
    pixels = (random_pixels(40, 12) * 8).round() / 8  # on the input's own ticks
    free = closed_form(snn, pixels).time_left[0]
    rounded = torch.floor(free / 0.5 + 0.5 * half_tick) * 0.5
    assert torch.equal(clock_driven(snn, pixels, 3, half_tick).time_left[0], rounded)


def test_more_bits_come_closer_to_the_closed_form():
    _, snn, pixels = converted()
    free = closed_form(snn, pixels).logits
    errors = [
        (clock_driven(snn, pixels, bits, True).logits - free).abs().max().item()
        for bits in (2, 6, 10, 14)
    ]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-3


def test_spikes_that_the_clock_loses_are_missing_and_those_it_adds_spurious():
    network = ReluNetwork([[[1.0, 1.0, 1.0]], torch.ones(3, 1)], [[0.2, -0.9, -1.1], [0.0]])
    snn = convert(network, [4.0])  # 1 bit: ticks of 2; activations 1.2, 0.1 and silence
    pixels = torch.ones(1, 1)
    down, nearest = clock_driven(snn, pixels, 1), clock_driven(snn, pixels, 1, half_tick=True)
    assert down.time_left[0].tolist() == [[0.0, 0.0, 0.0]]
    assert (down.audit[0].missing, down.audit[0].spurious) == (2, 0)
    assert nearest.time_left[0].tolist() == [[2.0, 0.0, 0.0]]
    assert (nearest.audit[0].missing, nearest.audit[0].spurious) == (1, 0)


def test_a_saturated_neuron_fires_at_t_min():
    network = ReluNetwork([[[9.0]], [[1.0]]], [[0.0], [0.0]])
    simulation = clock_driven(convert(network, [4.0]), torch.ones(1, 1), 3)
    assert simulation.spike_times[0].item() == 1.0 and simulation.audit[0].saturations == 1


def test_negative_bits_are_refused():
    _, snn, pixels = converted()
    with pytest.raises(InputError, match="bits is -1"):
        clock_driven(snn, pixels, -1)


@pytest.mark.parametrize(("dtype", "finest"), [(torch.float64, 53), (torch.bfloat16, 8)])
def test_a_clock_has_as_many_bits_as_the_dtype_and_no_more(dtype, finest):
    _, snn, pixels = converted()
    assert clock_driven(snn, pixels.to(dtype), finest).logits.dtype == dtype
    with pytest.raises(InputError, match=f"bits is {finest + 1}; .* has 0 to {finest}"):
        clock_driven(snn, pixels.to(dtype), finest + 1)
