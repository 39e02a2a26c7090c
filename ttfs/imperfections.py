"""What hardware adds, as firing rules: a clock, jitter, lost spikes, unequal thresholds.

Each function returns a rule for ``ttfs.simulation.simulate``. All but the clock disturb another
rule, by default the exact one, so that they can be combined. Coarse weights make another network.
Networks can be trained through all of them: rounding is *straight-through*, which means that the
gradient is that of the exact rule, or of the exact weights.
"""

import torch
from torch import Tensor

from ttfs import InputError
from ttfs.coding import Window
from ttfs.conversion import SpikingNetwork
from ttfs.network import ReluNetwork
from ttfs.neurons import FiringRule, crossing

TERNARY = 1.6  # bits: log2 of three values


def clock(bits: int, half_tick: bool = False) -> FiringRule:
    """Return the rule of neurons that live on a clock of 2^bits ticks per window.

    The threshold is tested at t_min + k d, k = 0, 1, ..., with d = (t_max - t_min) / 2^bits, so a
    neuron fires at the first tick at or after its crossing: its activation is rounded *down*::

        u_i = d floor((sum_j W_ji u_j + b_i) / d)

    ``half_tick`` lowers every threshold by d / 2, which rounds to the *nearest* tick instead.
    """
    shift = 0.5 if half_tick else 0.0

    def fire(drive: Tensor, window: Window) -> Tensor:
        tick = window.length / 2**bits
        rounded = torch.floor(drive / tick + shift).clamp(min=0, max=2**bits) * tick
        return (
            straight_through(crossing(drive, window), rounded) if drive.requires_grad else rounded
        )

    return fire


def jitter(deviation: float, generator: torch.Generator, fire: FiringRule = crossing) -> FiringRule:
    """Return the rule by which every spike moves by L x deviation x a Gaussian of its own.

    It stays inside its window. A silent neuron has no spike, so nothing happens to it.
    """

    def disturbed(drive: Tensor, window: Window) -> Tensor:
        u = fire(drive, window)
        shift = deviation * window.length * _normal(u.shape, u, generator)
        return torch.where(u > 0, (u - shift).clamp(min=0, max=window.length), 0)

    return disturbed


def loss(probability: float, generator: torch.Generator, fire: FiringRule = crossing) -> FiringRule:
    """Return the rule by which each spike is lost with the same probability."""

    def disturbed(drive: Tensor, window: Window) -> Tensor:
        u = fire(drive, window)
        kept = torch.rand(u.shape, generator=generator, dtype=torch.float32) >= probability
        return torch.where(kept.to(u.device), u, 0)

    return disturbed


def mismatch(
    snn: SpikingNetwork, deviation: float, generator: torch.Generator, fire: FiringRule = crossing
) -> FiringRule:
    """Return the rule of thresholds that are off by L x deviation x a Gaussian, one per neuron.

    It is drawn here, layer by layer, and is the same for all images. The input has no threshold.
    """
    offsets = {}
    for layer in snn.hidden:
        bias = layer.synapses.bias()
        offset = _normal(bias.shape, bias, generator)
        offsets[layer.window.layer] = deviation * layer.window.length * offset

    def disturbed(drive: Tensor, window: Window) -> Tensor:
        if window.layer in offsets:
            drive = drive - offsets[window.layer].to(drive)
        return fire(drive, window)

    return disturbed


def quantised(
    network: ReluNetwork, bits: float, per_neuron: bool, typical: bool = False
) -> ReluNetwork:
    """Return the network with weights of so many bits: symmetric, the largest one kept.

    A weight is rounded to a multiple of its scale, the largest magnitude / (2^(bits - 1) - 1),
    of the layer or (``per_neuron``) of the neuron. Biases are thresholds: they stay as they are.

    With ``typical`` the scale is 2 mean|w| / sqrt(2^(bits - 1) - 1): it cuts the largest weights
    off, and tells small ones apart, which is worth more once the others have been trained to it
    [4]. Weights of 1.6 bits are ternary: -1, 0 or 1 times the scale, as those of 2 bits are.
    """
    if bits not in (TERNARY, *range(2, 17)):
        raise InputError(f"bits is {bits}; a symmetric weight has 2 to 16, or {TERNARY}: ternary")
    for n, layer in enumerate(network.layers, start=1):
        if sum(step.weight is not None for step in layer.synapses.steps) > 1:
            raise InputError(f"layer {n} multiplies weights: fold normalisation into them first")
    top = 1 if bits == TERNARY else 2 ** (int(bits) - 1) - 1

    def rounded(weight: Tensor) -> Tensor:  # (n_out, ...)
        exact = weight.detach().float()
        size = exact.reshape(len(weight) if per_neuron else 1, -1).abs()
        scale = 2 * size.mean(1) / top**0.5 if typical else size.amax(1) / top
        scale = torch.where(scale > 0, scale, 1).expand(len(weight)).contiguous()
        zero = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
        coarse = torch.fake_quantize_per_channel_affine(exact, scale, zero, 0, -top, top)
        return straight_through(weight, coarse.to(weight))

    return network.mapped(lambda synapses: synapses.changed(rounded, lambda bias: bias))


class _StraightThrough(torch.autograd.Function):
    """Forward, the rounded numbers; backward, the gradient as it comes."""

    @staticmethod
    def forward(ctx, exact: Tensor, rounded: Tensor) -> Tensor:
        return rounded.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def straight_through(exact: Tensor, rounded: Tensor) -> Tensor:
    """Return the rounded numbers, with the gradient of the exact ones."""
    return _StraightThrough.apply(exact, rounded)


def _normal(shape, like: Tensor, generator: torch.Generator) -> Tensor:
    """Return standard Gaussian numbers of another tensor's dtype and device."""
    return torch.randn(shape, generator=generator, dtype=torch.float32).to(like)
