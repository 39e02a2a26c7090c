"""No spikes: the quantised ReLU network that networks of coded levels equal."""

from collections.abc import Sequence

from torch import Tensor

from experiments.codes import Coded, reached
from experiments.codes.pattern import levels
from ttfs.network import ReluNetwork


def classify(network: ReluNetwork, lengths: Sequence[float], images: Tensor, bits: int) -> Coded:
    """Return what a ReLU network says whose activations are levels of 0 to 2^bits.

    Its "spikes" are the numbers that are not 0, of which each is multiplied by every weight that it
    meets (levels of 0 and 1 need no product). It takes a step per layer, in which every neuron's
    sum is rounded once.
    """
    u, active = images, []
    for layer, length in zip(network.layers, [1.0, *lengths], strict=True):
        level = levels(u, length, bits)
        active.append(int((level > 0).sum()))
        u = layer.drive(level * (length / 2**bits))
    sizes = network.architecture
    updates, synapses = len(images) * sum(sizes[1:]), reached(active, sizes)
    return Coded(u, active, network.depth, 0, synapses, synapses if bits else 0, updates)
