"""How far a spiking network is from its ReLU network, beside how far rounding can take it.

The bound, in units of the unit roundoff u = eps / 2 of the simulation's dtype
-----------------------------------------------------------------------------
A scalar product of n terms plus a bias, of weights that were rounded to the dtype, errs by at most
gamma_k (|x| @ |W| + |b|), with k = n + 3 and gamma_k = k u / (1 - k u), in whatever order the terms
are summed [3]. That is all that happens to a layer in window-relative time.

In absolute time the threshold crossing itself is rounded. Counting one u for each rounded quantity
in t_min + theta - (slope_before (t_min - t_start) + x @ W), for the threshold's own computation,
for t_max, and for the decoding t_max - t, adds at most::

    u (2 t_min + 2 t_max + 2 (t_max - t_min) + 4 |theta| + 6 |slope_before| (t_min - t_start))

This is each layer's *local* bound: its error if its inputs were exact. The ReLU and the window's
ends never enlarge a difference, so the *accumulated* bound e follows layer by layer::

    e_n = e_{n-1} @ |W| + local bound,   and 0 for a neuron that is silent with a margin over e_n

Both hold for every neuron and image, and neither knows the errors that were found. The reference is
the float64 ReLU network, whose own rounding obeys the same recursion and is added. Underflow is
neglected: it is below 1e-38 in float32.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ttfs.audit import Simulation
from ttfs.conversion import SpikingNetwork
from ttfs.network import ReluNetwork


@dataclass(frozen=True)
class LayerError:
    """One layer's errors and bounds, (n_batch, n_out) float64 each, in units of activation."""

    error: Tensor  # |simulated - float64 ReLU network|
    bound: Tensor  # on error
    local_error: Tensor  # |simulated - float64 ReLU layer given the simulated inputs|
    local_bound: Tensor  # on local_error
    largest_activation: float  # of the ReLU layer


def ulp(value: float, dtype: torch.dtype) -> float:
    """Return the spacing of the dtype's numbers at a positive value: one unit in the last place."""
    exponent = torch.frexp(torch.tensor(value, dtype=torch.float64)).exponent.item() - 1
    return 2.0**exponent * torch.finfo(dtype).eps


def layer_errors(
    network: ReluNetwork, snn: SpikingNetwork, pixels: Tensor, simulation: Simulation, time: str
) -> list[LayerError]:
    """Return the errors and bounds of every hidden layer's activations and of the logits.

    Parameters
    ----------
    network, snn : ReluNetwork, SpikingNetwork
    pixels : (n_batch, n_in) tensor
        In its original precision, before any rounding to the simulation's dtype.
    simulation : Simulation
        Of the same pixels, in any dtype.
    time : "window" or "absolute"
        The convention it was computed in.

    """
    dtype = simulation.logits.dtype
    activations, logits = network.forward(pixels.double())
    inputs = pixels.to(dtype)
    if time == "absolute":
        inputs = 1 - (1 - inputs)  # as encoded and decoded
    x = inputs.double()
    bound = (x - pixels.double()).abs()
    reference_x, reference_bound = pixels.double(), torch.zeros_like(x)
    errors = []
    for n, reference in enumerate([*activations, logits]):
        output = n == len(activations)
        simulated = (simulation.logits if output else simulation.time_left[n]).double()
        weight, bias = network.weights[n].double(), network.biases[n].double()
        local = x @ weight + bias
        local_bound = _rounding(x, weight, bias, dtype) + _rounding(x, weight, bias, torch.float64)
        if time == "absolute" and not output:
            local_bound += _crossing_rounding(snn.hidden[n], dtype)
        bound = bound @ weight.abs() + local_bound
        reference_bound = reference_bound @ weight.abs()
        reference_bound += _rounding(reference_x, weight, bias, torch.float64)
        total = bound + reference_bound
        if not output:
            silent = local + total < 0  # in the simulation and in the reference alike
            bound = bound.masked_fill(silent, 0)
            reference_bound = reference_bound.masked_fill(silent, 0)
            total, local = bound + reference_bound, local.relu()
        errors.append(
            LayerError(
                (simulated - reference).abs(), total, (simulated - local).abs(), local_bound,
                reference.abs().max().item(),
            )
        )  # fmt: skip
        x, reference_x = simulated, reference
    return errors


def _gamma(k: int, dtype: torch.dtype) -> float:
    """Return gamma_k = k u / (1 - k u)."""
    ku = k * torch.finfo(dtype).eps / 2
    return ku / (1 - ku)


def _rounding(x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the bound on the rounding error of x @ weight + bias, (n_batch, n_out)."""
    return _gamma(len(weight) + 3, dtype) * (x.abs() @ weight.abs() + bias.abs())


def _crossing_rounding(layer, dtype: torch.dtype) -> Tensor:
    """Return the bound on the rounding error that absolute time adds to a crossing, (n_out,)."""
    u = torch.finfo(dtype).eps / 2
    times = 2 * layer.t_min + 2 * layer.t_max + 2 * layer.window_length
    slope = layer.slope_before.abs() * (layer.t_min - layer.t_start)
    return 1.01 * u * (times + 4 * layer.threshold.abs() + 6 * slope)  # 1.01: terms in u squared
