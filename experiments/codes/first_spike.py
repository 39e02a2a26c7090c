"""Time to first spike: an activation is how early a neuron fires, once."""

from collections.abc import Callable, Sequence

from torch import Tensor

from experiments.codes import Coded, reached
from ttfs.conversion import SpikingNetwork, convert
from ttfs.network import ReluNetwork
from ttfs.outcome import Simulation
from ttfs.simulation import clock_driven, closed_form


def classify(network: ReluNetwork, lengths: Sequence[float], images: Tensor, bits: int) -> Coded:
    """Return what a network says that is converted to a clock of 2^bits ticks per window.

    Thresholds are half a tick low. A spike adds its weight to the slopes of the neurons it reaches.
    A hidden neuron's slope is added to its potential in all ticks of two windows, that of its
    inputs and its own; a read-out neuron's in those of one.
    """
    found = clock_driven(convert(network, lengths), images, bits, half_tick=True)
    spikes, sizes = spikes_of(found), network.architecture
    updates = 2**bits * (2 * sum(sizes[1:-1]) + sizes[-1])
    synapses = reached(spikes, sizes)
    steps = network.depth * 2**bits
    return Coded(found.logits, spikes, steps, synapses, 0, 0, len(images) * updates)


def continuous(
    network: ReluNetwork,
    lengths: Sequence[float],
    images: Tensor,
    simulate: Callable[[SpikingNetwork, Tensor], Simulation] = closed_form,
) -> Coded:
    """Return what a converted network says in continuous time: what its ReLU network says.

    There are no steps. Computed event by event, a spike adds its weight, times what is left of the
    window, to what a neuron has received; the neuron's potential is compared once.
    """
    found = simulate(convert(network, lengths), images)
    spikes, sizes = spikes_of(found), network.architecture
    synapses, updates = reached(spikes, sizes), len(images) * sum(sizes[1:])
    return Coded(found.logits, spikes, None, synapses, 0, synapses, updates)


def spikes_of(found: Simulation) -> list[int]:
    """Return the spikes of the inputs and of each hidden layer."""
    return [int((found.inputs > 0).sum()), *(layer.spikes for layer in found.audit)]
