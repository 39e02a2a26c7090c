"""Simulators of a spiking network: pixels in; spike times, logits and an audit out."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ttfs.coding import checked_pixels, decode, encode
from ttfs.conversion import SpikingLayer, SpikingNetwork
from ttfs.errors import InputError


@dataclass(frozen=True)
class LayerAudit:
    """What physically happened in one hidden layer; audits of successive batches add up."""

    window_length: float  # model time
    images: int
    spikes_per_neuron: Tensor  # (n_out,) int64: threshold crossings inside the window
    saturations: int  # activations above the window: fired at t_min, and lost the rest
    largest_activation: float  # model time; above window_length if anything saturated

    @property
    def neurons(self) -> int:
        """Number of neurons in the layer."""
        return self.spikes_per_neuron.numel()

    @property
    def spikes(self) -> int:
        """Threshold crossings inside the window, over all neurons and images."""
        return int(self.spikes_per_neuron.sum())

    @property
    def dead_neurons(self) -> int:
        """Neurons that never fired."""
        return int((self.spikes_per_neuron == 0).sum())

    @property
    def used_fraction(self) -> float:
        """Part of the window between its earliest spike and its end."""
        return min(1.0, self.largest_activation / self.window_length)

    def __add__(self, other: "LayerAudit") -> "LayerAudit":
        return LayerAudit(
            self.window_length,
            self.images + other.images,
            self.spikes_per_neuron + other.spikes_per_neuron,
            self.saturations + other.saturations,
            max(self.largest_activation, other.largest_activation),
        )


@dataclass(frozen=True)
class Simulation:
    """What a spiking network did with a batch of images."""

    spike_times: list[Tensor]  # one (n_batch, n_out) a hidden layer, absolute; inf = never crossed
    time_left: list[Tensor]  # the activations that the spikes carry, t_max - t; 0 = never crossed
    logits: Tensor  # (n_batch, n_classes): output potentials at t_read
    audit: list[LayerAudit]  # one a hidden layer

    @property
    def predictions(self) -> Tensor:
        """The class with the largest output potential, (n_batch,) int64."""
        return self.logits.argmax(dim=1)


def closed_form(snn: SpikingNetwork, pixels: Tensor, time: str = "window") -> Simulation:
    """Return the network's spike times and logits from one matrix product a layer.

    A spike is handed to the next layer in one of two time conventions, which agree in exact
    arithmetic (``ttfs.conversion.convert`` derives both)::

        "window"    time left, u = t_max - t:    u_i = sum_j W_ji u_j + b_i
        "absolute"  time since the image began:  t_i = t_min + theta_i - V_i(t_min),
                                                 V_i(t_min) = slope_before_i (t_min - t_start)
                                                              + sum_j W_ji (t_min - t_j)

    Window-relative time keeps its precision however late the window is; absolute time loses one
    bit each time t_max doubles. A crossing at or after t_max is silence. A crossing before t_min
    is a saturation: the neuron fires at t_min. The alpha neuron's forced spike at t_max carries
    the same 0 as silence and is written ``inf`` like it: ``inf`` means "never crossed".

    Differentiable with respect to the pixels and the network's parameters.

    Parameters
    ----------
    snn : SpikingNetwork
    pixels : (n_batch, n_in) floating tensor, in [0, 1]
        Its dtype and device decide those of the computation.
    time : "window" or "absolute"

    Raises
    ------
    InputError
        If a pixel lies outside [0, 1] or the time convention is unknown.

    """
    pixels = checked_pixels(pixels)
    if time not in ("window", "absolute"):
        raise InputError(f"unknown time convention {time!r}: choose window or absolute")
    spikes = encode(pixels)
    x = pixels if time == "window" else decode(spikes)
    spike_times, time_left, audit = [], [], []
    for layer in snn.hidden:
        if time == "window":
            crossing = x @ layer.weight.to(x) + layer.bias.to(x)
            x = crossing.clamp(min=0, max=layer.window_length)
            spikes = torch.where(x > 0, layer.t_max - x, torch.inf)
        else:
            t_out = crossing_times(layer, x)
            crossing = layer.t_max - t_out
            t_out = t_out.clamp(min=layer.t_min)
            spikes = torch.where(t_out < layer.t_max, t_out, torch.inf)
            x = decode(spikes, layer.t_max)
        spike_times.append(spikes)
        time_left.append(x)
        audit.append(layer_audit(layer, x, crossing))
    logits = x @ snn.output_weight.to(x) + snn.output_bias.to(x)
    return Simulation(spike_times, time_left, logits, audit)


def crossing_times(layer: SpikingLayer, x: Tensor) -> Tensor:
    """Return when each potential meets its threshold, absolute, not yet limited to the window.

    ``x`` is (n_batch, n_in): t_min - t of each input that fired, 0 of each that stayed silent.
    """
    potential_at_t_min = layer.slope_before.to(x) * (layer.t_min - layer.t_start)
    potential_at_t_min = potential_at_t_min + x @ layer.weight.to(x)
    return layer.t_min + layer.threshold.to(x) - potential_at_t_min


def layer_audit(layer: SpikingLayer, x: Tensor, crossing: Tensor) -> LayerAudit:
    """Return one layer's audit; ``crossing`` is the time left at the crossing, not yet limited."""
    return LayerAudit(
        window_length=layer.window_length,
        images=x.shape[0],
        spikes_per_neuron=(x > 0).sum(0),
        saturations=int((crossing > layer.window_length).sum()),
        largest_activation=max(0.0, crossing.max().item()),
    )
