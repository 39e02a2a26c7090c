"""How far a spiking network is from its ReLU network, beside how far rounding can take it.

The bound, in units of the unit roundoff u = eps / 2 of the simulation's dtype
-----------------------------------------------------------------------------
k rounded operations on each term of a sum change it by at most gamma_k = k u / (1 - k u) times the
sum of the terms' magnitudes, in whatever order they are added [3]. With n inputs of which m fired,
|x| @ |W| + |b| for those magnitudes, and L = t_max - t_min:

"window" time
    a term W_ji x_j is rounded with its weight, as a product, and in at most n additions (of n
    products and a bias); one to spare: k = n + 3. (In 16 bits, torch sums products in float32 and
    rounds the sum: gamma_4 of 16 bits + gamma_{n+3} of float32.) A chain of several operations
    takes as many of each, and the product of their |W|.
"absolute" time
    the same, and the crossing t_min + theta - (slope_before (t_min - t_start) + x @ W). One u
    for each rounded quantity in it, in the threshold, in t_max and in the decoding t_max - t::

        u (2 t_min + 2 t_max + 2 L + 4 |theta| + 6 |slope_before| (t_min - t_start))

"events"
    a term is rounded with its weight, in the slope (at most m + 1 additions, alpha's own slope
    among them), with a duration and as a product (2), in the potential (at most m + 2) and with
    the output's bias; one to spare: k = 2 m + 8. The spike that carries x_j is itself rounded,
    twice: 2 u times the input's window. The crossing adds u (2 |theta| + 4 L). The alpha neuron's
    slope in its window is a sum, 1 to within d = gamma_{n+3} (|alpha| + sum |W|). It acts for at
    most L and divides the crossing: (L d + the crossing's rounding) / (1 - d).

This is each layer's *local* bound: its error if its inputs were exact. The ReLU and the window's
ends never enlarge a difference, so the *accumulated* bound e follows layer by layer::

    e_n = e_{n-1} @ |W| + local bound,   and 0 for a neuron that is silent with a margin over e_n

Both hold for every neuron and image, and neither knows the accumulated errors. Where k u >= 1
(long sums in 16 bits) there is no such bound: it is infinite. What a simulation is held against,
the float64 ReLU network and each layer given the simulated inputs, is itself rounded: twice the
float64 bound is part of each local bound. Underflow adds at most half the smallest subnormal number
to each weight, bias and product, and sums do not underflow: with it, n + 2 + sum |x| of them. (In a
chain, only what underflows in its last operation is bounded so.)
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ttfs.conversion import SpikingLayer, SpikingNetwork
from ttfs.network import Layer, ReluNetwork
from ttfs.outcome import Simulation

CERTIFIED = ("closed-form", "closed-form:absolute", "event-driven")
EXACT = torch.float64


@dataclass(frozen=True)
class LayerError:
    """One layer's errors and bounds, (n_batch, n_out) float64 each, in units of activation."""

    error: Tensor  # |simulated - float64 ReLU network|
    bound: Tensor  # on error
    local_error: Tensor  # |simulated - float64 ReLU layer given the simulated inputs|
    local_bound: Tensor  # on local_error


class ExactLayer(NamedTuple):
    """A layer of the ReLU network in float64, and what bounds are propagated by."""

    layer: Layer
    absolute: Layer  # |W| and |b|
    spread: Layer  # |W|
    total: Tensor  # sum_j |W_ij|, (n_out,)


class Reference(NamedTuple):
    """What the float64 ReLU network makes of a batch, layer by layer: (n_batch, n_out) each."""

    layers: list[ExactLayer]
    values: list[Tensor]  # activations and, last, logits
    magnitudes: list[Tensor]  # |W| x + |b|


def ulp(value: float, dtype: torch.dtype) -> float:
    """Return the spacing of the dtype's numbers at a positive value: one unit in the last place."""
    exponent = torch.frexp(torch.tensor(value, dtype=EXACT)).exponent.item() - 1
    return 2.0**exponent * torch.finfo(dtype).eps


def exact_layers(network: ReluNetwork) -> list[ExactLayer]:
    """Return a network's layers in float64, each with what its bounds need."""
    found = []
    for layer in network.layers:
        exact = layer.synapses.changed(Tensor.double, Tensor.double)
        chains = (exact, exact.changed(torch.abs, torch.abs), exact.changed(torch.abs))
        layers = (Layer(chain, layer.pool) for chain in chains)
        found.append(ExactLayer(*layers, exact.sums(torch.abs)))
    return found


def relu_reference(layers: list[ExactLayer], pixels: Tensor) -> Reference:
    """Return what the float64 ReLU network makes of pixels, (n_batch, n_in)."""
    reference, x = Reference(layers, [], []), pixels.to(EXACT)
    for exact in layers:
        reference.magnitudes.append(exact.absolute.drive(x))
        x = exact.layer.drive(x)
        if exact is not layers[-1]:
            x = x.relu_()
        reference.values.append(x)
    return reference


