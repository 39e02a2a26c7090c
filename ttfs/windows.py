"""How long each hidden layer's window is.

Each policy returns the window lengths t_max(n) - t_min(n), one a hidden layer, in model time. An
activation larger than its window saturates: the neuron fires at t_min, and the rest is lost. So
windows are chosen from *training* images, and violations are counted on test images.
"""

import numpy as np
import torch
from torch import Tensor

from ttfs.errors import InputError
from ttfs.network import ReluNetwork

BATCH = 5000  # images simulated at a time, to bound memory
DEAD_LAYER_WINDOW = 1.0  # a layer that never fires on the training images still needs a window


def fixed(network: ReluNetwork, t_max: float = 15.0) -> list[float]:
    """Return the same window length for every hidden layer."""
    if not 0 < t_max < np.inf:
        raise InputError(f"t_max is {t_max}; a window's length must be positive and finite")
    return [float(t_max)] * (network.depth - 1)


def calibrated(network: ReluNetwork, x: Tensor, margin: float = 0.5) -> list[float]:
    """Return (1 + margin) times each layer's largest activation over the training images x.

    The margin of 0.5 is the one of [1]. ``x`` is (n_images, n_in), in [0, 1].
    """
    if not 0 <= margin < np.inf:
        raise InputError(f"margin is {margin}; it must be zero or more, and finite")
    largest = torch.zeros(network.depth - 1, dtype=torch.float64)
    for batch in torch.as_tensor(x).split(BATCH):
        for n, activation in enumerate(network.activations(batch)):
            largest[n] = max(largest[n], activation.max().item())
    return _lengths(network, (1 + margin) * largest)


def quantile(network: ReluNetwork, x: Tensor, q: float) -> list[float]:
    """Return window lengths that hold a fraction q of each layer's spikes on training images x.

    Only neurons that fire count: silent ones need no window. q = 1 is the largest activation.
    """
    if not 0 < q <= 1:
        raise InputError(f"the quantile is {q}; it must lie in (0, 1]")
    positive = [[] for _ in range(network.depth - 1)]
    for batch in torch.as_tensor(x).split(BATCH):
        for n, activation in enumerate(network.activations(batch)):
            positive[n].append(activation[activation > 0].numpy(force=True))
    layers = [np.concatenate(parts) for parts in positive]
    return _lengths(network, [np.quantile(a, q) if a.size else 0.0 for a in layers])


def _lengths(network: ReluNetwork, lengths) -> list[float]:
    """Return plain floats, with a window of one unit for a layer that never fires."""
    return [float(length) if length > 0 else DEAD_LAYER_WINDOW for length in lengths]
