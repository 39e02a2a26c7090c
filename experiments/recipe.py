"""The conversion of the original write-up, as it was done, so that its loss can be explained.

The original write-up is the text that this project started from. Nothing here is the method of the
two papers. The recipe scales each sample's activations to [0, 1] before every layer; that is no
network of fixed weights, and unless biases are scaled with the activations it computes another
function.
"""

import torch
from torch import Tensor

from ttfs.datasets import Split
from ttfs.network import ReluNetwork
from ttfs.outcome import Simulation

REPORTED_IMAGES = 1000
REPORTED_CORRECT = {2: (968, 965), 4: (968, 963), 6: (968, 940), 8: (968, 920)}  # ReLU, spiking


def recipe_logits(
    network: ReluNetwork, pixels: Tensor, t_max: float = 15.0, rescale_bias: bool = False
) -> Tensor:
    """Return the logits of the original write-up's recipe, (n_batch, n_classes).

    Before every layer each sample's values are scaled to x' = (x - min) / (max - min) and encoded
    as spike times; the layer's neurons fire in [0, t_max], at t = t_max - (sum_j W_ji x'_j + b_i),
    and hand on t_max - t. The bias is *not* divided by max - min, though everything else is, so it
    weighs more with every layer that enlarges its input, and less where it shrinks.
    ``rescale_bias`` divides it by the product of all scales so far: with min = 0, as ReLU gives it,
    the logits are then the ReLU network's, divided by that product.

    Parameters
    ----------
    network : ReluNetwork
    pixels : (n_batch, n_in) floating tensor
    t_max : float, model time
        Length of every window: activations above it saturate.
    rescale_bias : bool

    """
    x, product = pixels, 1.0
    for n, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        scale = sample_scale(x)
        x = (x - x.amin(1, keepdim=True)) / scale
        product = product * scale
        x = x @ weight.to(x) + bias.to(x) / (product if rescale_bias else 1)
        if n < network.depth - 1:
            x = x.clamp(min=0, max=t_max)
    return x


def sample_scale(x: Tensor) -> Tensor:
    """Return each sample's max - min, (n_batch, 1); 1 where all its values are equal."""
    scale = x.amax(1, keepdim=True) - x.amin(1, keepdim=True)
    return torch.where(scale > 0, scale, 1)


def literal_formula_logits(network: ReluNetwork, pixels: Tensor, t_max: float = 15.0) -> Tensor:
    """Return the logits of neurons that fire at (V_threshold - V_rest) / input_current, literally.

    V_threshold = t_max - b_i - sum_j W_ji, V_rest = 0, and the current is I_i = sum_j W_ji x_j
    throughout. The time of a threshold crossing under a *constant* current, it is not the time
    under a current that changes with every input spike: what t_max - V_threshold / I_i carries is
    not linear in x. A neuron without a positive current, or later than t_max, is silent.
    """
    x = pixels
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        weight, bias = weight.to(x), bias.to(x)
        current = x @ weight
        threshold = t_max - bias - weight.sum(0)
        t_out = torch.where(current > 0, (threshold / current).clamp(min=0), torch.inf)
        x = torch.where(t_out < t_max, t_max - t_out, 0)
    return x @ network.weights[-1].to(x) + network.biases[-1].to(x)


def pixel_statistics(images: Tensor) -> tuple[float, float]:
    """Return the mean and the standard deviation of all pixels."""
    return images.mean().item(), images.std().item()


def standardised(split: Split, mean: float, deviation: float) -> Split:
    """Return the split with pixels (x - mean) / deviation, as many trainers prepare them."""
    return Split((split.images - mean) / deviation, split.labels)


def outcome(pixels: Tensor, logits: Tensor) -> Simulation:
    """Return the logits of pixels as a simulator returns them, so that they can be judged alike."""
    return Simulation([], pixels, [], logits, [])
