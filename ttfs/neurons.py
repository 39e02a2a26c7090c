"""Neuron models: what each does before its window opens, and when it fires.

While inputs arrive, from t_start (the previous layer's t_min) to t_min, the membrane potential V of
neuron i has the slope ``slope_before_i + sum_j W_ji [input j has fired]``. From t_min on the slope
is 1, and the neuron fires when V reaches its threshold (``ttfs.conversion``).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ttfs.affine import Affine
from ttfs.coding import Window

FiringRule = Callable[[Tensor, Window], Tensor]  # from a drive to the time left of each spike


@dataclass(frozen=True)
class Neuron:
    """A neuron model."""

    name: str
    slope_before: Callable[[Affine], Tensor]  # (n_out,) float64: its own, before t_min
    forced: bool  # a silent neuron is made to fire at t_max: one spike per neuron
    guarded: bool  # its threshold counts from t_min only, by definition


def _no_slope(synapses: Affine) -> Tensor:
    return torch.zeros_like(synapses.bias(), dtype=torch.float64)


def _alpha(synapses: Affine) -> Tensor:
    return 1 - synapses.sums()


NEURONS = {
    # [2]: the slope becomes 1 at t_min, and a silent input contributes nothing.
    "B1": Neuron("B1", _no_slope, forced=False, guarded=True),
    # [1]: the slope is 1 once every input has fired, so every input must fire.
    "alpha": Neuron("alpha", _alpha, forced=True, guarded=False),
}


def crossing(drive: Tensor, window: Window, out: Tensor | None = None) -> Tensor:
    """Return the time left at each spike: min(max(0, drive), L). The exact firing rule.

    The drive W u + b is the time left at a threshold crossing, whatever the window; a *firing
    rule* makes of it the time left of a spike, 0 for none. ``ttfs.imperfections`` has others.
    """
    largest = torch.finfo(drive.dtype).max  # a longer window cuts nothing off
    return torch.clamp(drive, 0, min(window.length, largest), out=out)
