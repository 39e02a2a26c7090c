"""What a spiking network runs on, and is trained for: a clock, coarse weights, noise."""

from dataclasses import dataclass

import torch

from ttfs import InputError
from ttfs.conversion import SpikingNetwork
from ttfs.imperfections import TERNARY, clock, jitter, loss, mismatch, quantised
from ttfs.network import ReluNetwork
from ttfs.neurons import FiringRule, crossing

TICKS = tuple(2**bits for bits in range(11))
WEIGHT_BITS = (TERNARY, *range(2, 17))
NOISE = ("jitter", "loss", "mismatch")


@dataclass(frozen=True)
class Hardware:
    """A machine for spikes; without arguments it is perfect."""

    ticks: int | None = None  # of its clock per window, a power of two; None: continuous time
    weight_bits: float | None = None  # a scale per neuron; 1.6: ternary; None: as they are
    jitter: float = 0.0  # standard deviation of a spike's time, windows
    loss: float = 0.0  # probability that a spike is lost
    mismatch: float = 0.0  # standard deviation of a neuron's threshold, windows

    def __post_init__(self) -> None:
        ticks, bits = self.ticks, self.weight_bits
        if ticks is not None and not (type(ticks) is int and ticks in TICKS):
            raise InputError(f"{ticks!r} ticks per window: choose from {words(TICKS)}")
        if bits is not None and not (type(bits) in (int, float) and bits in WEIGHT_BITS):
            raise InputError(f"weights of {bits!r} bits: choose from {words(WEIGHT_BITS)}")
        for name in NOISE:
            level = getattr(self, name)
            if not (type(level) in (int, float) and 0 <= level <= 1):
                raise InputError(f"{name} is {level!r}: it lies between 0 and 1")

    @property
    def scales_with_windows(self) -> bool:
        """Whether what it does to a spike time is the larger, the longer the window."""
        return bool(self.ticks or self.jitter or self.mismatch)

    @property
    def bits(self) -> int | None:
        """Bits of the clock: 2^bits ticks per window."""
        return None if self.ticks is None else self.ticks.bit_length() - 1

    @property
    def engine(self) -> str:
        """The simulator of its clock, or of none, in the command line's words."""
        return "closed-form" if self.ticks is None else f"clock:{self.bits}:half-tick"

    def network(self, network: ReluNetwork) -> ReluNetwork:
        """Return the network with the weights that the hardware can keep."""
        if self.weight_bits is None:
            return network
        return quantised(network, self.weight_bits, per_neuron=True, typical=True)

    def rule(self, snn: SpikingNetwork, generator: torch.Generator) -> FiringRule:
        """Return how its neurons fire; thresholds are half a tick low, and unequal ones drawn."""
        fire = crossing if self.ticks is None else clock(self.bits, half_tick=True)
        if self.mismatch:
            fire = mismatch(snn, self.mismatch, generator, fire)
        if self.jitter:
            fire = jitter(self.jitter, generator, fire)
        if self.loss:
            fire = loss(self.loss, generator, fire)
        return fire


def words(choices: tuple) -> str:
    """Return numbers as a list in words."""
    return ", ".join(f"{choice:g}" for choice in choices)
