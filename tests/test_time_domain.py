"""Training in the time domain: gradients, windows that follow, normalisation, what is delivered."""

import pytest
import torch
from oracles import random_network, random_pixels
from pipeline import learning_rates
from torch import nn

from ttfs import InputError
from ttfs.affine import Affine
from ttfs.conversion import SpikingLayer, convert
from ttfs.datasets import Split, load_dataset
from ttfs.hardware import Hardware
from ttfs.imperfections import clock, jitter, loss
from ttfs.network import Layer, ReluNetwork
from ttfs.simulation import absolute_drive, clock_driven, closed_form, simulate
from ttfs.time_domain import AsRelu, TimeDomain, effective_share, mean_activation
from ttfs.training import architecture, initial_network, train
from ttfs.tuning import clock_lengths
from ttfs.windows import calibrated

SETTINGS = {"epochs": 2, "batch_size": 64, "learning_rate": 1e-3}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


def start_of(sizes=(784, 30, 20, 10), seed=0):
    return initial_network(list(sizes), seeded(seed))


def in_float64(network):
    return ReluNetwork([w.double() for w in network.weights], [b.double() for b in network.biases])


def trained(digits, start, through, **settings):
    return train(start, *digits[:2], through=through, generator=seeded(1), **SETTINGS | settings)


def leaves(network):
    """Return a copy of a network of which every number wants a gradient, and the numbers."""
    numbers = []

    def leaf(tensor):
        numbers.append(tensor.clone().requires_grad_())
        return numbers[-1]

    layers = [Layer(layer.synapses.changed(leaf, leaf)) for layer in network.layers]
    return ReluNetwork.of_layers(layers), numbers


@pytest.mark.parametrize("drive", [SpikingLayer.drive, absolute_drive])
def test_gradients_through_spikes_are_those_of_the_relu_network(drive):
    network, pixels = random_network([12, 20, 15, 4]), random_pixels(40, 12)
    labels = torch.arange(40) % 4
    relu, relu_numbers = leaves(network)
    nn.functional.cross_entropy(relu.logits(pixels), labels).backward()
    own, own_numbers = leaves(network)
    through = TimeDomain(calibrated(network, pixels), seeded(), drive=drive)
    nn.functional.cross_entropy(through(own, pixels)[0], labels).backward()
    for one, other in zip(own_numbers, relu_numbers, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-13)
        assert other.grad.abs().max() > 0


def test_a_network_trained_as_spikes_is_the_one_trained_as_relu(digits):
    start = in_float64(start_of())
    lengths = calibrated(start, digits[0].images)
    relu = trained(digits, start, AsRelu())
    for drive, largest in ((SpikingLayer.drive, 1e-13), (absolute_drive, 1e-9)):
        found = trained(digits, start, TimeDomain(lengths, seeded(), drive=drive))
        assert found.history == relu.history
        for one, other in zip(found.network.weights, relu.network.weights, strict=True):
            assert (one - other).abs().max() <= largest
        first = start.weights[0]
        assert (found.network.weights[0] - first).abs().max() > 1e-3


def test_the_clock_passes_the_gradient_of_the_exact_rule():
    window = convert(random_network([2, 3, 1]), [4.0]).hidden[0].window
    drive = torch.tensor([-1.0, -0.4, 0.3, 2.2, 3.9, 4.4], dtype=torch.float64, requires_grad=True)
    u = clock(1, half_tick=True)(drive, window)
    assert u.tolist() == [0, 0, 0, 2, 4, 4]
    u.sum().backward()
    assert drive.grad.tolist() == [0, 0, 1, 1, 1, 0]


def test_lost_spikes_pass_no_gradient_and_jittered_ones_do():
    window = convert(random_network([2, 3, 1]), [4.0]).hidden[0].window
    drive = torch.full((500,), 2.0, requires_grad=True)
    lost = loss(0.5, seeded())(drive, window)
    lost.sum().backward()
    assert torch.equal(drive.grad, (lost > 0).float()) and 0.4 < drive.grad.mean() < 0.6
    drive.grad = None
    jitter(0.01, seeded())(drive, window).sum().backward()
    assert (drive.grad == 1).all()


def test_coarse_weights_pass_the_gradient_of_the_exact_ones():
    network, pixels = random_network([12, 20, 4]), random_pixels(40, 12)
    own, numbers = leaves(network)
    coarse = Hardware(weight_bits=1.6).network(own)
    assert all(len(w.unique()) <= 3 * w.shape[1] for w in coarse.weights)
    coarse.logits(pixels).square().sum().backward()
    weights = [weight.detach() for weight in coarse.weights]
    already, expected = leaves(ReluNetwork(weights, network.biases))
    already.logits(pixels).square().sum().backward()
    for one, other in zip(numbers, expected, strict=True):
        assert torch.equal(one.grad, other.grad) and other.grad.abs().max() > 0


