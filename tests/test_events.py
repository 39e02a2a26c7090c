from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import random_network, random_pixels, rational_layer, stepped_layer

from ttfs import InputError
from ttfs.coding import encode
from ttfs.conversion import convert
from ttfs.events import _integrate
from ttfs.network import ReluNetwork
from ttfs.simulation import clock_driven, closed_form, event_driven
from ttfs.windows import calibrated, normalise_layers, safe

SIZES = [12, 20, 15, 10, 4]
NEURONS = ("B1", "alpha")


def converted(sizes=SIZES, seed=0, neuron="B1", n_batch=40):
    network, pixels = random_network(sizes, seed), random_pixels(n_batch, sizes[0], seed)
    return network, convert(network, calibrated(network, pixels), neuron), pixels


def assert_same(found, expected, t_max):
    """Spike times equal to rounding in a few hundred operations on times up to t_max."""
    assert torch.equal(torch.isinf(found), torch.isinf(expected))
    fired = torch.isfinite(expected)
    torch.testing.assert_close(found[fired], expected[fired], rtol=0, atol=2000 * np.spacing(t_max))


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("seed", range(3))
def test_event_driven_agrees_with_closed_form_and_relu(neuron, seed):
    network, snn, pixels = converted(seed=seed, neuron=neuron)
    events, formula = event_driven(snn, pixels), closed_form(snn, pixels)
    for found, expected in zip(events.spike_times, formula.spike_times, strict=True):
        assert_same(found, expected, snn.t_read)
    relu = network.logits(pixels)
    torch.testing.assert_close(events.logits, relu, rtol=0, atol=1e-12 * relu.abs().max().item())


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_event_driven_agrees_with_rational_arithmetic(data):
    eighths = st.integers(-24, 24).map(lambda k: Fraction(k, 8))
    n_in, n_out = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 3))
    weight = data.draw(
        st.lists(st.lists(eighths, min_size=n_out, max_size=n_out), min_size=n_in, max_size=n_in)
    )
    bias = data.draw(st.lists(eighths, min_size=n_out, max_size=n_out))
    ticks = data.draw(st.lists(st.integers(0, 8), min_size=n_in, max_size=n_in))
    length = Fraction(data.draw(st.integers(1, 60)), 4)
    neuron, guard = data.draw(st.sampled_from([("B1", True), ("alpha", True), ("alpha", False)]))
    t_in = [Fraction(8 - k, 8) if k else None for k in ticks]
    forced = [Fraction(1) if t is None and neuron == "alpha" else t for t in t_in]
    expected = rational_layer(
        forced, weight, bias, Fraction(0), Fraction(1), 1 + length, neuron == "alpha", guard
    )
    network = ReluNetwork(
        [np.array(weight, dtype=float), np.ones((n_out, 1))],
        [np.array(bias, dtype=float), np.zeros(1)],
    )
    snn = convert(network, [float(length)], neuron)
    pixels = torch.tensor([[k / 8 for k in ticks]], dtype=torch.float64)
    found = event_driven(snn, pixels, guard).spike_times[0][0].tolist()
    # A crossing before t_min divides by a slope: rounded. From t_min on, everything is exact.
    exact = [float("inf") if t is None else float(t) for t in expected]
    assert found == pytest.approx(exact, rel=0, abs=0 if guard else 1e-14)


