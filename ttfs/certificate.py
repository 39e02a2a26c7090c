"""The exactness certificate: every layer's errors beside their bounds, and the verdict."""

import math
from collections.abc import Iterable

import torch

from ttfs.conversion import SpikingNetwork
from ttfs.exactness import layer_errors, ulp
from ttfs.metrics import Batch
from ttfs.network import ReluNetwork
from ttfs.simulation import closed_form, event_driven

LOGIT_LIMIT = {  # largest logit error / largest logit
    ("float64", "window"): 1e-12, ("float64", "absolute"): 1e-11, ("float64", "events"): 1e-11,
    ("float32", "window"): 1e-5, ("float32", "absolute"): 1e-5, ("float32", "events"): 1e-5,
}  # fmt: skip


def _simulate(snn, images, engine: str):
    """Return the Simulation of a batch by one of the engines."""
    return event_driven(snn, images) if engine == "events" else closed_form(snn, images, engine)


def layer_rows(
    network: ReluNetwork,
    snn: SpikingNetwork,
    test_batches: Iterable[Batch],
    dtype: torch.dtype,
    engine: str,
) -> list[dict]:
    """Return a row a layer, the output last: errors, bounds and agreeing predictions.

    ``engine`` is "window" or "absolute", the closed form in either time convention, or "events".
    """
    layers, agreements, n_test = [], 0, 0
    for images, _, _ in test_batches:
        simulation = _simulate(snn, images.to(dtype), engine)
        relu = network.logits(images.double()).argmax(1)
        agreements += int((simulation.predictions == relu).sum())
        n_test += len(images)
        errors = layer_errors(network, snn, images, simulation, engine)
        layers.append([_summary(e) for e in errors])
    rows = []
    for n, parts in enumerate(zip(*layers, strict=True)):
        output = n == len(snn.hidden)
        row = _merged(parts)
        # A decoded spike time is only as fine as the times that it was computed from.
        times = {"window": row["largest_activation"], "absolute": None, "events": None}
        if not output:
            times |= {"absolute": snn.hidden[n].t_max, "events": snn.hidden[n].window_length}
        row["ulp"] = ulp(times[engine] or row["largest_activation"] or 1.0, dtype)
        row["error_ulp"] = row["largest_error"] / row["ulp"]
        # No bound exists for long sums in a low precision, and an error that overflowed is none.
        row = {key: value if math.isfinite(value) else None for key, value in row.items()}
        rows.append({"layer": n + 1, "output": output, **row})
    rows[-1] |= {"agreements": agreements, "n_test": n_test}
    return rows


def _summary(layer) -> dict:
    """Return one batch's largest errors and bounds, and how many errors exceed theirs."""
    within = (layer.error <= layer.bound) & (layer.local_error <= layer.local_bound)
    return {
        "errors": layer.error.flatten().float(),
        "broken": int((~within).sum()),
        "largest_activation": layer.largest_activation,
        "largest_error": layer.error.max().item(),
        "bound": layer.bound.max().item(),
        "local_error": layer.local_error.max().item(),
        "local_bound": layer.local_bound.max().item(),
    }


def _merged(parts) -> dict:
    """Return the largest and the 99.9 % quantile errors of a layer over all batches."""
    errors = torch.cat([part["errors"] for part in parts])
    quantile = errors.kthvalue(max(1, int(0.999 * len(errors)))).values.item()
    row = {key: max(part[key] for part in parts) for key in parts[0] if key != "errors"}
    row["broken"] = sum(part["broken"] for part in parts)
    relative = (
        row["largest_error"] / row["largest_activation"] if row["largest_activation"] else 0.0
    )
    return row | {"error_99.9_percent": quantile, "relative_error": relative}


def verdict(rows: list[dict]) -> list[str]:
    """Return what failed, a line each; empty if the conversion is exact to within rounding."""
    faults = []
    for row in rows:
        where = f"depth {row['depth']}, layer {row['layer']}, {row['dtype']}, {row['engine']}"
        limit = LOGIT_LIMIT.get((row["dtype"], row["engine"]))
        if row["broken"]:
            faults.append(f"{where}: {row['broken']:,} errors above their bound")
        if row["output"] and limit and row["agreements"] != row["n_test"]:
            faults.append(f"{where}: {row['n_test'] - row['agreements']} predictions differ")
        error = row["relative_error"]
        if row["output"] and limit and (error is None or error > limit):
            faults.append(f"{where}: logits off by {error} of the largest")
    return faults
