"""Simulators of a spiking network: pixels in; spike times, logits and an audit out.

``closed_form`` is the fast path, ``clock_driven`` the same on a clock, and ``event_driven`` (from
``ttfs.events``) the independent check: it integrates membrane potentials spike by spike.
"""

import math

import torch
from torch import Tensor

from ttfs.audit import Simulation, layer_audit
from ttfs.coding import checked_pixels, decode, encode
from ttfs.conversion import SpikingLayer, SpikingNetwork
from ttfs.errors import InputError
from ttfs.events import event_driven

__all__ = ["Simulation", "clock_driven", "closed_form", "event_driven"]


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
    the same 0 as silence and is written ``inf`` like it: ``inf`` means "never crossed". A spike
    time is rounded to its dtype, and may so round to t_max; in window-relative time, ``time_left``
    has what it carries, unrounded.

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
        If the pixels do not fit the network, one lies outside [0, 1], or the time convention is
        unknown.

    """
    pixels = checked_pixels(pixels, snn.n_in)
    if time not in ("window", "absolute"):
        raise InputError(f"unknown time convention {time!r}: choose window or absolute")
    x = pixels if time == "window" else decode(encode(pixels))
    spike_times, time_left, audit = [], [], []
    for layer in snn.hidden:
        if time == "window":
            activation = layer.drive(x)
            x = activation.relu().minimum(x.new_tensor(layer.window_length))
            spikes = torch.where(x > 0, layer.t_max - x, torch.inf)
        else:
            t_out = crossing_times(layer, x)
            activation = layer.t_max - t_out
            t_out = t_out.maximum(x.new_tensor(layer.t_min))
            spikes = torch.where(t_out < layer.t_max, t_out, torch.inf)
            x = decode(spikes, layer.t_max)
        spike_times.append(spikes)
        time_left.append(x)
        audit.append(layer_audit(layer, x > 0, activation))
    return Simulation(spike_times, time_left, snn.potentials(x), audit)


def crossing_times(layer: SpikingLayer, x: Tensor) -> Tensor:
    """Return when each potential meets its threshold, absolute, not yet limited to the window.

    ``x`` is (n_batch, n_in): t_min - t of each input that fired, 0 of each that stayed silent.
    """
    potential_at_t_min = layer.slope_before.to(x) * (layer.t_min - layer.t_start)
    potential_at_t_min = potential_at_t_min + x @ layer.weight.to(x)
    return layer.t_min + layer.threshold.to(x) - potential_at_t_min


def clock_driven(
    snn: SpikingNetwork, pixels: Tensor, bits: int, half_tick: bool = False
) -> Simulation:
    """Return the spike times and logits of neurons that live on a clock of 2^bits ticks a window.

    The threshold is tested at t_min + k d, k = 0, 1, ..., with d = (t_max - t_min) / 2^bits, so a
    neuron fires at the first tick at or after its crossing: its activation is rounded *down*::

        u_i = d floor((sum_j W_ji u_j + b_i) / d)

    ``half_tick`` lowers every threshold by d / 2, which rounds to the *nearest* tick instead. The
    input lives on the same clock. A spike that the clock loses, because it would have come in the
    window's last part tick, is counted as missing; one that ``half_tick`` adds, as spurious.

    Parameters
    ----------
    snn : SpikingNetwork
    pixels : (n_batch, n_in) floating tensor, in [0, 1]
    bits : int
        At least 0; at most what the dtype can tell apart, 53 in float64, 24, 11 and 8 below.
    half_tick : bool

    Raises
    ------
    InputError
        If the pixels do not fit the network, one lies outside [0, 1], or ``bits`` is out of range.

    """
    pixels = checked_pixels(pixels, snn.n_in)
    finest = 1 - round(math.log2(torch.finfo(pixels.dtype).eps))
    if not 0 <= bits <= finest:
        raise InputError(f"bits is {bits}; a clock in {pixels.dtype} has 0 to {finest}")
    shift = 0.5 if half_tick else 0.0
    x = on_ticks(pixels, 1.0, bits, shift)
    spike_times, time_left, audit = [], [], []
    for layer in snn.hidden:
        activation = layer.drive(x)
        x = on_ticks(activation, layer.window_length, bits, shift)
        spike_times.append(torch.where(x > 0, layer.t_max - x, torch.inf))
        time_left.append(x)
        fired, should_fire = x > 0, activation > 0
        audit.append(
            layer_audit(
                layer, fired, activation,
                spurious=fired & ~should_fire, missing=should_fire & ~fired,
            )
        )  # fmt: skip
    return Simulation(spike_times, time_left, snn.potentials(x), audit)


def on_ticks(time_left: Tensor, window_length: float, bits: int, shift: float) -> Tensor:
    """Return the time left at the first tick at or after each crossing, limited to the window.

    There are 2^bits ticks; with ``shift`` = 0.5 the threshold is half a tick low.
    """
    tick = window_length / 2**bits
    ticks_left = torch.floor(time_left / tick + shift).clamp(min=0, max=2**bits)
    return ticks_left * tick
