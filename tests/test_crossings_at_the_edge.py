"""Crossings that come before t_start, that only touch the threshold, or fall on a window's end."""

import pytest
import torch

from ttfs.conversion import convert
from ttfs.events import _note_crossings
from ttfs.network import ReluNetwork
from ttfs.simulation import closed_form, event_driven


def noted(potential, slope, now, duration, threshold):
    """Return when one potential met its threshold, and whether it may do so again."""
    one = [torch.tensor([[float(value)]]) for value in (potential, slope, duration, threshold)]
    potential, slope, duration, armed = one
    first = torch.full_like(armed, torch.inf)
    _note_crossings(potential, slope, torch.tensor([float(now)]), duration, armed, first)
    return first.item(), bool(armed.isfinite())


@pytest.mark.parametrize(
    ("potential", "slope", "now", "duration", "threshold", "first"),
    [
        (3, 2, 5, 4, 2, 4.5),  # on its way up
        (2, 2, 5, 4, 2, 5.0),  # it ends where it touches the threshold
        (1.9, 2, 5, 4, 2, torch.inf),
        (3, 0, 5, 4, 2, 1.0),  # above all along
        (3, -1, 5, 4, 2, 1.0),
        (3, 0.1, 5, 4, 2, 1.0),
        (3, 2, 0, 4, 2, 0.0),  # nothing is met before t_start
        (3, 2, 0.25, 4, 2, 0.0),
        (3, 2, -0.25, 4, 2, torch.inf),
    ],
)
def test_a_threshold_is_met_where_the_line_first_reaches_it(
    potential, slope, now, duration, threshold, first
):
    found = noted(potential, slope, now, duration, threshold)
    assert found == (first, first == torch.inf)


def one_neuron(drive, length):
    """Return the network of one hidden neuron with a bias alone, in a window of this length."""
    network = ReluNetwork([torch.zeros(1, 1), torch.ones(1, 1)], [torch.tensor([drive])] * 2)
    return convert(network, [length])


@pytest.mark.parametrize("simulate", [closed_form, event_driven])
@pytest.mark.parametrize(
    ("drive", "time", "saturations"),
    [
        (0.0, torch.inf, 0),  # the threshold is touched at t_max: silence
        (0.25, 2.75, 0),
        (2.0, 1.0, 0),  # at t_min, where the window opens
        (2.5, 1.0, 1),
        (-0.25, torch.inf, 0),
    ],
)
def test_a_crossing_at_t_min_is_a_spike_and_one_at_t_max_is_none(
    simulate, drive, time, saturations
):
    simulation = simulate(one_neuron(drive, 2.0), torch.zeros(1, 1))
    assert simulation.spike_times[0].item() == time
    assert simulation.audit[0].saturations == saturations
    assert simulation.audit[0].spikes == (time < torch.inf)
    assert simulation.audit[0].largest_activation == max(0.0, drive)
