"""From a ReLU network to a spiking one: thresholds, slopes and chained windows. No retraining."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from ttfs import InputError
from ttfs.coding import INPUT, Window, checked_pixels
from ttfs.network import LAYER_COLUMNS, Layer, ReluNetwork, checked_network, layer_rows
from ttfs.neurons import NEURONS, Neuron
from ttfs.torch_model import aligned


@dataclass(frozen=True, kw_only=True)
class SpikingLayer(Layer):
    """A layer of integrate-and-fire neurons. The read-out is one whose window never closes.

    From ``t_start`` to ``t_min`` the neurons integrate their inputs; from ``t_min`` to ``t_max``
    they may fire. An infinite window has an infinite threshold: a read-out neuron never fires, and
    its potential at t_min is the answer.
    """

    neuron: Neuron
    before: Window  # the inputs' window
    window: Window

    @property
    def t_start(self) -> float:
        """When the inputs' window opens, model time."""
        return self.before.t_min

    @property
    def t_min(self) -> float:
        """When the layer's own window opens, model time."""
        return self.window.t_min

    @property
    def t_max(self) -> float:
        """When it closes, model time."""
        return self.window.t_max

    @cached_property
    def slope_before(self) -> Tensor:
        """The neurons' own slope before t_min, (n_out,) float64: alpha, or 0 for B1."""
        return self.neuron.slope_before(self.synapses)

    @cached_property
    def sparse_rows(self) -> tuple[Tensor, Tensor]:
        """Where the synapses' matrix is not 0 (``Affine.sparse_rows``): made once."""
        return self.synapses.sparse_rows()

    @cached_property
    def threshold(self) -> Tensor:
        """The potential at which each neuron fires, (n_out,) float64."""
        start = self.slope_before * (self.t_min - self.t_start)
        return self.window.length - self.synapses.bias().double() + start


@dataclass(frozen=True, repr=False)
class SpikingNetwork:
    """A converted network: hidden spiking layers and, last, a read-out layer.

    The read-out neurons integrate the last hidden layer's spikes; at ``t_read``, when its window
    has ended, their potential is V = sum_j W_ji (t_read - t_j) + b_i, and the largest wins.
    """

    neuron: Neuron
    layers: tuple[SpikingLayer, ...]

    def __repr__(self) -> str:
        windows = [f"{la.t_min:g} to {la.t_max:g}" for la in self.hidden]
        windows.append(f"read at {self.t_read:g}")
        rows = zip(layer_rows(self.layers), windows, strict=True)
        return aligned([(*LAYER_COLUMNS, "window"), *((*row, window) for row, window in rows)])

    @property
    def hidden(self) -> tuple[SpikingLayer, ...]:
        """The layers that spike."""
        return self.layers[:-1]

    @property
    def readout(self) -> SpikingLayer:
        """The layer that does not."""
        return self.layers[-1]

    @property
    def n_in(self) -> int:
        """Number of inputs."""
        return self.layers[0].n_in

    @property
    def t_max(self) -> list[float]:
        """End of each hidden layer's window, model time."""
        return [layer.t_max for layer in self.hidden]

    @property
    def t_read(self) -> float:
        """When the output is read, model time: the network's latency in input windows."""
        return self.readout.t_min


def checked_inputs(snn: SpikingNetwork, pixels: Tensor) -> Tensor:
    """Return pixels for a network to read, (n_batch, n_in); InputError if either is none such."""
    if not isinstance(snn, SpikingNetwork):
        raise InputError(
            f"{type(snn).__name__} is not a SpikingNetwork: convert(network, window_lengths) makes "
            f"one of a ReluNetwork"
        )
    return checked_pixels(pixels, snn.n_in)


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
        If the network is a torch module, the neuron is unknown, or there is not one positive
        finite length per hidden layer, long enough for t_max to differ from t_min in float64.

    """
    checked_network(network)
    if neuron not in NEURONS:
        raise InputError(f"unknown neuron {neuron!r}: choose from {', '.join(NEURONS)}")
    if len(window_lengths) != network.depth - 1:
        raise InputError(f"{len(window_lengths)} window lengths for {network.depth - 1} layers")
    windows = [INPUT]
    for n, length in enumerate(window_lengths, start=1):
        t_min = windows[-1].t_max
        if not 0 < length < math.inf:
            raise InputError(f"layer {n}: the window length is {length}; it must be positive")
        if abs((t_min + length) - t_min - length) > 1e-9 * length:
            raise InputError(
                f"layer {n}: a window of {length:g} is lost beside t_min = {t_min:g}; rescale the "
                f"network with ttfs.windows.normalise_layers first"
            )
        windows.append(Window(n, t_min, t_min + float(length)))
    windows.append(Window(network.depth, windows[-1].t_max, math.inf))
    models = [NEURONS[neuron]] * (network.depth - 1) + [NEURONS["B1"]]  # the read-out only sums
    layers = tuple(
        SpikingLayer(
            layer.synapses, layer.pool, layer.made_of, neuron=model, before=before, window=window
        )
        for layer, model, before, window in zip(
            network.layers, models, windows[:-1], windows[1:], strict=True
        )
    )
    return SpikingNetwork(NEURONS[neuron], layers)
