"""Training in the time domain: what an image passes through while a spiking network learns.

A pass has ``parameters`` of its own, is called with a network and images while it trains, and says
what network comes out (``delivered``), in which ``windows``, and what that does (``answer``).
``ttfs.training.train`` takes either of the two.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ttfs import InputError
from ttfs.coding import INPUT
from ttfs.conversion import SpikingLayer, convert
from ttfs.hardware import Hardware
from ttfs.network import ReluNetwork
from ttfs.outcome import Simulation
from ttfs.simulation import propagate, simulate
from ttfs.tuning import clock_lengths
from ttfs.windows import calibrated, quantile

FOLLOWING = 0.05  # part of the way that a window goes, per step, to the length that would suit
MARGIN = 0.5  # of a window that holds every spike, beyond the largest activation
LOOKED_AT = 32  # images of a batch that say how long a window would suit
VALIDATION_NOISE = 0  # seed of the noise that validation images meet


class AsRelu:
    """The ordinary pass: activations, no spikes."""

    parameters = lengths = norms = ()

    def __call__(self, network: ReluNetwork, x: Tensor) -> tuple[Tensor, float]:
        """Return the logits, and nothing to add to the loss."""
        return network.logits(x), 0.0

    def delivered(self, network: ReluNetwork) -> ReluNetwork:
        """Return the network itself."""
        return network

    def answer(self, network: ReluNetwork, lengths: list[float], x: Tensor) -> Tensor:
        """Return the logits."""
        return network.logits(x)

    def windows(self, network: ReluNetwork, lengths, *images: Tensor) -> list[list[float]]:
        """Return the one choice that there is: no windows."""
        return [[]]


def effective_share(u: Tensor, length: float) -> Tensor:
    """Return the share of a layer's neurons that an image effectively uses: Hoyer's measure.

    (sum_i u_i)^2 / (n sum_i u_i^2) is k / n if k of the n neurons carry the same, whatever that is:
    few spikes cost less than many, small activations no less than large ones. Mean of the images.
    """
    square = u.square().sum(1)
    return (u.sum(1).square() / square.where(square > 0, 1)).mean() / u.shape[1]


def mean_activation(u: Tensor, length: float) -> Tensor:
    """Return the mean activation of a layer's neurons, in windows: the L1 norm."""
    return u.mean() / length


def folded(network: ReluNetwork, norms: Sequence[nn.BatchNorm1d]) -> ReluNetwork:
    """Return the network with the hidden layers' batch normalisation folded in, if there is any."""
    if not norms:
        return network
    pairs = zip(network.layers, [*norms, None], strict=True)
    return ReluNetwork.of_layers(
        [
            replace(layer, synapses=layer.synapses.normalised(norm)) if norm else layer
            for layer, norm in pairs
        ]
    )


