"""How long each hidden layer's window is.

Each policy returns the window lengths t_max(n) - t_min(n), one per hidden layer, in model time. An
activation larger than its window saturates: the neuron fires at t_min, and the rest is lost. So
windows are chosen from *training* images, and violations are counted on test images.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ttfs import InputError
from ttfs.coding import checked_pixels
from ttfs.network import BATCH, ReluNetwork, checked_network

MOST_VALUES = 2**25  # activations of a layer, at most, that a quantile is taken of
DEAD_LAYER_WINDOW = 1.0  # a layer that never fires on the training images still needs a window


def fixed(network: ReluNetwork, t_max: float = 15.0) -> list[float]:
    """Return the same window length for every hidden layer."""
    if not 0 < t_max < np.inf:
        raise InputError(f"t_max is {t_max}; a window's length must be positive and finite")
    return [float(t_max)] * (checked_network(network).depth - 1)


def calibrated(network: ReluNetwork, x: Tensor, margin: float = 0.5) -> list[float]:
    """Return (1 + margin) times each layer's largest activation over the training images x.

    The margin of 0.5 is the one of [1]. ``x`` is (n_images, n_in), in [0, 1].
    """
    if not 0 <= margin < np.inf:
        raise InputError(f"margin is {margin}; it must be zero or more, and finite")
    x = _training_images(network, x)
    largest = torch.zeros(network.depth - 1, dtype=torch.float64)
    for batch in x.split(BATCH):
        for n, activation in enumerate(network.activations(batch)):
            largest[n] = torch.maximum(largest[n], activation.max().cpu().double())  # keeps NaN
    return _lengths((1 + margin) * largest)


def quantile(network: ReluNetwork, x: Tensor, q: float) -> list[float]:
    """Return window lengths that hold a fraction q of each layer's spikes on training images x.

    Only neurons that fire count: silent ones need no window. q = 1 is the largest activation. Of
    layers so large that there are more than MOST_VALUES activations, every k-th spike is taken.
    """
    return quantiles(network, x, [q])[q]


def quantiles(network: ReluNetwork, x: Tensor, qs: Sequence[float]) -> dict[float, list[float]]:
    """Return the window lengths of ``quantile`` for each q, from one pass over the images."""
    for q in qs:
        if not 0 < q <= 1:
            raise InputError(f"the quantile is {q}; it must lie in (0, 1]")
    x = _training_images(network, x)
    positive = [[] for _ in range(network.depth - 1)]
    for batch in x.split(BATCH):
        for n, activation in enumerate(network.activations(batch)):
            every = -(-len(x) * activation.shape[1] // MOST_VALUES)
            spikes = activation[activation > 0]
            positive[n].append(spikes[::every].numpy(force=True))
            if every > 1 and len(spikes):
                positive[n].append(spikes.max()[None].numpy(force=True))
    layers = [np.concatenate(parts) for parts in positive]
    with np.errstate(invalid="ignore"):  # infinite activations: _lengths refuses them
        found = [np.quantile(a, qs) if a.size else np.zeros(len(qs)) for a in layers]
    return {q: _lengths([layer[k] for layer in found]) for k, q in enumerate(qs)}


def normalise_layers(network: ReluNetwork, window_lengths: Sequence[float]) -> ReluNetwork:
    """Return the same function as a network whose hidden windows all have length 1.

    With every hidden activation measured in windows, u_n = x_n / L_n, and u_0 = x_0::

        W_n -> W_n L_{n-1} / L_n        b_n -> b_n / L_n        (L_0 = L_output = 1)

    ReLU is positively homogeneous, so this is exact, and the logits stay what they are. Convert the
    result with window lengths of 1.
    """
    checked_network(network)
    ends = [1.0, *window_lengths, 1.0]
    if len(ends) != network.depth + 1 or not all(0 < length < np.inf for length in ends):
        raise InputError(f"{network.depth - 1} positive window lengths are needed: {ends[1:-1]}")
    return ReluNetwork.of_layers(
        [
            replace(layer, synapses=layer.synapses.rescaled(before, after))
            for layer, before, after in zip(network.layers, ends[:-1], ends[1:], strict=True)
        ]
    )


def safe(network: ReluNetwork) -> list[float]:
    """Return windows so long that no alpha neuron can cross early, whatever fires when.

    While inputs arrive, an alpha neuron's potential is highest if every excitatory input fires at
    t_start and no inhibitory one does before t_min. With S+ and S- the sums of its positive and of
    its negative weights' magnitudes, and alpha = 1 - S+ + S-, it then reaches L_{n-1} (1 + S-),
    which stays below theta = L_n - b + alpha L_{n-1} if::

        L_n > b + L_{n-1} S+

    No activation exceeds that either. The windows of all neurons of a layer are the longest of
    these, and grow about as fast as the sums of weights multiply.
    """
    lengths, previous = [], 1.0
    for layer in checked_network(network).layers[:-1]:
        excitation = (layer.synapses.sums(torch.abs) + layer.synapses.sums()) / 2  # S+, or more
        largest = (layer.synapses.bias().double() + previous * excitation).max().item()
        # The factor keeps the inequality strict in floating point.
        previous = (1 + 1e-6) * largest if largest > 0 else DEAD_LAYER_WINDOW
        lengths.append(previous)
    return _lengths(lengths)


def _training_images(network: ReluNetwork, x: Tensor) -> Tensor:
    """Return the images to choose windows on; InputError if there are none or they misfit."""
    x = checked_pixels(x, checked_network(network).architecture[0])
    if len(x) == 0:
        raise InputError("windows are chosen on training images, and there are none")
    return x


def _lengths(lengths) -> list[float]:
    """Return plain floats, with a window of one unit for a layer that never fires."""
    if not all(math.isfinite(length) for length in lengths):
        raise InputError("activations overflow: the weights are too large to convert")
    return [float(length) if length > 0 else DEAD_LAYER_WINDOW for length in lengths]
