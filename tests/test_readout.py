import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import random_network, random_pixels

from experiments.readout import is_certain, output_potentials, promised_logits
from ttfs.conversion import convert
from ttfs.network import ReluNetwork
from ttfs.simulation import closed_form
from ttfs.windows import calibrated


@pytest.fixture
def case():
    network, pixels = random_network([12, 20, 15, 5]), random_pixels(300, 12)
    snn = convert(network, calibrated(network, pixels, margin=0))
    return snn, closed_form(snn, pixels)


def test_two_spikes_and_two_classes_by_hand():
    # The window is [1, 5). Neuron 0 fires at 2 and neuron 1 at 4; weights 1, 2 and 0, 5.
    network = ReluNetwork([[[3.0, 1.0]], [[1.0, 2.0], [0.0, 5.0]]], [[0.0, 0.0], [0.5, -1.0]])
    snn = convert(network, [4.0])
    times = closed_form(snn, torch.ones(1, 1)).spike_times[-1]
    assert times.tolist() == [[2.0, 4.0]]
    assert output_potentials(snn, times, 3.0).tolist() == [[1.5, 1.0]]
    assert promised_logits(snn, times, 3.0).tolist() == [[3.5, 5.0]]
    assert output_potentials(snn, times, 5.0).tolist() == [[3.5, 10.0]]
    # At 1 nothing has fired: class 0 leads by 1.5, and class 1 could gain up to 4 x (1 + 5).
    # At 3 class 1 leads, and neuron 1 can only help it.
    assert [is_certain(snn, times, t).item() for t in (1.0, 3.0)] == [False, True]


def test_at_the_end_both_are_the_logits(case):
    snn, simulation = case
    times = simulation.spike_times[-1]
    for read in (output_potentials, promised_logits):
        found = read(snn, times, snn.t_read)
        torch.testing.assert_close(found, simulation.logits, rtol=0, atol=1e-12)
    assert is_certain(snn, times, snn.t_read).all()


def test_a_certain_label_is_the_final_one_and_stays_certain(case):
    snn, simulation = case
    times, before = simulation.spike_times[-1], torch.zeros(300, dtype=torch.bool)
    layer = snn.hidden[-1]
    for step in range(41):
        t = layer.t_min + step / 40 * layer.window.length
        certain = is_certain(snn, times, t)
        found = promised_logits(snn, times, t).argmax(1)
        assert torch.equal(found[certain], simulation.predictions[certain])
        assert certain[before].all()
        before = certain
    assert before.all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), part=st.floats(0.0, 0.999))
def test_no_spikes_that_may_still_come_can_overturn_a_certain_label(seed, part):
    network, pixels = random_network([6, 8, 3], seed), random_pixels(20, 6, seed)
    snn = convert(network, calibrated(network, pixels, margin=0))
    times = closed_form(snn, pixels).spike_times[-1]
    layer = snn.hidden[-1]
    t = layer.t_min + part * layer.window.length
    certain = is_certain(snn, times, t)
    promised = promised_logits(snn, times, t).argmax(1)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(20):  # any other future: waiting neurons fire at any time after t, or never
        future = t + (layer.t_max - t) * torch.rand(times.shape, generator=generator).double()
        future[torch.rand(times.shape, generator=generator) < 0.5] = torch.inf
        other = torch.where(times <= t, times, future)
        final = promised_logits(snn, other, snn.t_read).argmax(1)
        assert torch.equal(final[certain], promised[certain])


def test_a_spike_at_the_moment_of_reading_is_promised_and_a_tie_is_not_certain():
    network = ReluNetwork([[[3.0, 1.0]], [[1.0, 2.0], [0.0, 5.0]]], [[0.0, 0.0], [0.5, -1.0]])
    snn = convert(network, [4.0])
    times = torch.tensor([[2.0, 4.0]])
    assert promised_logits(snn, times, 2.0).tolist() == [[3.5, 5.0]]  # 0.5 + 3, -1 + 6
    # At 4.5 class 1 leads by 0.75 with neuron 1 waiting; weights 2 and 0.5 let class 0 draw level.
    tied = convert(
        ReluNetwork([[[1.0, 1.0]], [[0.0, 0.0], [2.0, 0.5]]], [[0.0] * 2, [0.0, 0.75]]), [4.0]
    )
    waiting = torch.tensor([[torch.inf, torch.inf]])
    assert [is_certain(tied, waiting, t).item() for t in (4.5, 4.75)] == [False, True]
