"""How short can windows be, without retraining? (1 minute)

Every window policy, judged by latency, accuracy and saturations on test images. Windows are chosen
on training images, the automatic quantile on validation images. B1 neurons, closed form.

The unit of time is the network's own, so latencies compare units, not hardware: ``normalised``
rescales weights until every window takes one unit, exactly, and the latency is the depth. What a
short window gains on any hardware is finer ticks of the same clock, and jitter that matters less.
"""

from functools import partial

import numpy as np
from matplotlib.figure import Figure

from ttfs.conversion import convert
from ttfs.metrics import points_lost
from ttfs.simulation import closed_form
from ttfs.stages.figures import (
    RELU_COLOUR,
    SNN_COLOUR,
    depth_panels,
    legend_above,
    loss_axis,
    plain_ticks,
)
from ttfs.stages.results import NUMBER, grouped, rows_with
from ttfs.stages.tables import Table, two_places
from ttfs.tuning import QUANTILES
from ttfs.windows import normalise_layers

COLUMNS = {"depth": int, "policy": str, "latency": NUMBER, "windows": [NUMBER], "n_test": int}
COLUMNS |= {"relu_correct": int, "snn_correct": int, "agreements": int, "mcnemar_p": NUMBER}
COLUMNS |= {"quantile": NUMBER | None}
T_MAX_SWEEP = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100)
STYLES = {  # policies that a curve or a mark stands for: marker, fill, line, size
    "fixed": {"marker": "s", "color": "0.5", "mfc": "white", "ls": ":", "ms": 3.5},
    "quantile": {"marker": "o", "color": SNN_COLOUR, "ls": "-", "ms": 3},
    "calibrated": {"marker": "D", "color": RELU_COLOUR, "mfc": "white", "ls": "", "ms": 4.5},
    "automatic": {"marker": "*", "color": "black", "ls": "", "ms": 7},
    "normalised:calibrated": {
        "marker": "P",
        "color": RELU_COLOUR,
        "mfc": "white",
        "ls": "",
        "ms": 6,
    },
    "normalised:automatic": {"marker": "P", "color": "black", "ls": "", "ms": 6},
}


def cases(lab) -> list[dict]:
    """Return every policy at every depth."""
    policies = [f"fixed:{t_max}" for t_max in T_MAX_SWEEP]
    policies += ["calibrated", *(f"quantile:{q:g}" for q in QUANTILES), "automatic"]
    policies += ["normalised:calibrated", "normalised:automatic"]
    return [{"depth": depth, "policy": policy} for depth in lab.depths for policy in policies]


def measure(lab, depth: int, policy: str) -> dict:
    """Return paired counts, latency and what the windows cut off."""
    network = lab.network(depth)
    lengths = lab.windows(depth, policy.removeprefix("normalised:"))
    converted = network
    if policy.startswith("normalised:"):
        converted, lengths = normalise_layers(network, lengths), [1.0] * len(lengths)
    snn = convert(converted, lengths)
    found = lab.judge(network, partial(closed_form, snn))
    checked = lab.validate(network, partial(closed_form, snn)).counts
    return found.counts | {
        "quantile": lab.automatic_quantile(depth) if policy.endswith("automatic") else None,
        "latency": snn.t_read,
        "windows": lengths,
        "saturations": [layer.saturations for layer in found.audit],
        "spikes": [layer.spikes for layer in found.audit],
        "used_fraction": [layer.used_fraction for layer in found.audit],
        "n_validation": checked["n_test"],
        "validation_agreements": checked["agreements"],
        "validation_mcnemar_p": checked["mcnemar_p"],
    }


def table(rows: list[dict]) -> Table:
    """Return a line per depth: calibrated beside automatic windows, and the short ones' gain."""
    header = ("depth", "latency, calibrated", "automatic quantile", "latency, automatic")
    header += ("latency, normalised", "finer ticks and jitter, by layer", "lost (points)")
    header += ("same label", "McNemar p", "lost, normalised and calibrated")
    lines = []
    for depth, found in grouped(rows, "depth").items():
        long, short, exact = (
            rows_with(found, policy=policy)[0]
            for policy in ("calibrated", "automatic", "normalised:calibrated")
        )
        gains = np.divide(long["windows"], short["windows"])
        cells = [
            f"{depth}",
            f"{long['latency']:.1f}",
            f"{100 * short['quantile']:g} %",
            f"{short['latency']:.1f}",
            f"{exact['latency']:.0f}",
            f"{gains.min():.1f} to {gains.max():.1f} times",
            two_places(points_lost(short)),
            f"{short['agreements']:,} of {short['n_test']:,}",
            f"{short['mcnemar_p']:.2g}",
            two_places(points_lost(exact)),
        ]
        lines.append(cells)
    return Table(header, lines, title="windows chosen without retraining; latency in input windows")


def draw(rows: list[dict]) -> Figure:
    """Draw points lost against latency: one panel per depth, one curve per policy."""
    figure, panels = depth_panels(grouped(rows, "depth"), 2.9)
    smallest = min(map(points_lost, rows))
    for depth, axes in panels.items():
        for policy, style in STYLES.items():
            found = [r for r in rows_with(rows, depth=depth) if policy in (r["policy"], kind(r))]
            points = [(row["latency"], points_lost(row)) for row in found]
            name = policy.replace(":", ", ")
            axes.plot(*zip(*points, strict=True), lw=0.9, label=name, **style)
        axes.set_xscale("log")
        plain_ticks(axes.xaxis)
        loss_axis(axes.yaxis, 0.1, smallest, largest=10)
        axes.axhline(0, color="0.8", lw=0.6, zorder=0)
    first = next(iter(panels.values()))
    first.set_ylabel("Accuracy lost (points, linear to 0.1)")
    figure.supxlabel("Latency (units of each network's own time; the input window is 1)")
    legend_above(figure, first, 6)
    return figure


def kind(row: dict) -> str:
    """Return the name of a row's policy without its number."""
    return row["policy"].split(":")[0]
