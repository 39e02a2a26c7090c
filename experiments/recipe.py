"""The conversion of the original write-up, as it was done, so that its loss can be explained.

The original write-up is the text that this project started from. Nothing here is the method of the
two papers. The recipe scales each sample's activations to [0, 1] before every layer; that is no
network of fixed weights, and unless biases are scaled with the activations it computes another
function.
"""

from collections.abc import Collection

import torch
from torch import Tensor

from ttfs.datasets import Split
from ttfs.network import ReluNetwork
from ttfs.outcome import Simulation

REPORTED_IMAGES = 1000
REPORTED_CORRECT = {2: (968, 965), 4: (968, 963), 6: (968, 940), 8: (968, 920)}  # ReLU, spiking
MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST's pixels, as many trainers write them down


def recipe(
    network: ReluNetwork,
    pixels: Tensor,
    t_max: float = 15.0,
    rescaled: Collection[int] = (),
) -> tuple[Tensor, list[Tensor]]:
    """Return the logits of the original write-up's recipe, and each layer's factor of the bias.

    Before every layer each sample's values are scaled to x' = (x - min) / (max - min), which fire
    at t_j = 1 - x'_j. The potential of neuron i has the slope alpha_i = 1 - sum_j W_ji at first,
    and W_ji more after each input spike; so it meets V_threshold = t_max - b_i - sum_j W_ji at

        t_i = V_threshold + sum_j W_ji t_j = t_max - (sum_j W_ji x'_j + b_i)

    or, if that is later, at t_max. The next layer gets t_max - t_i, and so does the reader of the
    output layer. No other limit is set: a neuron may fire before its inputs do.

    The bias is *not* divided by max - min, though everything else is: it weighs too much by the
    factor that all scales so far make together. In the layers ``rescaled``, counted from 1, it is
    divided by them: if in all, with min = 0, as ReLU gives it, the result is max(0, logits of the
    ReLU network), divided by the last factor.

    Parameters
    ----------
    network : ReluNetwork
    pixels : (n_batch, n_in) floating tensor
        Its dtype is that of the computation.
    t_max : float, model time
    rescaled : collection of int
        Layers whose bias is scaled with the activations.

    Returns
    -------
    logits : (n_batch, n_classes) tensor
    factors : list of (n_batch, 1) tensors, one per weight layer

    """
    x, factors = pixels, []
    for n, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True), start=1):
        weight, bias, scale = weight.to(x), bias.to(x), sample_scale(x)
        factors.append(scale * factors[-1] if factors else scale)
        if n in rescaled:
            bias = bias / factors[-1]
        t_in = 1 - (x - x.amin(1, keepdim=True)) / scale
        threshold = t_max - bias - weight.sum(0)
        x = t_max - (threshold + t_in @ weight).clamp(max=t_max)
    return x, factors


def every_layer(network: ReluNetwork) -> range:
    """Return the numbers of all layers."""
    return range(1, network.depth + 1)


def recipe_logits(network: ReluNetwork, pixels: Tensor, **options) -> Tensor:
    """Return the logits of the original write-up's recipe, (n_batch, n_classes)."""
    return recipe(network, pixels, **options)[0]


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