def test_ternary_weights_have_one_magnitude_per_neuron():
    weight = torch.tensor([[1.0, 10.0], [-0.2, 0.0], [0.4, 30.0], [-2.4, -20.0]])
    network = ReluNetwork([weight], [[0.0, 0.0]])
    (found,) = Hardware(weight_bits=1.6).network(network).weights
    # 2 mean|w| = 2 and 30: weights nearer to it than to 0 become it.
    assert found.tolist() == pytest.approx(torch.tensor([[0.0, 0], [0, 0], [0, 30], [-2, -30]]))


@pytest.mark.parametrize("factor", [0.1, 10.0])
@pytest.mark.parametrize("q", [0.9, 1.0])
def test_windows_follow_the_activations_shorter_and_longer(q, factor):
    network, pixels = random_network([12, 20, 15, 4]), random_pixels(200, 12)
    settled = TimeDomain.starting(network, pixels, seeded(), q=q)
    through = TimeDomain([factor * length for length in settled.lengths], seeded(), q=q)
    before = list(through.lengths)
    for _ in range(300):
        through(network, pixels)
    snn = convert(network, through.lengths)
    u, layer = pixels, 0
    for spiking in snn.hidden:
        drive, u = spiking.drive(u), spiking.drive(u).clamp(0, through.lengths[layer])
        kept = drive[:32][drive[:32] > 0]
        suits = 1.5 * drive.max() if q == 1 else kept.quantile(q, interpolation="higher")
        assert through.lengths[layer] == pytest.approx(suits.item(), rel=0.02)
        assert (through.lengths[layer] > before[layer]) == (factor < 1)
        layer += 1


def test_a_window_that_holds_every_spike_grows_at_once():
    network, pixels = random_network([12, 20, 4]), random_pixels(200, 12)
    through = TimeDomain([1e-3], seeded())
    through(network, pixels)
    assert through.lengths[0] == pytest.approx(1.5 * network.activations(pixels)[0].max().item())


def test_windows_chosen_for_a_clock_stay_while_the_network_learns():
    network, pixels = random_network([12, 20, 15, 4]), random_pixels(200, 12)
    hardware = Hardware(ticks=2, weight_bits=4)
    through = TimeDomain.on_clock(network, pixels[:150], pixels[150:], seeded(), hardware)
    chosen = clock_lengths(hardware.network(network), pixels[:150], pixels[150:], 1)
    assert through.lengths == pytest.approx(chosen, rel=1e-9) and through.hardware == hardware
    chosen = list(through.lengths)
    for _ in range(20):
        through(random_network([12, 20, 15, 4], seed=3), pixels)
    assert through.lengths == chosen


def test_windows_of_a_clock_are_chosen_once_more_when_training_ends(digits):
    start, hardware, offered = start_of(), Hardware(ticks=2), []
    for spoilt in (1e-3, 1.0):
        images = digits[0].images, digits[1].images
        through = TimeDomain.on_clock(start, *images, seeded(), hardware)
        through.lengths = [spoilt * length for length in through.lengths]
        through.windows = lambda *a, own=through: (
            offered.append(TimeDomain.windows(own, *a)) or offered[-1]
        )
        found = trained(digits, start, through, epochs=3)
        right = [
            int((through.answer(found.network, own, images[1]).argmax(1) == digits[1].labels).sum())
            for own in offered[-1]
        ]
        assert found.correct == max(right) and len(right) == 2
        assert found.windows == offered[-1][right.index(max(right))]
        assert offered[-1][0] == through.lengths
        assert offered[-1][1] == pytest.approx(clock_lengths(found.network, *images, 1), rel=1e-4)
    assert right[0] > 50


@pytest.mark.parametrize("q", [0.9, 1.0])
def test_a_layer_without_spikes_keeps_its_window(q):
    network = ReluNetwork([torch.zeros(3, 2), torch.ones(2, 1)], [[-1.0, -1.0], [0.0]])
    through = TimeDomain([2.0], seeded(), q=q)
    for _ in range(100):
        through(network, torch.rand(5, 3))
    assert through.lengths == [2.0]


def test_effective_share_counts_neurons_that_carry_the_same():
    u = torch.zeros(3, 10)
    u[0, :4], u[1, :2] = 7.0, 0.01
    assert effective_share(u, 1.0).item() == pytest.approx((0.4 + 0.2 + 0) / 3)
    assert effective_share(100 * u, 1.0).item() == pytest.approx(0.2)
    assert mean_activation(u, 10.0).item() == pytest.approx((4 * 7 + 2 * 0.01) / 30 / 10)


