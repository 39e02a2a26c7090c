"""The exactness certificate: every layer's errors beside their bounds, and the verdict."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ttfs.conversion import SpikingLayer, SpikingNetwork
from ttfs.exactness import LayerError, exact_layers, layer_errors, relu_reference, ulp
from ttfs.metrics import BATCH
from ttfs.network import ReluNetwork
from ttfs.simulation import simulator

LOGIT_LIMIT = {  # largest logit error / largest logit, by precision and engine
    ("float64", "closed-form"): 1e-12,
    ("float64", "closed-form:absolute"): 1e-11,
    ("float64", "event-driven"): 1e-11,
    ("float32", "closed-form"): 1e-5,
    ("float32", "closed-form:absolute"): 1e-5,
    ("float32", "event-driven"): 1e-5,
}


def certificate(
    network: ReluNetwork,
    snn: SpikingNetwork,
    images: Tensor,
    ways: Sequence[tuple[str, str]],
    after_batch: Callable[[int], None] = lambda n_images: None,
    device: str = "cpu",
) -> list[dict]:
    """Return a row per precision, engine and layer, the output last: errors beside their bounds.

    ``ways`` are the (dtype, engine) to certify; ``after_batch`` is told how many images are done.
    What is simulated on a ``device`` is judged on the CPU.
    """
    simulators = {engine: simulator(engine) for _, engine in ways}
    found = {way: [_Worst() for _ in snn.layers] for way in ways}
    agreements, exact = dict.fromkeys(ways, 0), exact_layers(network)
    for batch in images.split(BATCH):
        relu = relu_reference(exact, batch)
        classes = relu.values[-1].argmax(1)
        largest = [value.abs().max().item() for value in relu.values]
        for dtype, engine in ways:
            pixels = batch.to(device, getattr(torch, dtype))
            simulation = simulators[engine](snn, pixels).cpu()
            agreements[dtype, engine] += int((simulation.predictions == classes).sum())
            errors = layer_errors(snn, relu, batch, simulation, engine)
            for worst, *layer in zip(found[dtype, engine], errors, largest, strict=True):
                worst.add(*layer, len(images))
        after_batch(len(batch))
    rows = []
    for (dtype, engine), worst_by_layer in found.items():
        for n, (layer, worst) in enumerate(zip(snn.layers, worst_by_layer, strict=True), start=1):
            row = {"dtype": dtype, "engine": engine, "layer": n, "output": layer is snn.readout}
            rows.append(row | worst.row(_unit(layer, engine, worst), getattr(torch, dtype)))
        rows[-1] |= {"agreements": agreements[dtype, engine], "n_test": len(images)}
    return rows


def _unit(layer: SpikingLayer, engine: str, worst: "_Worst") -> float:
    """Return the value whose ulp is a layer's: the times that it was decoded from, or its own."""
    times = {"closed-form:absolute": layer.t_max, "event-driven": layer.window.length}
    value = times.get(engine, math.inf)
    return value if math.isfinite(value) else worst.largest[0].item() or 1.0


LARGEST = ("largest_activation", "largest_error", "bound", "local_error", "local_bound")


@dataclass
class _Worst:
    """The largest errors and bounds of a layer over all batches, and its 0.1 % largest errors."""

    largest: Tensor = field(default_factory=lambda: torch.zeros(len(LARGEST), dtype=torch.float64))
    broken: int = 0  # errors above their bound
    top: torch.Tensor = field(default_factory=lambda: torch.zeros(0))

    def add(self, layer: LayerError, largest_activation: float, n_images: int) -> None:
        """Take a batch into account; there are ``n_images`` in all."""
        within = (layer.error <= layer.bound) & (layer.local_error <= layer.local_bound)
        self.broken += within.numel() - int(within.sum())
        values = (layer.error, layer.bound, layer.local_error, layer.local_bound)
        values = [largest_activation, *(value.max().item() for value in values)]
        values = torch.tensor(values, dtype=torch.float64)
        self.largest = torch.maximum(self.largest, values)  # NaN if any is
        total = n_images * layer.error.shape[1]
        n_top = total - max(1, int(0.999 * total)) + 1  # the least of these is the quantile
        errors = layer.error.flatten().float()
        if len(self.top) == n_top:
            errors = errors[errors > self.top[-1]]
        errors = torch.cat([self.top, errors])
        self.top = errors.topk(min(n_top, len(errors))).values

    def row(self, unit: float, dtype: torch.dtype) -> dict:
        """Return the row of a layer; None where there is no bound, or an error overflowed."""
        row = {"broken": self.broken, **dict(zip(LARGEST, self.largest.tolist(), strict=True))}
        row["error_99.9_percent"] = self.top[-1].item()
        error, activation = row["largest_error"], row["largest_activation"]
        row["relative_error"] = error / activation if activation else 0.0
        row |= {"ulp": ulp(unit, dtype), "error_ulp": error / ulp(unit, dtype)}
        return {key: value if math.isfinite(value) else None for key, value in row.items()}


def verdict(rows: list[dict]) -> list[str]:
    """Return what failed, a line each; empty if every error is within its bound and limit.

    Labels may differ in 16 bits, but not of a network that was certified in 16 bits alone.
    """
    strict = {row["depth"] for row in rows if (row["dtype"], row["engine"]) in LOGIT_LIMIT}
    faults = []
    for row in rows:
        where = f"depth {row['depth']}, layer {row['layer']}, {row['dtype']}, {row['engine']}"
        limit, error = LOGIT_LIMIT.get((row["dtype"], row["engine"])), row["relative_error"]
        if row["broken"]:
            faults.append(f"{where}: {row['broken']:,} errors above their bound")
        judged = row["output"] and (limit or row["depth"] not in strict)
        if judged and row["agreements"] != row["n_test"]:
            faults.append(f"{where}: {row['n_test'] - row['agreements']} predictions differ")
        if row["output"] and limit and (error is None or error > limit):
            faults.append(f"{where}: logits off by {error} of the largest")
    return faults