@pytest.mark.parametrize("neuron", NEURONS)
def test_event_driven_agrees_with_a_stepped_neuron_to_first_order(neuron):
    _, snn, pixels = converted([6, 8, 3], neuron=neuron)
    layer = snn.hidden[0]
    t_in = np.minimum(encode(pixels[0]).numpy(), layer.t_min)
    exact = event_driven(snn, pixels[:1]).spike_times[0][0].numpy()
    errors = []
    for dt in (1 / 64, 1 / 256, 1 / 1024):
        stepped = stepped_layer(t_in, layer, dt)
        both = np.isfinite(stepped) & np.isfinite(exact)
        errors.append(np.abs(stepped[both] - exact[both]).max())
    assert errors[2] < errors[1] < errors[0] and errors[2] < errors[0] / 8


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), neuron=st.sampled_from(NEURONS))
def test_spike_times_shift_with_the_clock(seed, neuron):
    # The same second layer behind a longer first window: everything later moves by the difference.
    network, pixels = random_network([8, 10, 6, 3], seed), random_pixels(5, 8, seed)
    lengths = calibrated(network, pixels)
    once = event_driven(convert(network, lengths, neuron), pixels)
    later = event_driven(convert(network, [lengths[0] + 7.5, lengths[1]], neuron), pixels)
    for found, expected in zip(later.spike_times, once.spike_times, strict=True):
        assert_same(found - 7.5, expected, 10 + sum(lengths))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), neuron=st.sampled_from(NEURONS))
def test_permuting_inputs_and_neurons_permutes_spikes(seed, neuron):
    network, pixels = random_network([8, 10, 3], seed), random_pixels(5, 8, seed)
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (torch.randperm(n, generator=generator) for n in (8, 10))
    permuted = ReluNetwork(
        [network.weights[0][rows][:, columns], network.weights[1][columns]],
        [network.biases[0][columns], network.biases[1]],
    )
    lengths = calibrated(network, pixels)
    found = event_driven(convert(permuted, lengths, neuron), pixels[:, rows])
    expected = event_driven(convert(network, lengths, neuron), pixels)
    assert_same(found.spike_times[0], expected.spike_times[0][:, columns], 1 + lengths[0])
    torch.testing.assert_close(found.logits, expected.logits, rtol=0, atol=1e-11)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), source=st.integers(0, 7), gain=st.floats(0.01, 0.5))
def test_an_earlier_excitatory_input_never_delays_a_spike(seed, source, gain):
    network, pixels = random_network([8, 10, 3], seed), random_pixels(5, 8, seed)
    network.weights[0][source] = network.weights[0][source].abs()
    earlier = pixels.clone()
    earlier[:, source] = (earlier[:, source] + gain).clamp(max=1)
    snn = convert(network, calibrated(network, torch.cat([pixels, earlier])))
    before, after = (event_driven(snn, x).spike_times[0] for x in (pixels, earlier))
    assert (after <= before + 1e-12).all()


def test_simultaneous_spikes_may_come_in_any_order():
    network = random_network([6, 9, 2])
    snn = convert(network, [5.0])
    pixels = torch.full((1, 6), 0.5, dtype=torch.float64)
    found, expected = event_driven(snn, pixels), closed_form(snn, pixels)
    assert_same(found.spike_times[0], expected.spike_times[0], 6.0)


@pytest.mark.parametrize("neuron", NEURONS)
def test_a_crossing_exactly_at_t_max_is_silent_and_one_at_t_min_fires_there(neuron):
    network = ReluNetwork([[[4.0, 0.0, -1.0]], [[1.0], [1.0], [1.0]]], [[0.0] * 3, [0.0]])
    times = event_driven(convert(network, [4.0], neuron), torch.ones(1, 1)).spike_times[0]
    assert times.tolist() == [[1.0, float("inf"), float("inf")]]


def test_a_white_pixel_fires_when_the_image_begins():
    network = ReluNetwork([[[1.5]], [[1.0]]], [[0.0], [0.0]])
    assert event_driven(convert(network, [2.0]), torch.ones(1, 1)).spike_times[0].item() == 1.5


def test_saturations_are_counted_by_both_engines():
    network, _, pixels = converted()
    snn = convert(network, [1.0, 1.0, 1.0])
    events, formula = event_driven(snn, pixels), closed_form(snn, pixels)
    for a, b in zip(events.audit, formula.audit, strict=True):
        assert (a.saturations, a.spikes) == (b.saturations, b.spikes)
        assert a.largest_activation == pytest.approx(b.largest_activation, rel=1e-12)
    assert sum(layer.saturations for layer in events.audit) > 0


