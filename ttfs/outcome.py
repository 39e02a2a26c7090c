"""What every simulator returns: spike times, logits, and an audit of what physically happened."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from ttfs.coding import Window

# What makes a layer differ from ReLU, among the counts of a LayerAudit.
VIOLATIONS = ("saturations", "premature", "spurious", "missing", "overflows")


@dataclass(frozen=True)
class LayerAudit:
    """What happened in one hidden layer; audits of successive batches add up.

    A *saturation* is an activation above the window: the threshold is met before t_min, and what
    exceeds the window is lost. A *premature* spike comes before t_min; with the guard (a threshold
    that counts from t_min only, as B1 has by construction) there is none. The crossings that an
    alpha neuron's guard *held back* are counted by the event-driven engine, and unknown (None) to
    the others. A spike is *spurious* if the neuron should have stayed silent, and *missing* if it
    should have fired, judged by its own potential at t_min. An *overflow* is a crossing, or the
    time of a spike, beyond the largest number of the dtype.
    """

    window_length: float  # model time
    images: int
    spikes_per_neuron: Tensor  # (n_out,) int64
    saturations: int = 0
    largest_activation: float = 0.0  # model time; above window_length if anything saturated
    premature: int = 0
    held_back: int | None = None
    spurious: int = 0
    missing: int = 0
    overflows: int = 0

    @property
    def neurons(self) -> int:
        """Number of neurons in the layer."""
        return self.spikes_per_neuron.numel()

    @property
    def spikes(self) -> int:
        """Spikes, over all neurons and images."""
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
        counts = ("images", "spikes_per_neuron", *VIOLATIONS)
        if self.held_back is not None:
            counts += ("held_back",)
        return LayerAudit(
            self.window_length,
            largest_activation=max(self.largest_activation, other.largest_activation),
            **{name: getattr(self, name) + getattr(other, name) for name in counts},
        )

    def row(self) -> dict:
        """Return the audit as plain numbers, for a results file."""
        names = ("window_length", "neurons", "images", "spikes", *VIOLATIONS, "held_back")
        names += ("dead_neurons", "used_fraction")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Simulation:
    """What a spiking network did with a batch of images.

    A spike time is rounded to its dtype, and may so round to t_max; ``time_left`` has what it
    carries, unrounded.
    """

    windows: Sequence[Window]  # one per hidden layer
    inputs: Tensor  # (n_batch, n_in): time left of the input spikes, 0 if there is none
    time_left: list[Tensor]  # (n_batch, n_out) each: t_max - t of the spike, 0 if there is none
    logits: Tensor  # (n_batch, n_classes): output potentials at t_read
    counts: list[dict]  # one per hidden layer: what else its audit knows
    traces: dict[tuple[int, int], Tensor] = field(default_factory=dict)  # (n_points, 2): t, V

    def cpu(self) -> "Simulation":
        """Return the same in the processor's memory."""
        time_left = [u.cpu() for u in self.time_left]
        return replace(
            self, inputs=self.inputs.cpu(), time_left=time_left, logits=self.logits.cpu()
        )

    @property
    def predictions(self) -> Tensor:
        """The class with the largest output potential, (n_batch,) int64."""
        return self.logits.argmax(dim=1)

    @cached_property
    def spike_times(self) -> list[Tensor]:
        """When each hidden neuron fired, (n_batch, n_out) per layer, absolute; inf = never."""
        pairs = zip(self.windows, self.time_left, strict=True)
        return [torch.where(u > 0, window.t_max - u, torch.inf) for window, u in pairs]

    @cached_property
    def audit(self) -> list[LayerAudit]:
        """What happened in each hidden layer."""
        triples = zip(self.windows, self.time_left, self.counts, strict=True)
        return [_layer_audit(window, u, dict(counts)) for window, u, counts in triples]


def crossing_counts(drive: Tensor, window: Window) -> dict:
    """Return what a layer's audit knows of its crossings, from one pass over them in most cases.

    ``drive`` is the time left at each crossing from t_min on, before it is limited to the window.
    """
    low, high = (value.item() for value in drive.detach().aminmax()) if drive.numel() else (0, 0)
    counts = {"largest_activation": max(0.0, high)}
    if not high <= window.length:  # true for NaN too
        counts["saturations"] = int((drive > window.length).sum())
    if not (math.isfinite(low) and math.isfinite(high)):
        counts["overflows"] = int((~drive.isfinite()).sum())
    return counts


def difference_counts(drive: Tensor, time_left: Tensor) -> dict:
    """Return how many spikes a firing rule has added to the exact one's, and how many it lost."""
    fired, should_fire = time_left > 0, drive > 0
    both = int((fired & should_fire).sum())
    return {"spurious": int(fired.sum()) - both, "missing": int(should_fire.sum()) - both}


def total(audits: list[list[LayerAudit]]) -> list[LayerAudit]:
    """Return the audits of all batches added up, one per layer."""
    return [sum(parts[1:], parts[0]) for parts in zip(*audits, strict=True)]


def _layer_audit(window: Window, time_left: Tensor, counts: dict) -> LayerAudit:
    """Return a layer's audit: its counts, and what its spikes add to them."""
    spikes = (time_left > 0).sum(0)
    if not torch.isfinite(time_left.new_tensor(window.t_max)):  # no spike has a time
        counts["overflows"] = counts.get("overflows", 0) + int(spikes.sum())
    return LayerAudit(window.length, len(time_left), spikes, **counts)