def layer_errors(
    snn: SpikingNetwork, relu: Reference, pixels: Tensor, simulation: Simulation, engine: str
) -> Iterator[LayerError]:
    """Yield the errors and bounds of every hidden layer's activations and, last, of the logits.

    Parameters
    ----------
    snn : SpikingNetwork
    relu : Reference
        Of the ReLU network that was converted, on the same pixels.
    pixels : (n_batch, n_in) tensor
        In its original precision, before any rounding to the simulation's dtype.
    simulation : Simulation
        Of the same pixels, in any dtype.
    engine : one of CERTIFIED
        The closed form in either time convention, or the event-driven simulator.

    """
    dtype = simulation.logits.dtype
    x = pixels.to(dtype)
    if engine != "closed-form":
        x = 1 - (1 - x)  # as encoded and decoded
    x = x.to(EXACT)
    bound = error = (x - pixels).abs_()
    outcomes = [*simulation.time_left, simulation.logits]
    for n, (exact, spiking) in enumerate(zip(relu.layers, snn.layers, strict=True)):
        # |W| x + |b| of the simulated inputs: at most that of the true ones, and what errors add.
        largest = exact.layer.received(error).amax(1, keepdim=True)
        magnitudes = torch.addcmul(relu.magnitudes[n], largest, exact.total)
        rounding = _local_bound(exact, spiking, x, magnitudes, dtype, engine)
        bound = _without_nan(exact.spread.drive(bound).add_(rounding))
        simulated, local = outcomes[n].to(EXACT), exact.layer.drive(x)
        if spiking is not snn.readout:
            bound.masked_fill_(local + bound < 0, 0)  # silent, whatever the rounding
            local.relu_()
        error, local_error = (simulated - relu.values[n]).abs_(), local.sub_(simulated).abs_()
        yield LayerError(error, bound, local_error, rounding)
        x = simulated


def _local_bound(
    exact: ExactLayer, spiking: SpikingLayer, x: Tensor, magnitudes: Tensor, dtype, engine: str
) -> Tensor:
    """Return a layer's local bound, (n_batch, n_out): of the simulation, and twice of float64."""
    x = spiking.received(x)
    rounding = _event_rounding if engine == "event-driven" else _sum_rounding
    gamma, more = rounding(exact, spiking, x, dtype, engine)
    gamma = gamma + 2 * _gamma(exact.layer.synapses.roundings, EXACT)
    underflow = _smallest(dtype) + 2 * _smallest(EXACT)
    more = more + underflow * (x.shape[1] + 2 + x.sum(1, keepdim=True))
    return _without_nan(torch.addcmul(more, magnitudes, gamma))


def _sum_rounding(exact: ExactLayer, spiking: SpikingLayer, x: Tensor, dtype, engine: str):
    """Return the closed form's gamma, of the sum's terms, and what it adds beside them."""
    roundings, steps = exact.layer.synapses.roundings, len(exact.layer.synapses.steps)
    gamma = _gamma(roundings, dtype)
    if torch.finfo(dtype).bits == 16:
        gamma = _gamma(4 * steps, dtype) + _gamma(roundings, torch.float32)
    if engine == "closed-form" or spiking.t_max == math.inf:  # the read-out has no crossing
        return gamma, torch.zeros_like(exact.total)
    ends = 2 * spiking.t_min + 2 * spiking.t_max + 2 * spiking.window.length
    own = spiking.slope_before.abs() * (spiking.t_min - spiking.t_start)
    u = torch.finfo(dtype).eps / 2
    return gamma, 1.01 * u * (ends + 4 * spiking.threshold.abs() + 6 * own)  # 1.01: terms in u^2


def _event_rounding(exact: ExactLayer, spiking: SpikingLayer, x: Tensor, dtype, engine: str):
    """Return the event-driven engine's gamma, of the sum's terms, and what it adds beside them."""
    u, input_window = torch.finfo(dtype).eps / 2, spiking.t_min - spiking.t_start
    fired = (x > 0).to(EXACT)
    gamma = _gamma(2 * fired.sum(1, keepdim=True) + 8, dtype)
    crossing = torch.zeros_like(exact.total)
    if spiking.t_max < math.inf:  # the read-out has no crossing
        crossing = u * (2 * spiking.threshold.abs() + 4 * spiking.window.length)
    if spiking.neuron.forced:
        d = _gamma(exact.layer.synapses.roundings, dtype)
        d = d * (spiking.slope_before.abs() + exact.total)  # the slope is 1 to within d
        crossing = torch.where(d < 1, (crossing + spiking.window.length * d) / (1 - d), torch.inf)
    spikes = exact.spread.synapses(fired).mul_(2 * u * input_window)
    own = gamma * spiking.slope_before.abs() * input_window
    return gamma, spikes.add_(crossing).mul_(1.01).add_(own)


def _without_nan(bound: Tensor) -> Tensor:
    """Return a bound with inf for NaN, which is inf x 0: there is none."""
    return bound if torch.isfinite(bound.sum()) else bound.nan_to_num_(torch.inf, torch.inf)


def _gamma(k: float | Tensor, dtype: torch.dtype) -> Tensor:
    """Return gamma_k = k u / (1 - k u), infinite where k u >= 1."""
    ku = torch.as_tensor(k, dtype=EXACT) * torch.finfo(dtype).eps / 2
    return torch.where(ku < 1, ku / (1 - ku), torch.inf)


def _smallest(dtype: torch.dtype) -> float:
    """Return the smallest subnormal number; of float64 the smallest normal one.

    Processors are slow with subnormal numbers, and a bound may be larger than it need be.
    """
    smallest = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
    return max(smallest, torch.finfo(EXACT).smallest_normal)
