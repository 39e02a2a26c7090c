"""Temporal patterns: an activation is a binary number, and its digits are spikes in turn."""

from collections.abc import Sequence

import torch
from torch import Tensor

from experiments.codes import Coded, reached
from ttfs.network import ReluNetwork


def levels(u: Tensor, length: float, bits: int) -> Tensor:
    """Return activations as whole numbers of 2^-bits of a window, 0 to 2^bits, to the nearest."""
    return torch.floor(u * 2**bits / length + 0.5).clamp(0, 2**bits)


def digits(level: Tensor, bits: int) -> list[Tensor]:
    """Return the binary digits of whole numbers from 0 to 2^bits, the most significant first.

    There are bits + 1 of them: the first is of 2^bits alone, a full window.
    """
    whole = level.to(torch.int64)
    return [whole >> place & 1 for place in range(bits, -1, -1)]


def classify(network: ReluNetwork, lengths: Sequence[float], images: Tensor, bits: int) -> Coded:
    """Return what a network says whose neurons fire the digits of their activations in turn.

    A layer takes bits + 1 steps, and listens to the one before it while that fires. A spike in step
    k, counted from 0, adds L 2^-k of the window L times its weight, so::

        u_i = sum_k L 2^-k (sum_j W_ji s_jk) + b_i

    Levels are those of a first spike on a clock of 2^bits ticks with thresholds half a tick low.
    In each step of two layers, a hidden neuron's potential is halved or doubled, or compared.
    """
    sizes, spikes, u = network.architecture, [], images
    for layer, length in zip(network.layers, [1.0, *lengths], strict=True):
        fired = digits(levels(u, length, bits), bits)
        spikes.append(sum(int(part.sum()) for part in fired))
        bias = layer.drive(torch.zeros_like(u))
        u = bias + sum(
            layer.drive(part.to(u) * (length * 2.0**-k)) - bias for k, part in enumerate(fired)
        )
    updates = (bits + 1) * (2 * sum(sizes[1:-1]) + sizes[-1])
    steps, synapses = network.depth * (bits + 1), reached(spikes, sizes)
    return Coded(u, spikes, steps, synapses, 0, 0, len(images) * updates)
