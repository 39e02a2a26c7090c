"""What hardware adds: spikes that jitter or get lost, thresholds that differ, coarse weights."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ttfs.audit import Simulation, layer_audit
from ttfs.coding import checked_pixels
from ttfs.conversion import SpikingNetwork
from ttfs.errors import InputError
from ttfs.network import ReluNetwork


@dataclass(frozen=True)
class Noise:
    """How imperfect spikes and neurons are. Times and thresholds are in units of the window."""

    jitter: float = 0.0  # standard deviation of a spike's time
    loss: float = 0.0  # probability that a spike is lost
    mismatch: float = 0.0  # standard deviation of a neuron's threshold, fixed for all images


def noisy_closed_form(
    snn: SpikingNetwork, pixels: Tensor, noise: Noise, generator: torch.Generator
) -> Simulation:
    """Return what a network of imperfect spikes and neurons does with images.

    A neuron meets its threshold at t_max - (sum_j W_ji x_j + b_i) + L mismatch g_i, with one
    Gaussian g_i for each neuron; a spike that exists moves by L jitter g, with one Gaussian for
    each spike, but stays inside its window; and each spike is lost with probability ``loss``. Input
    spikes jitter and get lost as well. A silent neuron has no spike, so nothing happens to it.

    Parameters
    ----------
    snn : SpikingNetwork
    pixels : (n_batch, n_in) floating tensor, in [0, 1]
    noise : Noise
    generator : torch.Generator
        Draws the mismatch, layer by layer, and then the rest.

    """
    pixels = checked_pixels(pixels, snn.n_in)
    offsets = [
        noise.mismatch * layer.window_length * _normal(layer.bias.shape, pixels, generator)
        for layer in snn.hidden
    ]
    x = _disturbed(pixels, 1.0, noise, generator)
    spike_times, time_left, audit = [], [], []
    for layer, offset in zip(snn.hidden, offsets, strict=True):
        activation = layer.drive(x) - offset
        fired = activation.relu().minimum(x.new_tensor(layer.window_length))
        x = _disturbed(fired, layer.window_length, noise, generator)
        spike_times.append(torch.where(x > 0, layer.t_max - x, torch.inf))
        time_left.append(x)
        audit.append(layer_audit(layer, x > 0, activation))
    return Simulation(spike_times, time_left, snn.potentials(x), audit)


def quantised(network: ReluNetwork, bits: int, per_channel: bool) -> ReluNetwork:
    """Return the network with weights of so many bits: symmetric, the largest one kept.

    A weight is rounded to a multiple of its scale, the largest magnitude / (2^(bits - 1) - 1),
    of the layer or (``per_channel``) of the neuron. Biases are thresholds: they stay as they are.
    """
    if not 2 <= bits <= 16:
        raise InputError(f"bits is {bits}; a symmetric weight has 2 to 16")
    top = 2 ** (bits - 1) - 1
    weights = []
    for weight in network.weights:
        weight = weight.detach().float()
        largest = weight.abs().amax(0) if per_channel else weight.abs().max()
        scale = torch.where(largest > 0, largest / top, 1)
        if per_channel:
            zero = torch.zeros(len(scale), dtype=torch.int32)
            rounded = torch.fake_quantize_per_channel_affine(weight, scale, zero, 1, -top, top)
        else:
            rounded = torch.fake_quantize_per_tensor_affine(weight, scale.item(), 0, -top, top)
        weights.append(rounded)
    return ReluNetwork(weights, network.biases)


def _disturbed(time_left: Tensor, window_length: float, noise: Noise, generator) -> Tensor:
    """Return the time left after each spike's jitter and loss; silence stays silence."""
    fired = time_left > 0
    if noise.jitter:
        shift = noise.jitter * window_length * _normal(time_left.shape, time_left, generator)
        time_left = torch.where(fired, (time_left - shift).clamp(min=0, max=window_length), 0)
    if noise.loss:
        kept = torch.rand(time_left.shape, generator=generator, dtype=torch.float32) >= noise.loss
        time_left = torch.where(kept.to(time_left.device), time_left, 0)
    return time_left


def _normal(shape, like: Tensor, generator: torch.Generator) -> Tensor:
    """Return standard Gaussian numbers of another tensor's dtype and device."""
    return torch.randn(shape, generator=generator, dtype=torch.float32).to(like)
