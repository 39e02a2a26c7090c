"""From a ReLU network to a spiking one: thresholds, slopes and chained windows. No retraining."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ttfs.errors import InputError
from ttfs.network import ReluNetwork

NEURONS = ("B1", "alpha")


@dataclass(frozen=True)
class SpikingLayer:
    """A hidden layer of integrate-and-fire neurons, all in float64.

    While inputs arrive, from ``t_start`` (the previous layer's t_min) to ``t_min``, the membrane
    potential V of neuron i has the slope ``slope_before_i + sum_j W_ji [input j has fired]``. From
    ``t_min`` the slope is 1, and the neuron fires when V reaches its ``threshold``.
    """

    weight: Tensor  # (n_in, n_out)
    bias: Tensor  # (n_out,)
    slope_before: Tensor  # (n_out,): alpha, or 0 for B1
    threshold: Tensor  # (n_out,)
    t_start: float
    t_min: float
    t_max: float

    @property
    def window_length(self) -> float:
        """t_max - t_min, model time."""
        return self.t_max - self.t_min

    def drive(self, x: Tensor) -> Tensor:
        """Return sum_j W_ji x_j + b_i, the time left at each crossing, whatever the window.

        ``x`` is the time left of each input, (n_batch, n_in); its dtype decides.
        """
        return x @ self.weight.to(x) + self.bias.to(x)


@dataclass(frozen=True)
class SpikingNetwork:
    """A converted network: hidden spiking layers and a non-spiking output layer.

    The output neurons integrate the last hidden layer's spikes; at ``t_read``, when its window
    has ended, their potential is V = sum_j W_ji (t_read - t_j) + b_i, and the largest wins.
    """

    neuron: str  # "B1" or "alpha"
    hidden: tuple[SpikingLayer, ...]
    output_weight: Tensor  # (n_in, n_classes), float64
    output_bias: Tensor  # (n_classes,), float64

    @property
    def n_in(self) -> int:
        """Number of inputs."""
        return len(self.hidden[0].weight if self.hidden else self.output_weight)

    @property
    def t_max(self) -> list[float]:
        """End of each hidden layer's window, model time."""
        return [layer.t_max for layer in self.hidden]

    @property
    def t_read(self) -> float:
        """When the output is read, model time: the network's latency in input windows."""
        return self.hidden[-1].t_max if self.hidden else 1.0

    def potentials(self, x: Tensor) -> Tensor:
        """Return the output potentials sum_j W_ji x_j + b_i, (n_batch, n_classes).

        ``x`` is how long before the read-out each input fired, (n_batch, n_in).
        """
        return x @ self.output_weight.to(x) + self.output_bias.to(x)


def convert(
    network: ReluNetwork, window_lengths: Sequence[float], neuron: str = "B1"
) -> SpikingNetwork:
    """Return the spiking network whose spike times carry the ReLU network's activations.

    With the window [t_min, t_max) chained to the previous one, [t_start, t_min), the threshold is::

        theta_i = t_max - t_min - b_i + slope_before_i (t_min - t_start)

        B1     slope_before_i = 0                    [2]
        alpha  slope_before_i = 1 - sum_j W_ji       [1]; if silent, made to fire at t_max

    At t_min every input j has fired at t_j or stays silent, so with x_j = t_min - t_j (0 if
    silent) V_i(t_min) = slope_before_i (t_min - t_start) + sum_j W_ji x_j. From there the slope is
    1 for both neurons, and V_i meets theta_i at::

        t_i = t_min + theta_i - V_i(t_min) = t_max - (sum_j W_ji x_j + b_i)

    so t_max - t_i is the ReLU's input, and a crossing at t_max or later is its zero. For the alpha
    neuron in the first layer (t_min - t_start = 1) theta_i = t_max - b_i - sum_j W_ji. With a
    constant input current I the same crossing reads t_i - t_min = (theta_i - V_i(t_min)) / I: the
    slope of 1 is the current that the mapping prescribes.

    Parameters
    ----------
    network : ReluNetwork
    window_lengths : sequence of float, model time
        t_max - t_min of each hidden layer; see ``ttfs.windows``.
    neuron : "B1" or "alpha"

    Raises
    ------
    InputError
        If the neuron is unknown, or there is not one positive finite length a hidden layer, long
        enough for t_max to differ from t_min in float64.

    """
    if neuron not in NEURONS:
        raise InputError(f"unknown neuron {neuron!r}: choose from {', '.join(NEURONS)}")
    if len(window_lengths) != network.depth - 1:
        raise InputError(f"{len(window_lengths)} window lengths for {network.depth - 1} layers")
    hidden = []
    t_start, t_min = 0.0, 1.0
    for n, length in enumerate(window_lengths):
        if not 0 < length < np.inf:
            raise InputError(f"layer {n + 1}: the window length is {length}; it must be positive")
        weight, bias = network.weights[n].double(), network.biases[n].double()
        slope_before = 1 - weight.sum(0) if neuron == "alpha" else torch.zeros_like(bias)
        t_max = t_min + float(length)
        if t_max == t_min:
            raise InputError(
                f"layer {n + 1}: a window of {length:g} is lost beside t_min = {t_min:g}; rescale "
                f"the network with ttfs.windows.normalise_layers first"
            )
        threshold = (t_max - t_min) - bias + slope_before * (t_min - t_start)
        hidden.append(SpikingLayer(weight, bias, slope_before, threshold, t_start, t_min, t_max))
        t_start, t_min = t_min, t_max
    return SpikingNetwork(
        neuron, tuple(hidden), network.weights[-1].double(), network.biases[-1].double()
    )