def test_alpha_fires_before_t_min_without_the_guard_and_is_caught():
    # Input 1 (white) fires at 0 and excites by 3, input 2 at 0.5 and inhibits by 5: alpha = 3, so
    # V rises with slope 6 to 3 at 0.5 and with slope 1 to 3.5 at t_min; theta = 1 - 0.75 + 3.
    network = ReluNetwork([[[3.0], [-5.0]], [[1.0]]], [[0.75], [0.0]])
    pixels = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    snn = convert(network, [1.0], "alpha")
    assert snn.hidden[0].threshold.item() == 1 - 0.75 + 3
    free, guarded = event_driven(snn, pixels, guard=False), event_driven(snn, pixels)
    assert free.spike_times[0].item() == 0.75  # 3 + (t - 0.5) = 3.25
    assert free.time_left[0].item() == 1.25  # t_max - t: more than the window
    assert guarded.spike_times[0].item() == 1.0  # 3.5 > 3.25 at t_min: a saturation
    assert (free.audit[0].premature, free.audit[0].spurious) == (1, 0)
    assert (guarded.audit[0].premature, guarded.audit[0].saturations) == (0, 1)


def test_a_premature_spike_of_a_neuron_that_should_stay_silent_is_spurious():
    # Weights 3, -8 and 6 (of a black pixel, forced at t_min): alpha = 0 and theta = 1.25. V rises
    # with slope 3 to 1.5 at 0.5, meeting theta at 5/12, and falls with slope -5 to -1 at t_min.
    network = ReluNetwork([[[3.0], [-8.0], [6.0]], [[1.0]]], [[0.0], [0.0]])
    pixels = torch.tensor([[1.0, 0.5, 0.0]], dtype=torch.float64)
    snn = convert(network, [1.25], "alpha")
    free, guarded = event_driven(snn, pixels, guard=False), event_driven(snn, pixels)
    assert free.spike_times[0].item() == pytest.approx(5 / 12, abs=1e-15)
    assert (free.audit[0].premature, free.audit[0].spurious) == (1, 1)
    assert guarded.spike_times[0].item() == float("inf")
    assert (guarded.audit[0].held_back, guarded.audit[0].violations) == (1, 0)


def test_a_threshold_below_rest_is_met_at_the_start():
    network = ReluNetwork([[[20.0]], [[1.0]]], [[0.0], [0.0]])
    snn = convert(network, [10.0], "alpha")  # alpha = -19: theta = 10 - 19 < 0
    free = event_driven(snn, torch.tensor([[0.25]], dtype=torch.float64), guard=False)
    assert free.spike_times[0].item() == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_no_alpha_neuron_fires_early_in_safe_windows(seed):
    network, pixels = random_network([12, 20, 15, 4], seed), random_pixels(60, 12, seed)
    snn = convert(network, safe(network), "alpha")
    found = event_driven(snn, pixels, guard=False)
    assert all(layer.violations == 0 for layer in found.audit)
    relu = network.logits(pixels)
    torch.testing.assert_close(found.logits, relu, rtol=0, atol=1e-9 * relu.abs().max().item())


def test_tight_windows_do_make_alpha_neurons_fire_early():
    premature = []
    for seed in range(5):
        network, pixels = random_network([12, 20, 15, 4], seed), random_pixels(60, 12, seed)
        lengths = [length / 2 for length in calibrated(network, pixels, margin=0)]
        found = event_driven(convert(network, lengths, "alpha"), pixels, guard=False)
        premature.append(sum(layer.premature for layer in found.audit))
    assert min(premature) > 10