@pytest.mark.parametrize("activity", [effective_share, mean_activation])
def test_the_penalty_makes_spikes_few(digits, activity):
    def spikes(sparsity):
        through = TimeDomain.starting(start, digits[0].images, seeded(), sparsity=sparsity)
        through.activity = activity
        found = trained(digits, start, through, epochs=6)
        snn = convert(found.network, found.windows)
        return closed_form(snn, digits[1].images).audit[0].spikes, found.history[-1]

    start = start_of((784, 60, 10))
    (many, right), (few, still_right) = spikes(0.0), spikes(3.0)
    assert few < 0.7 * many and still_right > right - 20


def test_the_network_that_training_starts_from_stays_as_it_is(digits):
    start = start_of()
    before = [number.clone() for number in start.numbers]
    found = trained(digits, start, AsRelu(), epochs=1).network
    assert all(map(torch.equal, start.numbers, before))
    assert not torch.equal(found.numbers[0], before[0])


def test_normalisation_is_folded_into_the_weights(digits):
    start, raw = start_of(), []
    through = TimeDomain.starting(start, digits[0].images, seeded(), normalise=True)
    assert through.lengths == [1.0, 1.0]  # normalised activations fit a window of 1, or nearly
    through.delivered = lambda network: (
        raw.append(network) or TimeDomain.delivered(through, network)
    )
    found = trained(digits, start, through)
    assert found.history[-1] > 100 and all(norm.running_mean.any() for norm in through.norms)
    x = u = digits[1].images.double()
    for layer, norm in zip(raw[-1].layers, [*through.norms, None], strict=True):
        u = layer.drive(u)
        if norm is not None:
            u = norm.double().eval()(u).relu()
    torch.testing.assert_close(found.network.logits(x), u, rtol=1e-4, atol=1e-4)


def test_normalisation_takes_the_dtype_of_the_weights(digits):
    start = in_float64(start_of())
    through = TimeDomain.starting(start, digits[0].images, seeded(), normalise=True)
    assert trained(digits, start, through).network.weights[0].dtype == torch.float64


def test_normalised_synapses_do_what_the_chain_does():
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(5)
    norm(3 + 2 * torch.randn(400, 5))
    norm.eval()
    with torch.no_grad():
        norm.weight.uniform_(-1, 1)
        norm.bias.uniform_(-1, 1)
    synapses = Affine.dense(torch.randn(7, 5), torch.randn(5))
    x = torch.randn(9, 7)
    found = synapses.normalised(norm)
    assert found.is_dense and found.matrix().dtype == torch.float32
    torch.testing.assert_close(found(x), norm(synapses(x)), rtol=1e-5, atol=1e-5)


def test_what_is_delivered_is_what_the_hardware_runs(digits):
    start, hardware = start_of(), Hardware(ticks=2, weight_bits=4)
    through = TimeDomain.starting(start, digits[0].images, seeded(), q=0.9, hardware=hardware)
    found = trained(digits, start, through)
    assert all(len(w[:, 0].unique()) <= 15 for w in found.network.weights)
    images, labels = digits[1]
    answer = clock_driven(convert(found.network, found.windows), images, 1, half_tick=True)
    assert int((answer.predictions == labels).sum()) == found.correct
    assert torch.equal(through.answer(found.network, found.windows, images), answer.logits)


def test_training_leaves_the_network_that_it_starts_from_alone(digits):
    start = start_of()
    before = [w.clone() for w in start.weights + start.biases]
    trained(digits, start, TimeDomain.starting(start, digits[0].images, seeded()))
    assert all(map(torch.equal, before, start.weights + start.biases))


def test_convolutions_train_through_spikes_too(digits):
    convolution = nn.Sequential(nn.Conv2d(1, 2, 5, stride=4), nn.Flatten())
    size = 2 * 6 * 6
    layers = [Layer(Affine.of(convolution, [1, 28, 28])), *start_of((size, 10)).layers]
    start = ReluNetwork.of_layers(layers)
    through = TimeDomain.starting(start, digits[0].images, seeded(), hardware=Hardware(ticks=4))
    found = trained(digits, start, through, epochs=6, learning_rate=1e-2)
    assert (found.network.weights[0] != start.weights[0]).any()
    assert found.history[-1] > 120


def test_pixel_noise_disturbs_training_and_nothing_else(digits):
    start = start_of()
    found = [
        trained(digits, start, TimeDomain([30.0, 30.0], seeded(seed), pixel_noise=noise)).network
        for seed, noise in ((0, 0.0), (0, 0.3), (0, 0.3), (1, 0.3))
    ]
    plain, noisy, again, other = (network.weights[0] for network in found)
    assert torch.equal(noisy, again)
    assert not torch.equal(noisy, plain) and not torch.equal(noisy, other)
    through, x = TimeDomain([30.0, 30.0], seeded(), pixel_noise=0.3), digits[1].images
    expected = closed_form(convert(start, [30.0, 30.0]), x).logits
    assert torch.equal(through.answer(start, [30.0, 30.0], x), expected)


