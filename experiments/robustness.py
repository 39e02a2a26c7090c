"""How much do jitter, lost spikes, unequal thresholds and coarse weights cost? (5 minutes)

Spike times jitter by a Gaussian, in units of the window, if there is a spike; silent neurons have
none. Ten noise seeds. Weights are rounded with torch's own fake quantisation. Windows are
calibrated, or automatic: short ones that change few labels.
"""

from functools import partial

import numpy as np
import torch
from matplotlib.figure import Figure

from ttfs.conversion import convert
from ttfs.imperfections import jitter, loss, mismatch, quantised
from ttfs.metrics import points_lost
from ttfs.simulation import closed_form, simulate
from ttfs.stages.figures import WIDTH, depth_style, loss_axis
from ttfs.stages.results import NUMBER, grouped
from ttfs.stages.tables import Table, two_places
from ttfs.windows import calibrated

COLUMNS = {"depth": int, "policy": str, "level": NUMBER, "n_test": int}
COLUMNS |= {"relu_correct": int, "snn_correct": int}
LEVELS = {  # a fault's levels: in windows; probability; in windows
    "jitter": (0.001, 0.003, 0.01, 0.03, 0.1),
    "loss": (0.01, 0.03, 0.1, 0.2, 0.3),
    "mismatch": (0.001, 0.003, 0.01, 0.03, 0.1),
}
WEIGHT_BITS = (8, 7, 6, 5, 4, 3, 2)
COARSE = {"weights, a scale per layer": False, "weights, a scale per neuron": True}
COLUMNS["fault"] = dict.fromkeys((*LEVELS, *COARSE), {})
NOISE_SEEDS = range(10)
PANELS = {  # first word of a fault: axis label, scale
    "jitter": ("Jitter (standard deviation, windows)", "log"),
    "loss": ("Lost spikes (probability)", "linear"),
    "mismatch": ("Threshold mismatch (standard deviation, windows)", "log"),
    "weights": ("Weights (bits)", "linear"),
}
SHOWN = (  # a line of the table: its name, fault and level
    ("jitter of 1 % of the window", "jitter", 0.01),
    ("jitter of 10 %", "jitter", 0.1),
    ("1 % of the spikes lost", "loss", 0.01),
    ("10 % lost", "loss", 0.1),
    ("thresholds off by 1 % of the window", "mismatch", 0.01),
    ("thresholds off by 10 %", "mismatch", 0.1),
    ("weights of 4 bits, a scale per neuron", "weights, a scale per neuron", 4),
    ("weights of 3 bits", "weights, a scale per neuron", 3),
)


def cases(lab) -> list[dict]:
    """Return every fault at every level, with every noise seed if it is random."""
    found = []
    for depth in lab.depths:
        for policy in ("calibrated", "automatic"):
            for fault, levels in LEVELS.items():
                for level in levels:
                    keys = {"depth": depth, "policy": policy, "fault": fault, "level": level}
                    seeds = NOISE_SEEDS[:2] if lab.quick else NOISE_SEEDS
                    found += [keys | {"noise_seed": seed} for seed in seeds]
        for fault in COARSE:
            keys = {"depth": depth, "policy": "calibrated", "fault": fault, "noise_seed": None}
            found += [keys | {"level": bits} for bits in WEIGHT_BITS]
    return found


def measure(lab, depth: int, policy: str, fault: str, level: float, noise_seed: int | None) -> dict:
    """Return paired counts of a network with the fault."""
    network = lab.network(depth)
    if fault in COARSE:
        coarse = quantised(network, level, COARSE[fault])
        snn = convert(coarse, calibrated(coarse, lab.training.images))
        return lab.judge(network, partial(closed_form, snn)).counts
    snn = convert(network, lab.windows(depth, policy))
    generator = torch.Generator().manual_seed(noise_seed)
    rules = {"jitter": jitter, "loss": loss, "mismatch": partial(mismatch, snn)}
    return lab.judge(network, partial(simulate, snn, fire=rules[fault](level, generator))).counts


def band(rows: list[dict]) -> tuple[float, float, float]:
    """Return the mean of the points lost with several noise seeds, and the 95 % band they span."""
    values = list(map(points_lost, rows))
    low, high = np.quantile(values, (0.025, 0.975))
    return float(np.mean(values)), float(low), float(high)


def table(rows: list[dict]) -> Table:
    """Return a line per fault and window policy: points lost at each depth, means of the seeds."""
    groups, depths = grouped(rows, "fault", "level", "policy", "depth"), grouped(rows, "depth")
    lines = []
    for name, fault, level in SHOWN:
        for policy in grouped(rows, "policy"):
            found = [groups.get((fault, level, policy, depth)) for depth in depths]
            if all(found):
                lines.append([name, policy, *(two_places(band(part)[0]) for part in found)])
    header = ("points lost at depth", "windows", *map(str, depths))
    return Table(header, lines, 2, "points lost, mean of the noise seeds")


def draw(rows: list[dict]) -> Figure:
    """Draw points lost against the level of each fault: one line per depth and policy."""
    figure = Figure(figsize=(WIDTH, 5.0))
    panels = dict(zip(PANELS, figure.subplots(2, 2, sharey=True).flat, strict=True))
    for (fault, policy, depth), found in grouped(rows, "fault", "policy", "depth").items():
        axes = panels[fault.split(",")[0]]
        solid = policy == "automatic" or fault == "weights, a scale per neuron"
        draw_levels(axes, found, depth, "-" if solid else "--")
    for name, (label, scale) in PANELS.items():
        panels[name].set_xscale(scale)
        panels[name].set_xlabel(label)
        loss_axis(panels[name].yaxis, 1, min(map(points_lost, rows)))
    panels["weights"].invert_xaxis()
    for name in ("jitter", "mismatch"):
        panels[name].set_ylabel("Accuracy lost (points, linear to 1)")
    handles = [
        panels["loss"].plot([], [], ms=3, label=f"depth {depth}", **depth_style(depth))[0]
        for depth in grouped(rows, "depth")
    ]
    for style, name in (
        ("--", "calibrated; weights scaled per layer"),
        ("-", "automatic; weights scaled per neuron"),
    ):
        handles += panels["loss"].plot([], [], style, color="black", lw=0.8, label=name)
    figure.legend(handles=handles, loc="outside upper center", ncols=6, columnspacing=1)
    return figure


def draw_levels(axes, rows: list[dict], depth: int, line: str) -> None:
    """Draw the mean of the points lost against the level, with the noise seeds' 95 % bands."""
    levels = grouped(sorted(rows, key=lambda row: row["level"]), "level")
    mean, low, high = zip(*map(band, levels.values()), strict=True)
    style = depth_style(depth)
    axes.plot(list(levels), mean, line, lw=0.8, ms=3, **style)
    axes.vlines(list(levels), low, high, color=style["color"], lw=1.5)
