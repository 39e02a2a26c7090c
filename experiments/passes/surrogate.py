"""Leaky neurons, trained with surrogate gradients: neurons and codes of snnTorch.

In every step a neuron's potential keeps the part beta, adds its input, and fires at 1::

    V_i = beta V_i + sum_j W_ji s_j + b_i - s_i(step before)        s_i = V_i > 1

What a step passes back through the spike is the slope of an arc tangent. The read-out adds up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from experiments.codes import Coded, reached
from experiments.tools import needed
from ttfs.network import ReluNetwork
from ttfs.time_domain import folded

CURRENT, RATE, LATENCY = "pixels as current", "pixels as rates", "pixels as latencies"


@dataclass
class Surrogate:
    """The pass: T steps per image, with batch normalisation if there are ``norms``."""

    steps: int
    inputs: str  # CURRENT, RATE or LATENCY
    beta: float  # 1: no leak
    generator: torch.Generator
    norms: Sequence[nn.BatchNorm1d] = ()
    pixel_noise: float = 0.0  # deviation of what is added to pixels as current, in training alone
    lengths = ()  # of windows: there are none

    @property
    def parameters(self) -> list[Tensor]:
        """What is trained beside weights and biases."""
        return [number for norm in self.norms for number in norm.parameters()]

    @cached_property
    def _neuron(self) -> nn.Module:
        snntorch = needed("snntorch")
        return snntorch.Leaky(beta=self.beta, spike_grad=needed("snntorch.surrogate").atan())

    def __call__(self, network: ReluNetwork, x: Tensor) -> tuple[Tensor, float]:
        """Return the logits, and nothing to add to the loss."""
        noise = torch.randn(x.shape, generator=self.generator, dtype=torch.float32)
        return self._passed(network, x + self.pixel_noise * noise.to(x), self.norms)[0], 0.0

    def delivered(self, network: ReluNetwork) -> ReluNetwork:
        """Return the network with normalisation folded in."""
        return folded(network, self.norms)

    def answer(self, network: ReluNetwork, lengths: Sequence[float], x: Tensor) -> Tensor:
        """Return the logits of a delivered network."""
        return self._passed(network, x)[0]

    def windows(self, network: ReluNetwork, lengths, *images: Tensor) -> list[list[float]]:
        """Return the one choice that there is: no windows."""
        return [[]]

    @torch.no_grad()
    def classify(self, network: ReluNetwork, images: Tensor) -> Coded:
        """Return what a delivered network does with a batch of images."""
        logits, spikes = self._passed(network, images)
        sizes = network.architecture
        products = int((images > 0).sum()) * sizes[1] if self.inputs == CURRENT else 0
        updates = len(images) * self.steps * sum(sizes[1:])
        sums = reached(spikes, sizes)
        return Coded(logits, spikes, self.steps, sums, products, products, updates)

    def _passed(
        self, network: ReluNetwork, x: Tensor, norms: Sequence[nn.BatchNorm1d] = ()
    ) -> tuple[Tensor, list[int]]:
        """Return the logits, and the spikes of the inputs and of each hidden layer."""
        s = self._coded(x)
        spikes = [0 if self.inputs == CURRENT else int(s.sum())]
        for n, layer in enumerate(network.layers[:-1]):
            current = layer.drive(s.flatten(0, 1))
            current = norms[n](current) if norms else current
            s = self._fired(current.unflatten(0, s.shape[:2]).expand(self.steps, -1, -1))
            spikes.append(int(s.sum()))
        return network.layers[-1].drive(s.mean(0)), spikes

    def _coded(self, x: Tensor) -> Tensor:
        """Return what the inputs send, (steps, n_batch, n_in); a current is the same in each."""
        spikegen = needed("snntorch.spikegen")
        if self.inputs == RATE:
            return spikegen.rate(x, self.steps)
        if self.inputs == LATENCY:
            options = {"linear": True, "normalize": True, "clip": True}
            return spikegen.latency(x, num_steps=self.steps, **options)
        return x[None]

    def _fired(self, currents: Tensor) -> Tensor:
        """Return a layer's spikes, (steps, n_batch, n_out)."""
        potential, found = torch.zeros_like(currents[0]), []
        for current in currents:
            spike, potential = self._neuron(current, potential)
            found.append(spike)
        return torch.stack(found)
