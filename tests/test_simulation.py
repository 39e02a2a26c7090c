from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import random_network, random_pixels, rational_layer, stepped_layer

from ttfs import InputError
from ttfs.coding import decode, encode
from ttfs.conversion import convert
from ttfs.network import ReluNetwork
from ttfs.outcome import LayerAudit
from ttfs.simulation import clock_driven, closed_form, event_driven, simulator
from ttfs.windows import calibrated

SIZES = [12, 20, 15, 10, 4]
EVERY_WAY = [(n, t) for n in ("B1", "alpha") for t in ("window", "absolute")]


def converted(sizes=SIZES, seed=0, neuron="B1", n_batch=40):
    network, pixels = random_network(sizes, seed), random_pixels(n_batch, sizes[0], seed)
    return network, convert(network, calibrated(network, pixels), neuron), pixels


@pytest.mark.parametrize("time", ["window", "absolute"])
def test_two_inputs_and_one_neuron_by_hand(time):
    # Inputs 0.5 and 0.25 fire at 0.5 and 0.75; x @ W + b = 0.5 * 2 - 0.25 * 3 + 0.25 = 0.5.
    # The window is [1, 5): theta = 4 - 0.25 = 3.75, V(1) = 0.25, crossing at 1 + 3.5 = 4.5.
    network = ReluNetwork([[[2.0], [-3.0]], [[-1.0]]], [[0.25], [10.0]])
    simulation = closed_form(convert(network, [4.0]), torch.tensor([[0.5, 0.25]]), time)
    assert simulation.spike_times[0].tolist() == [[4.5]]
    assert simulation.logits.tolist() == [[9.5]]


@pytest.mark.parametrize(("neuron", "time"), EVERY_WAY)
def test_decoded_spike_times_equal_relu(neuron, time):
    network, snn, pixels = converted(neuron=neuron)
    simulation = closed_form(snn, pixels, time)
    for layer, times, activation in zip(
        snn.hidden, simulation.spike_times, network.activations(pixels), strict=True
    ):
        # A spike time is rounded to half an ulp of t_max; a few roundings per layer, three layers.
        atol = 40 * np.spacing(snn.t_read)
        torch.testing.assert_close(decode(times, layer.t_max), activation, rtol=0, atol=atol)
        assert torch.equal(torch.isinf(times), activation == 0)
    torch.testing.assert_close(simulation.logits, network.logits(pixels), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("neuron", "time"), EVERY_WAY)
def test_spikes_lie_inside_their_windows(neuron, time):
    _, snn, pixels = converted(neuron=neuron)
    for layer, times in zip(snn.hidden, closed_form(snn, pixels, time).spike_times, strict=True):
        fired = times[torch.isfinite(times)]
        assert len(fired) and fired.min() >= layer.t_min and fired.max() < layer.t_max


@pytest.mark.parametrize("neuron", ["B1", "alpha"])
def test_closed_form_agrees_with_a_stepped_neuron_to_first_order(neuron):
    _, snn, pixels = converted([6, 8, 3], neuron=neuron)
    layer = snn.hidden[0]
    t_in = encode(pixels[0]).numpy()
    stepped_in = np.where(np.isinf(t_in), layer.t_min, t_in)  # forced, or of no account: 0 duration
    exact = closed_form(snn, pixels[:1], "absolute").spike_times[0][0].numpy()
    errors = []
    for dt in (1 / 64, 1 / 256, 1 / 1024):
        stepped = stepped_layer(stepped_in, layer, dt)
        both = np.isfinite(stepped) & np.isfinite(exact)
        errors.append(np.abs(stepped[both] - exact[both]).max())
        assert errors[-1] <= dt * (2 + layer.synapses.matrix().abs().sum(0).max().item())
    assert errors[2] < errors[0] / 8


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_closed_form_agrees_with_rational_arithmetic(data):
    # Eighths are exact in binary, so that the float64 result must equal the rational one exactly.
    eighths = st.integers(-24, 24).map(lambda k: Fraction(k, 8))
    n_in, n_out = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    weight = data.draw(
        st.lists(st.lists(eighths, min_size=n_out, max_size=n_out), min_size=n_in, max_size=n_in)
    )
    bias = data.draw(st.lists(eighths, min_size=n_out, max_size=n_out))
    pixels = [
        Fraction(k, 8) for k in data.draw(st.lists(st.integers(0, 8), min_size=n_in, max_size=n_in))
    ]
    length = Fraction(data.draw(st.integers(1, 60)), 4)
    neuron = data.draw(st.sampled_from(["B1", "alpha"]))
    t_in = [1 - x if x > 0 else None for x in pixels]
    forced = [Fraction(1) if t is None and neuron == "alpha" else t for t in t_in]
    expected = rational_layer(
        forced, weight, bias, Fraction(0), Fraction(1), 1 + length, neuron == "alpha"
    )
    network = ReluNetwork(
        [np.array(weight, dtype=float), np.ones((n_out, 1))],
        [np.array(bias, dtype=float), np.zeros(1)],
    )
    snn = convert(network, [float(length)], neuron)
    for time in ("window", "absolute"):
        x = torch.tensor([[float(v) for v in pixels]], dtype=torch.float64)
        found = closed_form(snn, x, time).spike_times[0][0].tolist()
        assert found == [float("inf") if t is None else float(t) for t in expected]


