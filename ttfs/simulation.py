"""Simulators of a spiking network: pixels in; spike times, logits and an audit out.

In time left, u = t_max - t, all but one are the same loop: drive = W u + b, then u = fire(drive).
``closed_form`` fires exactly, ``clock_driven`` on ticks. ``event_driven`` (``ttfs.events``) is the
independent check: it integrates membrane potentials spike by spike.
"""

import math
import re
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from ttfs import InputError
from ttfs.coding import INPUT, decode, encode
from ttfs.conversion import SpikingLayer, SpikingNetwork, checked_inputs
from ttfs.events import event_driven
from ttfs.imperfections import clock
from ttfs.neurons import FiringRule, crossing
from ttfs.outcome import Simulation, crossing_counts, difference_counts

__all__ = ["Simulation", "clock_driven", "closed_form", "event_driven", "simulate", "simulator"]


def simulate(snn: SpikingNetwork, pixels: Tensor, fire: FiringRule = crossing) -> Simulation:
    """Return what a network does whose spikes obey a firing rule, the input's among them.

    ``pixels`` are (n_batch, n_in), in [0, 1]; their dtype and device decide those of the
    computation. Differentiable as far as the rule is. InputError if the pixels do not fit.
    """
    pixels = checked_inputs(snn, pixels)
    return propagate(snn.layers, pixels if fire is crossing else fire(pixels, INPUT), fire)


def propagate(
    layers: Sequence[SpikingLayer],
    u: Tensor,
    fire: FiringRule = crossing,
    drive: Callable[[SpikingLayer, Tensor], Tensor] = SpikingLayer.drive,
) -> Simulation:
    """Return what layers, the last a read-out, do with inputs of which the time left is u.

    The one loop, in a window of length L::

        u_i = fire(sum_j W_ji u_j + b_i)        exactly: min(max(0, sum_j W_ji u_j + b_i), L)
        logit_k = sum_j W_jk u_j + b_k
    """
    inputs, time_left, counts = u, [], []
    for layer in layers[:-1]:
        crossings = drive(layer, u)
        counts.append(crossing_counts(crossings, layer.window))
        if fire is crossing:  # neither adds nor loses a spike, and needs no memory of its own
            u = crossing(crossings, layer.window, None if crossings.requires_grad else crossings)
        else:
            u = fire(crossings, layer.window)
            counts[-1] |= difference_counts(crossings, u)
        time_left.append(u)
    windows = [layer.window for layer in layers[:-1]]
    return Simulation(windows, inputs, time_left, layers[-1].drive(u), counts)


def closed_form(snn: SpikingNetwork, pixels: Tensor, time: str = "window") -> Simulation:
    """Return the network's spike times and logits from one matrix product per layer.

    A spike is handed to the next layer in one of two time conventions, which agree in exact
    arithmetic (``ttfs.conversion.convert`` derives both)::

        "window"    time left, u = t_max - t:    u_i = sum_j W_ji u_j + b_i
        "absolute"  time since the image began:  t_i = t_min + theta_i - V_i(t_min)

    Window-relative time keeps its precision however late the window is; absolute time loses one
    bit each time t_max doubles. A crossing at or after t_max is silence. A crossing before t_min
    is a saturation: the neuron fires at t_min. The alpha neuron's forced spike at t_max carries
    the same 0 as silence and is written ``inf`` like it: ``inf`` means "never crossed".

    Parameters
    ----------
    snn : SpikingNetwork
    pixels : (n_batch, n_in) floating tensor, in [0, 1]
        Its dtype and device decide those of the computation.
    time : "window" or "absolute"

    """
    if time == "window":
        return simulate(snn, pixels)
    if time != "absolute":
        raise InputError(f"unknown time convention {time!r}: choose window or absolute")
    pixels = checked_inputs(snn, pixels)
    return propagate(snn.layers, decode(encode(pixels)), drive=absolute_drive)


def absolute_drive(layer: SpikingLayer, u: Tensor) -> Tensor:
    """Return t_max - t_i, (n_batch, n_out), by way of the absolute time of each crossing::

        V_i(t_min) = slope_before_i (t_min - t_start) + sum_j W_ji (t_min - t_j)
        t_i        = t_min + theta_i - V_i(t_min)

    ``u`` is t_min - t_j of each input that fired, 0 of each that stayed silent.
    """
    inputs = layer.synapses.changed(lambda weight: weight)(layer.received(u))
    potential = layer.slope_before.to(u) * (layer.t_min - layer.t_start) + inputs
    return layer.t_max - (layer.t_min + layer.threshold.to(u) - potential)


def clock_driven(
    snn: SpikingNetwork, pixels: Tensor, bits: int, half_tick: bool = False
) -> Simulation:
    """Return the spike times and logits of neurons that live on a clock of 2^bits ticks per window.

    The firing rule is ``ttfs.imperfections.clock``; the input lives on the same clock. A spike that
    the clock loses, because it would have come in the window's last part tick, is counted as
    missing; one that ``half_tick`` adds, as spurious. InputError if there are fewer bits than 0 or
    more than the dtype can tell apart: 53 in float64, 24, 11 and 8 below.
    """
    pixels = checked_inputs(snn, pixels)
    finest = 1 - round(math.log2(torch.finfo(pixels.dtype).eps))
    if not 0 <= bits <= finest:
        raise InputError(f"bits is {bits}; a clock in {pixels.dtype} has 0 to {finest}")
    return simulate(snn, pixels, clock(bits, half_tick))


ENGINE_WORDS = (
    "closed-form, closed-form:absolute, event-driven, event-driven:unguarded, clock:BITS, "
    "clock:BITS:half-tick"
)


def simulator(engine: str) -> Callable[[SpikingNetwork, Tensor], Simulation]:
    """Return the simulator that the command line's words name; InputError if they name none."""
    match engine.split(":"):
        case ["closed-form"]:
            return closed_form
        case ["closed-form", "absolute"]:
            return partial(closed_form, time="absolute")
        case ["event-driven"]:
            return event_driven
        case ["event-driven", "unguarded"]:
            return partial(event_driven, guard=False)
        case ["clock", bits] if re.fullmatch(r"\d\d?", bits):
            return partial(clock_driven, bits=int(bits))
        case ["clock", bits, "half-tick"] if re.fullmatch(r"\d\d?", bits):
            return partial(clock_driven, bits=int(bits), half_tick=True)
    raise InputError(f"unknown engine {engine!r}: choose from {ENGINE_WORDS}")
