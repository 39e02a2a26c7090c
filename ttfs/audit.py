"""What every simulator returns: spike times, logits, and an audit of what physically happened."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ttfs.conversion import SpikingLayer

# What makes a layer differ from ReLU, among the counts of a LayerAudit.
VIOLATIONS = ("saturations", "premature", "spurious", "missing", "overflows")


@dataclass(frozen=True)
class LayerAudit:
    """What happened in one hidden layer; audits of successive batches add up.

    A *saturation* is an activation above the window: the threshold is met before t_min, and what
    exceeds the window is lost. A *premature* spike comes before t_min; with the guard (a threshold
    that counts from t_min only, as B1 has by construction) there is none. The crossings that an
    alpha neuron's guard *held back* are counted. A spike is *spurious* if the neuron should have
    stayed silent, and *missing* if it should have fired, judged by its own potential at t_min. An
    *overflow* is a crossing, or the time of a spike, beyond the largest number of the dtype.
    """

    window_length: float  # model time
    images: int
    spikes_per_neuron: Tensor  # (n_out,) int64
    saturations: int
    largest_activation: float  # model time; above window_length if anything saturated
    premature: int = 0
    held_back: int = 0
    spurious: int = 0
    missing: int = 0
    overflows: int = 0

    @property
    def neurons(self) -> int:
        """Number of neurons in the layer."""
        return self.spikes_per_neuron.numel()

    @property
    def spikes(self) -> int:
        """Threshold crossings, over all neurons and images."""
        return int(self.spikes_per_neuron.sum())

    @property
    def dead_neurons(self) -> int:
        """Neurons that never fired."""
        return int((self.spikes_per_neuron == 0).sum())

    @property
    def used_fraction(self) -> float:
        """Part of the window between its earliest spike and its end."""
        return min(1.0, self.largest_activation / self.window_length)

    @property
    def violations(self) -> int:
        """All VIOLATIONS added up; a premature spike that is also spurious counts twice."""
        return sum(getattr(self, name) for name in VIOLATIONS)

    def __add__(self, other: "LayerAudit") -> "LayerAudit":
        return LayerAudit(
            self.window_length,
            self.images + other.images,
            self.spikes_per_neuron + other.spikes_per_neuron,
            self.saturations + other.saturations,
            max(self.largest_activation, other.largest_activation),
            self.premature + other.premature,
            self.held_back + other.held_back,
            self.spurious + other.spurious,
            self.missing + other.missing,
            self.overflows + other.overflows,
        )

    def row(self) -> dict:
        """Return the audit as plain numbers, for a results file."""
        return {
            "window_length": self.window_length,
            "neurons": self.neurons,
            "images": self.images,
            "spikes": self.spikes,
            "saturations": self.saturations,
            "premature": self.premature,
            "held_back": self.held_back,
            "spurious": self.spurious,
            "missing": self.missing,
            "overflows": self.overflows,
            "dead_neurons": self.dead_neurons,
            "used_fraction": self.used_fraction,
        }


@dataclass(frozen=True)
class Simulation:
    """What a spiking network did with a batch of images."""

    spike_times: list[Tensor]  # one (n_batch, n_out) a hidden layer, absolute; inf = never crossed
    time_left: list[Tensor]  # the activations that the spikes carry, t_max - t; 0 = never crossed
    logits: Tensor  # (n_batch, n_classes): output potentials at t_read
    audit: list[LayerAudit]  # one a hidden layer
    traces: dict[tuple[int, int], Tensor] = field(default_factory=dict)  # (n_points, 2): t, V

    @property
    def predictions(self) -> Tensor:
        """The class with the largest output potential, (n_batch,) int64."""
        return self.logits.argmax(dim=1)


def layer_audit(layer: SpikingLayer, fired: Tensor, activation: Tensor, **counts) -> LayerAudit:
    """Return one layer's audit of a batch.

    ``fired`` is the (n_batch, n_out) mask of spikes; ``activation`` the time left at each crossing
    from t_min on, before it is limited to the window.
    """
    overflow = ~activation.isfinite()
    if not torch.isfinite(activation.new_tensor(layer.t_max)):
        overflow = overflow | fired
    return LayerAudit(
        window_length=layer.window_length,
        images=fired.shape[0],
        spikes_per_neuron=fired.sum(0),
        saturations=int((activation > layer.window_length).sum()),
        largest_activation=max(0.0, activation.max().item() if activation.numel() else 0.0),
        overflows=int(overflow.sum()),
        **{name: int(mask.sum()) for name, mask in counts.items()},
    )


def total(audits: list[list[LayerAudit]]) -> list[LayerAudit]:
    """Return the audits of all batches added up, one a layer."""
    return [sum(parts[1:], parts[0]) for parts in zip(*audits, strict=True)]