def test_traces_begin_at_t_start_in_both_neurons_and_time_never_runs_backwards():
    network, pixels = random_network(SIZES), random_pixels(1, SIZES[0])
    for neuron in NEURONS:
        snn = convert(network, calibrated(network, pixels), neuron)
        free = event_driven(snn, pixels, guard=neuron == "B1", traced=[(1, 0), (2, 3)])
        for (layer, _), curve in free.traces.items():
            times, potential = curve.T.numpy()
            assert (np.diff(times) >= 0).all()
            assert times[0] <= snn.hidden[layer - 1].t_start and potential[0] == 0


def test_trace_is_the_potential_that_decides():
    _, snn, pixels = converted()
    free = event_driven(snn, pixels[:1])
    neuron = int(free.spike_times[1][0].argmin())
    simulation = event_driven(snn, pixels[:1], traced=[(2, neuron), (1, 0)])
    assert set(simulation.traces) == {(2, neuron), (1, 0)}
    times, potential = simulation.traces[2, neuron].T.numpy()
    layer = snn.hidden[1]
    assert (np.diff(times) >= 0).all() and times[-1] == pytest.approx(layer.t_max)
    met = np.interp(free.spike_times[1][0, neuron].item(), times, potential)
    assert met == pytest.approx(layer.threshold[neuron].item(), rel=1e-12)
    after = times >= layer.t_min - 1e-12
    slopes = np.diff(potential[after]) / np.diff(times[after])
    assert slopes == pytest.approx(1.0)


def test_a_trace_has_a_corner_at_every_input_spike():
    # Inputs at 0 and 0.5, weights 3 and -5, own slope 3: 6 until 0.5, then 1 as in the window.
    network = ReluNetwork([[[3.0], [-5.0]], [[1.0]]], [[0.75], [0.0]])
    pixels = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    simulation = event_driven(convert(network, [1.0], "alpha"), pixels, traced=[(1, 0)])
    corners = dict.fromkeys(map(tuple, simulation.traces[1, 0].tolist()))
    assert list(corners) == [(0.0, 0.0), (0.5, 3.0), (1.0, 3.5), (2.0, 4.5)]


@pytest.mark.parametrize("simulate", [event_driven, closed_form], ids=lambda f: f.__name__)
def test_weights_are_rounded_to_the_dtype_of_the_pixels(simulate):
    network, pixels = random_network([12, 20, 4]), random_pixels(40, 12).float()
    exact = [weight / 3 for weight in network.weights]
    biases = [torch.zeros(20), torch.zeros(4)]
    found, rounded = (
        simulate(convert(ReluNetwork(weights, biases), [4.0]), pixels)
        for weights in (exact, [weight.float() for weight in exact])
    )
    assert torch.equal(found.time_left[0], rounded.time_left[0])
    assert torch.equal(found.logits, rounded.logits)


def test_batches_larger_than_the_engines_own_give_the_same(monkeypatch):
    _, snn, pixels = converted()
    whole = event_driven(snn, pixels)
    monkeypatch.setattr("ttfs.events.BATCH", 7)
    parts = event_driven(snn, pixels)
    torch.testing.assert_close(parts.logits, whole.logits, rtol=0, atol=1e-13)
    assert all(torch.equal(a, b) for a, b in zip(parts.spike_times, whole.spike_times, strict=True))


def test_unusable_arguments_are_refused():
    _, snn, pixels = converted()
    with pytest.raises(InputError, match="no unguarded form"):
        event_driven(snn, pixels, guard=False)
    with pytest.raises(InputError, match="traced for one image, not 40"):
        event_driven(snn, pixels, traced=[(1, 0)])
    for key in ((0, 0), (4, 0), (1, 20), (2, 15), (1, -1)):
        with pytest.raises(InputError, match="to trace"):
            event_driven(snn, pixels[:1], traced=[key])


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_depth_64_changes_no_label_in_normalised_windows(neuron, dtype):
    network, pixels = random_network([20] + 63 * [40] + [5]), random_pixels(50, 20)
    lengths = calibrated(network, pixels)
    snn = convert(normalise_layers(network, lengths), 63 * [1.0], neuron)
    relu = network.logits(pixels).argmax(1)
    assert torch.equal(closed_form(snn, pixels.to(dtype)).predictions, relu)
    if neuron == "B1":
        assert torch.equal(event_driven(snn, pixels.to(dtype)).predictions, relu)


