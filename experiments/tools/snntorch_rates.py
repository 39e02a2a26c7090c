"""snnTorch's neurons without a leak: it has no converter, so the layers are put together here."""

from collections.abc import Iterator

import torch
from torch import Tensor

from experiments.tools import Converted, as_torch, needed
from ttfs.network import ReluNetwork
from ttfs.windows import normalise_layers, quantile

SETTINGS = {
    "99.9 % of the activations": {"start": 0.0},
    "99.9 %, start at half": {"start": 0.5},
    "99 %, start at half": {"start": 0.5, "q": 0.99},
    "95 %, start at half": {"start": 0.5, "q": 0.95},
}


def converted(network: ReluNetwork, images: Tensor, start: float, q: float = 0.999) -> Converted:
    """Return the network with ``Leaky`` neurons of beta 1, thresholds of 1 and a soft reset.

    Each layer's activations are divided by a quantile of them, in weights and biases.
    """
    leaky = needed("snntorch").Leaky
    normalised = normalise_layers(network, quantile(network, images, q))
    linears = as_torch(normalised)[::2]
    neurons = [leaky(beta=1.0, threshold=1.0, reset_mechanism="subtract") for _ in linears[1:]]

    def steps(x: Tensor) -> Iterator[Tensor]:
        current = linears[0](x)  # the same in every step
        potentials = [torch.full((len(x), n), start) for n in network.architecture[1:-1]]
        while True:
            drive = current
            for n, (neuron, linear) in enumerate(zip(neurons, linears[1:], strict=True)):
                spikes, potentials[n] = neuron(drive, potentials[n])
                drive = linear(spikes)
            yield drive

    return Converted(steps, neurons)