@pytest.mark.parametrize("time", ["window", "absolute"])
def test_a_preactivation_of_exactly_zero_is_silent(time):
    network = ReluNetwork([[[1.0], [-2.0]], [[1.0]]], [[0.0], [0.0]])
    simulation = closed_form(convert(network, [4.0]), torch.tensor([[0.5, 0.25]]), time)
    assert simulation.spike_times[0].item() == float("inf")


@pytest.mark.parametrize("time", ["window", "absolute"])
def test_an_activation_above_the_window_fires_at_t_min_and_is_counted(time):
    network = ReluNetwork([[[6.0, 4.0, 1.0]], torch.ones(3, 1)], [[0.0] * 3, [0.0]])
    simulation = closed_form(convert(network, [4.0]), torch.tensor([[1.0]]), time)
    assert simulation.spike_times[0].tolist() == [[1.0, 1.0, 4.0]]
    audit = simulation.audit[0]
    assert audit.saturations == 1  # 4 fits its window exactly, 6 does not
    assert audit.largest_activation == 6.0
    assert audit.used_fraction == 1.0
    assert simulation.logits.item() == 4 + 4 + 1


def test_a_silent_layer_hands_on_nothing_but_biases():
    network = ReluNetwork(
        [torch.ones(2, 3), torch.ones(3, 4), torch.ones(4, 1)],
        [torch.full((3,), -9.0), torch.tensor([-1.0, 0.0, 0.5, 2.0]), torch.tensor([0.25])],
    )
    simulation = closed_form(convert(network, [1.0, 3.0]), torch.ones(2, 2))
    assert torch.isinf(simulation.spike_times[0]).all()
    assert simulation.spike_times[1].tolist() == 2 * [[float("inf"), float("inf"), 4.5, 3.0]]
    assert simulation.logits.flatten().tolist() == [2.75, 2.75]
    assert simulation.audit[0].dead_neurons == 3 and simulation.audit[0].used_fraction == 0.0


def test_a_silent_input_contributes_nothing():
    network, snn, pixels = converted()
    wider = ReluNetwork(
        [torch.cat([network.weights[0], 1e3 * torch.ones(3, 20)]), *network.weights[1:]],
        network.biases,
    )
    windows = [layer.window.length for layer in snn.hidden]
    padded = torch.cat([pixels, torch.zeros(len(pixels), 3)], dim=1)
    found = closed_form(convert(wider, windows), padded).logits
    torch.testing.assert_close(found, closed_form(snn, pixels).logits, rtol=0, atol=1e-12)


def test_permuting_neurons_permutes_spike_times():
    network, snn, pixels = converted()
    order = torch.randperm(20, generator=torch.Generator().manual_seed(3))
    permuted = ReluNetwork(
        [network.weights[0][:, order], network.weights[1][order], *network.weights[2:]],
        [network.biases[0][order], *network.biases[1:]],
    )
    windows = [layer.window.length for layer in snn.hidden]
    found, expected = closed_form(convert(permuted, windows), pixels), closed_form(snn, pixels)
    torch.testing.assert_close(found.spike_times[0], expected.spike_times[0][:, order])
    torch.testing.assert_close(found.logits, expected.logits, rtol=0, atol=1e-12)


def test_an_earlier_excitatory_input_never_delays_a_spike():
    network = random_network([12, 20, 4])
    network = ReluNetwork([w.abs() for w in network.weights], network.biases)
    pixels = random_pixels(40, 12)
    snn = convert(network, calibrated(network, torch.ones(1, 12)))
    later = closed_form(snn, pixels).spike_times[0]
    earlier = closed_form(snn, (pixels + 0.1).clamp(max=1)).spike_times[0]
    assert (earlier <= later).all() and (earlier < later).any()


def test_windows_longer_than_needed_change_nothing_but_the_clock():
    network, _, pixels = converted()
    short, long = (convert(network, [length] * 3) for length in (50.0, 800.0))
    torch.testing.assert_close(
        closed_form(short, pixels).logits, closed_form(long, pixels).logits, rtol=0, atol=0
    )