@dataclass
class TimeDomain:
    """The pass through spikes: the one loop, with a firing rule that hardware has.

    The windows follow the activations while the network learns: after every step each goes a part
    of the way to the length that holds a fraction q of the spikes of the batch's first images,
    longer or shorter. With q = 1 it is to hold all spikes, 1.5 times over, and grows at once.
    Without q they stay as they are. Noise is drawn anew at every step.
    """

    lengths: list[float]  # of the windows, one per hidden layer
    generator: torch.Generator  # of all noise
    hardware: Hardware = Hardware()
    q: float | None = 1.0
    sparsity: float = 0.0  # weight of the penalty on activity, added up over the layers
    activity: Callable[[Tensor, float], Tensor] = effective_share
    pixel_noise: float = 0.0  # deviation of what is added to what inputs carry, in training alone
    norms: Sequence[nn.BatchNorm1d] = ()  # of the hidden layers' drives, if they are normalised
    drive: Callable[[SpikingLayer, Tensor], Tensor] = SpikingLayer.drive  # or absolute_drive

    @classmethod
    def starting(
        cls,
        network: ReluNetwork,
        images: Tensor,
        generator: torch.Generator,
        *,
        q: float = 1.0,
        normalise: bool = False,
        **others,
    ) -> "TimeDomain":
        """Return the pass of a network whose training begins, with windows that suit it then."""
        norms = [nn.BatchNorm1d(size) for size in network.architecture[1:-1]] if normalise else ()
        lengths = [1.0] * (network.depth - 1) if normalise else quantile(network, images, q)
        return cls(lengths, generator, q=q, norms=norms, **others)

    @classmethod
    def on_clock(
        cls,
        network: ReluNetwork,
        images: Tensor,
        validation_images: Tensor,
        generator: torch.Generator,
        hardware: Hardware,
        **others,
    ) -> "TimeDomain":
        """Return the pass of a network that is trained for a clock, in the windows best for it now.

        They stay: each layer's own quantile, chosen on validation images (``clock_lengths``).
        Windows that follow would let activations drift away, layer by layer, to several times their
        size, since a network whose windows grow with its weights does the same as before.
        """
        subject = hardware.network(network), images, validation_images
        lengths = clock_lengths(*subject, hardware.bits)
        return cls(lengths, generator, hardware, q=None, **others)

    @property
    def parameters(self) -> list[Tensor]:
        """What is trained beside weights and biases."""
        return [number for norm in self.norms for number in norm.parameters()]

    def __call__(self, network: ReluNetwork, x: Tensor) -> tuple[Tensor, Tensor | float]:
        """Return the logits, and the penalty on activity; the windows follow."""
        if self.norms and len(x) == 1:
            raise InputError("one image is no batch to normalise over: choose another --batch-size")
        snn = convert(self.hardware.network(network), self.lengths)
        fire, followed = self.hardware.rule(snn, self.generator), []

        def drive(layer: SpikingLayer, u: Tensor) -> Tensor:
            found = self.drive(layer, u)
            if self.norms:
                found = self.norms[layer.window.layer - 1](found)
            if self.q is not None:
                followed.append(self._followed(layer.window.length, found.detach()))
            return found

        u = fire(x, INPUT)
        if self.pixel_noise:
            noise = torch.randn(x.shape, generator=self.generator, dtype=torch.float32)
            u = u + self.pixel_noise * noise.to(u)
        outcome = propagate(snn.layers, u, fire, drive)
        self.lengths = followed or self.lengths
        return outcome.logits, self._penalty(outcome) if self.sparsity else 0.0

    def _penalty(self, outcome: Simulation) -> Tensor:
        """Return the hidden layers' activities, added up and weighted."""
        layers = zip(outcome.time_left, outcome.windows, strict=True)
        return self.sparsity * sum(self.activity(u, window.length) for u, window in layers)

    def _followed(self, length: float, drive: Tensor) -> float:
        """Return the length of a layer's next window."""
        looked_at = drive if self.q == 1 else drive[:LOOKED_AT]
        activations = looked_at[looked_at > 0]
        if not len(activations):
            return length
        if self.q == 1:
            suits = (1 + MARGIN) * activations.max().item()
            return max(suits, length + FOLLOWING * (suits - length))
        suits = activations.kthvalue(math.ceil(self.q * len(activations))).values.item()
        return length + FOLLOWING * (suits - length)

    def delivered(self, network: ReluNetwork) -> ReluNetwork:
        """Return the network as the hardware keeps it: normalisation folded in, weights coarse."""
        return self.hardware.network(folded(network, self.norms))

    def answer(self, network: ReluNetwork, lengths: list[float], x: Tensor) -> Tensor:
        """Return the logits of a delivered network on this hardware, with one draw of its noise."""
        snn = convert(network, lengths)
        fire = self.hardware.rule(snn, torch.Generator().manual_seed(VALIDATION_NOISE))
        return simulate(snn, x, fire).logits

    def windows(
        self,
        network: ReluNetwork,
        lengths: list[float],
        images: Tensor,
        validation_images: Tensor,
    ) -> list[list[float]]:
        """Return the windows to choose from for a delivered network.

        Those that training ended with; for a clock, also those that ``clock_lengths`` chooses now.
        If they have but to hold every spike, they are calibrated on all training images instead.
        """
        if self.hardware.ticks:
            bits = self.hardware.bits
            return [lengths, clock_lengths(network, images, validation_images, bits)]
        if self.q == 1 and not self.hardware.scales_with_windows:
            return [calibrated(network, images)]
        return [lengths]
