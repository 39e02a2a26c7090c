"""How far a spiking network is from its ReLU network, beside how far rounding can take it.

The bound, in units of the unit roundoff u = eps / 2 of the simulation's dtype
-----------------------------------------------------------------------------
k rounded operations on each term of a sum change it by at most gamma_k = k u / (1 - k u) times the
sum of the terms' magnitudes, in whatever order they are added [3]. With n inputs of which m fired,
|x| @ |W| + |b| for those magnitudes, and L = t_max - t_min:

"window" time
    a term W_ji x_j is rounded with its weight, as a product, and in at most n additions (of n
    products and a bias); one to spare: k = n + 3. (In 16 bits, torch sums products in float32 and
    rounds the sum: gamma_4 of 16 bits + gamma_{n+3} of float32.)
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

Both hold for every neuron and image, and neither knows the errors that were found. Where k u >= 1
(long sums in 16 bits) there is no such bound: it is infinite. The reference is the float64 ReLU
network, whose own rounding obeys the same recursion and is added. Underflow adds at most half the
smallest subnormal number to each weight, bias and product, and sums do not underflow: with it,
n + 2 + sum |x| of them.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ttfs.audit import Simulation
from ttfs.conversion import SpikingNetwork
from ttfs.network import ReluNetwork

ENGINES = ("window", "absolute", "events")


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
    network: ReluNetwork, snn: SpikingNetwork, pixels: Tensor, simulation: Simulation, engine: str
) -> list[LayerError]:
    """Return the errors and bounds of every hidden layer's activations and of the logits.

    Parameters
    ----------
    network, snn : ReluNetwork, SpikingNetwork
    pixels : (n_batch, n_in) tensor
        In its original precision, before any rounding to the simulation's dtype.
    simulation : Simulation
        Of the same pixels, in any dtype.
    engine : "window", "absolute" or "events"
        The closed form in either time convention, or the event-driven simulator.

    """
    dtype = simulation.logits.dtype
    activations, logits = network.forward(pixels.double())
    inputs = pixels.to(dtype)
    if engine != "window":
        inputs = 1 - (1 - inputs)  # as encoded and decoded
    x, reference_x = inputs.double(), pixels.double()
    bound, reference_bound = (x - reference_x).abs(), torch.zeros_like(x)
    errors = []
    for n, reference in enumerate([*activations, logits]):
        output = n == len(activations)
        simulated = (simulation.logits if output else simulation.time_left[n]).double()
        weight, bias = network.weights[n].double(), network.biases[n].double()
        local = x @ weight + bias
        local_bound = _local_bound(snn, n, x, weight, bias, dtype, engine)
        reference_rounding = _sum_rounding(reference_x, weight, bias, torch.float64)
        local_bound = local_bound + _sum_rounding(x, weight, bias, torch.float64)
        local_bound = local_bound.nan_to_num(torch.inf, torch.inf)  # inf x 0 where there is none
        bound = (bound @ weight.abs() + local_bound).nan_to_num(torch.inf, torch.inf)
        reference_bound = reference_bound @ weight.abs() + reference_rounding
        if not output:
            silent = local + bound + reference_bound < 0  # in the simulation and the reference
            bound = bound.masked_fill(silent, 0)
            reference_bound = reference_bound.masked_fill(silent, 0)
            local = local.relu()
        errors.append(
            LayerError(
                (simulated - reference).abs(), bound + reference_bound,
                (simulated - local).abs(), local_bound, reference.abs().max().item(),
            )
        )  # fmt: skip
        x, reference_x = simulated, reference
    return errors


def _gamma(k: float | Tensor, dtype: torch.dtype) -> Tensor:
    """Return gamma_k = k u / (1 - k u), infinite where k u >= 1."""
    ku = torch.as_tensor(k, dtype=torch.float64) * torch.finfo(dtype).eps / 2
    return torch.where(ku < 1, ku / (1 - ku), torch.inf)


def _sum_rounding(x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the bound on the rounding error of x @ weight + bias, (n_batch, n_out)."""
    gamma = _gamma(len(weight) + 3, dtype)
    if torch.finfo(dtype).bits == 16:
        gamma = _gamma(4, dtype) + _gamma(len(weight) + 3, torch.float32)
    return gamma * (x.abs() @ weight.abs() + bias.abs()) + _underflow(x, dtype)


def _underflow(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the bound on what underflow adds to a sum over the inputs x, (n_batch, 1)."""
    smallest = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
    return smallest * (x.shape[1] + 2 + x.abs().sum(1, keepdim=True))


def _local_bound(snn: SpikingNetwork, n: int, x: Tensor, weight, bias, dtype, engine) -> Tensor:
    """Return the local bound of weight layer n (from 0), (n_batch, n_out)."""
    layer = snn.hidden[n] if n < len(snn.hidden) else None
    u = torch.finfo(dtype).eps / 2
    if engine == "events":
        return _events_rounding(snn, layer, x, weight, bias, dtype)
    rounding = _sum_rounding(x, weight, bias, dtype)
    if engine == "absolute" and layer is not None:
        times = 2 * layer.t_min + 2 * layer.t_max + 2 * layer.window_length
        slope = layer.slope_before.abs() * (layer.t_min - layer.t_start)
        rounding += 1.01 * u * (times + 4 * layer.threshold.abs() + 6 * slope)  # 1.01: terms in u^2
    return rounding


def _events_rounding(snn: SpikingNetwork, layer, x: Tensor, weight, bias, dtype) -> Tensor:
    """Return the local bound of the event-driven simulator, (n_batch, n_out)."""
    u = torch.finfo(dtype).eps / 2
    magnitudes = x.abs() @ weight.abs() + bias.abs()
    fired = (x > 0).double()
    if layer is None:
        input_window = snn.hidden[-1].window_length if snn.hidden else 1.0
        crossing = torch.zeros(())
    else:
        input_window = layer.t_min - layer.t_start
        magnitudes = magnitudes + layer.slope_before.abs() * input_window
        crossing = u * (2 * layer.threshold.abs() + 4 * layer.window_length)
        if snn.neuron == "alpha":
            slope = layer.slope_before.abs() + weight.abs().sum(0)
            slope = _gamma(len(weight) + 3, dtype) * slope  # the error of a slope of 1
            crossing = (crossing + layer.window_length * slope) / (1 - slope)
            crossing = torch.where(slope < 1, crossing, torch.inf)
    gamma = _gamma(2 * fired.sum(1, keepdim=True) + 8, dtype)
    spikes = 2 * u * input_window * (fired @ weight.abs())
    return gamma * magnitudes + 1.01 * (spikes + crossing) + _underflow(x, dtype)