@pytest.mark.parametrize(
    ("q", "hardware", "measured"),
    [
        (1.0, {}, True),
        (1.0, {"weight_bits": 4, "loss": 0.1}, True),
        (0.9, {}, False),
        (1.0, {"ticks": 4}, False),
        (1.0, {"jitter": 0.1}, False),
        (1.0, {"mismatch": 0.1}, False),
    ],
)
def test_windows_that_need_but_hold_every_spike_are_measured_in_the_end(
    digits, q, hardware, measured
):
    through = TimeDomain([5.0, 5.0], seeded(), Hardware(**hardware), q)
    found = trained(digits, start_of(), through)
    if measured:
        assert found.windows == calibrated(found.network, digits[0].images)
        snn = convert(found.network, found.windows)
        assert not any(layer.saturations for layer in closed_form(snn, digits[1].images).audit)
    else:
        assert found.windows == through.lengths


def test_noise_of_hardware_is_met_by_validation_images_alike_every_time():
    network, pixels = random_network([12, 20, 4]), random_pixels(40, 12)
    for fault in ("jitter", "loss", "mismatch"):
        through = TimeDomain([9.0], seeded(), Hardware(**{fault: 0.3}))
        first = through.answer(network, [9.0], pixels)
        through(network, pixels)
        assert torch.equal(first, through.answer(network, [9.0], pixels))
        assert not torch.equal(first, closed_form(convert(network, [9.0]), pixels).logits)


def test_hardware_combines_its_faults_with_its_clock():
    network, pixels = random_network([12, 20, 4]), random_pixels(400, 12)
    snn = convert(network, [8.0])
    perfect = simulate(snn, pixels, Hardware().rule(snn, seeded()))
    assert torch.equal(perfect.logits, closed_form(snn, pixels).logits)
    hardware = Hardware(ticks=4, loss=0.5)
    found = simulate(snn, pixels, hardware.rule(snn, seeded()))
    assert set(found.time_left[0].unique().tolist()) <= {0.0, 2.0, 4.0, 6.0, 8.0}
    whole = clock_driven(snn, pixels, 2, half_tick=True)
    share = found.audit[0].spikes / whole.audit[0].spikes
    assert 0.3 < share < 0.8
    assert (hardware.bits, hardware.engine, Hardware().engine) == (
        2,
        "clock:2:half-tick",
        "closed-form",
    )


@pytest.mark.parametrize(
    ("faulty", "words"),
    [
        ({"ticks": 3}, "3 ticks per window: choose from 1, 2, 4"),
        ({"ticks": 0}, "0 ticks"),
        ({"ticks": "2"}, "'2' ticks"),
        ({"weight_bits": 1}, "weights of 1 bits: choose from 1.6, 2, 3"),
        ({"weight_bits": 99}, "weights of 99 bits"),
        ({"jitter": -1}, "jitter is -1"),
        ({"loss": 1.5}, "loss is 1.5"),
        ({"mismatch": float("nan")}, "mismatch is nan"),
    ],
)
def test_impossible_hardware_is_refused(faulty, words):
    with pytest.raises(InputError, match=words):
        Hardware(**faulty)


@pytest.mark.parametrize("level", [0, 1])
def test_hardware_at_the_ends_of_what_is_possible_is_not_refused(level):
    assert Hardware(loss=level, jitter=level, mismatch=level).loss == level


def test_without_a_target_the_learning_rate_rises_and_falls_and_the_last_epoch_counts(
    digits, monkeypatch
):
    rates = learning_rates(monkeypatch)
    tiny = Split(digits[0].images[:640], digits[0].labels[:640])
    counts = iter((9, 5, 7, 6))
    monkeypatch.setattr("ttfs.training.n_correct", lambda *args: next(counts))
    seen = []
    found = train(
        start_of((784, 5, 10)),
        tiny,
        digits[1],
        generator=seeded(),
        after_step=lambda network, loss: seen.append(network.weights[0].detach().clone()),
        **SETTINGS | {"epochs": 3},
    )
    assert len(rates) == 30 and max(rates) == pytest.approx(1e-3, rel=0.01)
    top = rates.index(max(rates))
    assert rates[0] < 1e-4 and rates[-1] < 1e-6 and 5 < top < 12
    assert found.history == [9, 5, 7] and found.correct == 6
    assert torch.equal(found.network.weights[0], seen[-1])


def test_architecture_of_a_start_is_the_one_asked_for():
    assert start_of().architecture == [784, 30, 20, 10]
    assert architecture(3, 5) == [784, 5, 5, 10]