def test_window_relative_time_keeps_float32_precise_in_late_windows():
    network, _, pixels = converted()
    snn = convert(network, [1500.0] * 3)
    exact = network.logits(pixels)
    errors = {
        time: (closed_form(snn, pixels.float(), time).logits.double() - exact).abs().max().item()
        for time in ("window", "absolute")
    }
    assert errors["window"] < 1e-5 < 1e-4 < errors["absolute"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("time", ["window", "absolute"])
def test_dtype_of_the_pixels_decides_everything(dtype, time):
    _, snn, pixels = converted()
    simulation = closed_form(snn, pixels.to(dtype), time)
    tensors = [*simulation.spike_times, *simulation.time_left, simulation.logits]
    assert {tensor.dtype for tensor in tensors} == {dtype}


def test_a_batch_of_one_equals_its_row_of_the_batch():
    _, snn, pixels = converted()
    one, all_ = closed_form(snn, pixels[3:4]), closed_form(snn, pixels)
    torch.testing.assert_close(one.logits[0], all_.logits[3], rtol=0, atol=1e-13)


def test_spike_times_are_differentiable_down_to_the_parameters():
    network, pixels = random_network([6, 8, 3]), random_pixels(5, 6)
    relu_gradients, snn_gradients = [], []
    for run, kept in ((network.logits, relu_gradients), (None, snn_gradients)):
        weights = [w.clone().requires_grad_() for w in network.weights]
        copied = ReluNetwork(weights, network.biases)
        logits = (
            copied.logits(pixels)
            if run
            else closed_form(convert(copied, [50.0]), pixels, "absolute").logits
        )
        logits.square().sum().backward()
        kept += [w.grad for w in weights]
    for expected, found in zip(relu_gradients, snn_gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


def test_audits_of_batches_add_up_to_that_of_the_whole():
    network, _, pixels = converted()
    snn = convert(network, [1.0, 1.0, 1.0])  # short: saturates
    whole = closed_form(snn, pixels).audit
    first, second = closed_form(snn, pixels[:15]).audit, closed_form(snn, pixels[15:]).audit
    assert sum(layer.saturations for layer in whole) > 0
    for a, b, total in zip(first, second, whole, strict=True):
        added = a + b
        assert (added.spikes, added.saturations, added.images, added.dead_neurons) == (
            total.spikes,
            total.saturations,
            40,
            total.dead_neurons,
        )
        assert added.largest_activation == pytest.approx(total.largest_activation, rel=1e-14)


def test_inputs_are_not_modified():
    network, snn, pixels = converted()
    before = pixels.clone(), network.weights[0].clone()
    closed_form(snn, pixels, "absolute")
    assert torch.equal(before[0], pixels) and torch.equal(before[1], network.weights[0])


def test_an_unknown_time_convention_is_refused():
    _, snn, pixels = converted()
    with pytest.raises(InputError, match="unknown time convention 'ms'"):
        closed_form(snn, pixels, "ms")


def test_every_count_of_two_audits_is_added():
    counts = dict(saturations=3, premature=5, held_back=7, spurious=11, missing=13, overflows=17)
    first = LayerAudit(2.0, 10, torch.tensor([0, 1, 4]), largest_activation=1.5, **counts)
    more = {name: 100 * count for name, count in counts.items()}
    second = LayerAudit(2.0, 20, torch.tensor([0, 0, 9]), largest_activation=0.5, **more)
    found = (first + second).row()
    assert {name: found[name] for name in counts} == {n: 101 * c for n, c in counts.items()}
    assert (found["images"], found["spikes"], found["used_fraction"]) == (30, 14, 0.75)
    assert found["dead_neurons"] == 1  # a single spike is a life
    assert (first + second).violations == 101 * (3 + 5 + 11 + 13 + 17)


ENGINES = {
    "closed-form": closed_form,
    "closed-form:absolute": lambda snn, x: closed_form(snn, x, "absolute"),
    "event-driven": event_driven,
    "event-driven:unguarded": lambda snn, x: event_driven(snn, x, guard=False),
    "clock:3": lambda snn, x: clock_driven(snn, x, 3),
    "clock:12": lambda snn, x: clock_driven(snn, x, 12),
    "clock:3:half-tick": lambda snn, x: clock_driven(snn, x, 3, half_tick=True),
}


def test_every_engine_is_the_one_that_its_words_name():
    network, pixels = random_network(SIZES), random_pixels(40, SIZES[0]).float()
    short = [length / 2 for length in calibrated(network, pixels, margin=0)]
    snn = convert(network, short, "alpha")  # some neurons fire before t_min if they may
    found = {engine: simulator(engine)(snn, pixels).logits for engine in ENGINES}
    for engine, simulate in ENGINES.items():
        assert torch.equal(found[engine], simulate(snn, pixels).logits), engine
    assert len({tuple(logits.flatten().tolist()) for logits in found.values()}) == len(ENGINES)


@pytest.mark.parametrize("engine", ["", "clock", "clock:123", "clock:-1", "clock:3:late", "events"])
def test_words_that_name_no_engine_are_refused_with_those_that_do(engine):
    with pytest.raises(InputError, match=f"unknown engine '{engine}': choose from closed-form, "):
        simulator(engine)