def test_a_saturated_alpha_neuron_is_not_counted_as_held_back():
    # As above: the guarded neuron crosses early, and is above the threshold at t_min still.
    network = ReluNetwork([[[3.0], [-5.0]], [[1.0]]], [[0.75], [0.0]])
    pixels = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    audit = event_driven(convert(network, [1.0], "alpha"), pixels).audit[0]
    assert (audit.saturations, audit.held_back) == (1, 0)


@pytest.mark.parametrize(("theta", "expected"), [(19.0, 15.0), (3.0, 1.0)])
def test_a_potential_already_above_the_threshold_fires_at_t_start(theta, expected):
    # Layer 1 (theta = 10 - 19 < 0) fires at 0. The input weight of layer 2 is 5, so its potential
    # is 5 at its t_start, 1, where its own slope alpha = 1 - 5 = -4 begins; then its slope is 1.
    bias = 59.0 - 4 * 10 - theta
    network = ReluNetwork([[[20.0]], [[5.0]], [[1.0]]], [[0.0], [bias], [0.0]])
    snn = convert(network, [10.0, 59.0], "alpha")
    assert snn.hidden[1].threshold.item() == theta
    free = event_driven(snn, torch.tensor([[0.25]], dtype=torch.float64), guard=False)
    assert [times.item() for times in free.spike_times] == [0.0, expected]


def test_there_is_no_threshold_before_t_start():
    # Inputs at -1 (weight 5) and -0.5 (-20), own slope (4) from 0, t_start: the potential is 2.5 at
    # -0.5, above the threshold, and -5 at 0.
    weight, times = torch.tensor([[5.0], [-20.0], [4.0]]), torch.tensor([[-1.0, -0.5, 0.0]])

    def spread(slopes, sources):
        slopes.add_(weight[sources])

    potential, slope, first = _integrate(spread, 1, times, 1.0, torch.tensor([2.0]), [])
    assert (potential.item(), slope.item(), first.item()) == (-16.0, -11.0, float("inf"))


def test_pixels_that_do_not_fit_are_refused_by_every_simulator():
    _, snn, pixels = converted()
    for simulate in (event_driven, closed_form, lambda s, x: clock_driven(s, x, 3)):
        for bad in (pixels[:, :-1], torch.cat([pixels, pixels], 1), pixels[0]):
            with pytest.raises(InputError, match=r"not \(n_batch, "):
                simulate(snn, bad)


@pytest.mark.parametrize("neuron", NEURONS)
def test_no_image_gives_no_spike_and_no_label(neuron):
    network, pixels = random_network([6, 8, 5, 3]), torch.zeros(0, 6)
    for net in (network, random_network([6, 3])):
        snn = convert(net, [9.0] * (net.depth - 1), neuron)
        for simulate in (event_driven, closed_form, lambda s, x: clock_driven(s, x, 3)):
            found = simulate(snn, pixels)
            assert found.logits.shape == (0, 3)
            assert all(layer.images == layer.spikes == 0 for layer in found.audit)


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("simulate", [event_driven, closed_form], ids=lambda f: f.__name__)
def test_times_beyond_the_dtype_are_counted_as_overflows(neuron, simulate):
    network, pixels = random_network([6, 8, 3]), random_pixels(5, 6)
    snn = convert(network, [1e5], neuron)  # float16 ends at 65,504
    (audit,) = simulate(snn, pixels.half()).audit
    assert audit.overflows > 0 and audit.violations >= audit.overflows
    (audit,) = simulate(snn, pixels).audit
    assert audit.violations == 0
