"""Quantisation, clip, floor, shift: activations trained to be what few spikes of a rate can carry.

After T. Bu, W. Fang, J. Ding, P. Dai, Z. Yu, T. Huang, "Optimal ANN-SNN conversion for
high-accuracy and ultra-low-latency spiking neural networks", ICLR 2022 (arXiv 2303.04347): a
layer's activation is one of L + 1 levels up to its own threshold, which is trained with the
weights; rounding is straight-through::

    u_i = theta clip(floor(L z_i / theta + 1/2) / L, 0, 1)        z_i = sum_j W_ji u_j + b_i

Integrate-and-fire neurons with that threshold, soft reset and a start at theta / 2 then fire u at
T = L steps, if their inputs come evenly; at other T they come close.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ttfs.imperfections import straight_through
from ttfs.network import ReluNetwork
from ttfs.time_domain import folded

START = 2.0  # of every threshold; normalised drives have a deviation of 1


@dataclass
class ClipFloorShift:
    """The pass: levels instead of activations, with batch normalisation."""

    levels: int
    generator: torch.Generator
    norms: Sequence[nn.BatchNorm1d]
    pixel_noise: float = 0.0  # deviation of what is added to pixels, in training alone
    thresholds: list[Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.thresholds = [torch.tensor(START, requires_grad=True) for _ in self.norms]

    @property
    def parameters(self) -> list[Tensor]:
        """What is trained beside weights and biases."""
        return [*(number for norm in self.norms for number in norm.parameters()), *self.thresholds]

    @property
    def lengths(self) -> list[float]:
        """The thresholds, as what training keeps beside the network."""
        return [threshold.item() for threshold in self.thresholds]

    def __call__(self, network: ReluNetwork, x: Tensor) -> tuple[Tensor, float]:
        """Return the logits, and nothing to add to the loss."""
        noise = torch.randn(x.shape, generator=self.generator, dtype=torch.float32)
        u = x + self.pixel_noise * noise.to(x)
        hidden = zip(network.layers[:-1], self.norms, self.thresholds, strict=True)
        for layer, norm, threshold in hidden:
            u = self._activation(norm(layer.drive(u)), threshold)
        return network.layers[-1].drive(u), 0.0

    def delivered(self, network: ReluNetwork) -> ReluNetwork:
        """Return the network with normalisation folded in."""
        return folded(network, self.norms)

    def answer(self, network: ReluNetwork, lengths: Sequence[float], x: Tensor) -> Tensor:
        """Return the logits of a delivered network."""
        for layer, threshold in zip(network.layers[:-1], lengths, strict=True):
            x = self._activation(layer.drive(x), threshold)
        return network.layers[-1].drive(x)

    def windows(self, network: ReluNetwork, lengths, *images: Tensor) -> list[list[float]]:
        """Return the one choice that there is: the thresholds that were trained."""
        return [lengths]

    def _activation(self, drive: Tensor, threshold: Tensor | float) -> Tensor:
        """Return the activation of a layer whose drive is given."""
        exact = drive * (self.levels / threshold)
        level = straight_through(exact, torch.floor(exact + 0.5))
        return level.clamp(0, self.levels) * (threshold / self.levels)
