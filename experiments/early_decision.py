"""How early can the answer be read, and how early is it certain? (1 minute)

While the last hidden layer's window fills, the output neurons' potentials can be read at any time.
A neuron that has fired will contribute a known amount by the end: the *promised* potential counts
it now. A decision is *certain* once no spike that may still come could change it.
"""

from functools import partial

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from experiments.readout import is_certain, output_potentials, promised_logits
from ttfs.conversion import SpikingNetwork, convert
from ttfs.metrics import percent
from ttfs.simulation import Simulation, closed_form
from ttfs.stages.figures import INPUT_COLOUR, RELU_COLOUR, SNN_COLOUR, depth_panels, legend_above
from ttfs.stages.results import NUMBER, grouped
from ttfs.stages.tables import Table

COLUMNS = {"depth": int, "fraction": NUMBER, "t": NUMBER, "latency": NUMBER}
COLUMNS |= {"n_test": int, "potential_correct": int, "promised_correct": int, "certain": int}
POLICIES = ("calibrated", "automatic")
COLUMNS["policy"] = dict.fromkeys(POLICIES, {})
MOMENTS = 51  # in the last window, its ends included
NEAR = 0.1  # points: as good as the final accuracy
CURVES = {  # key: name, colour, line
    "promised_correct": ("right, as promised", SNN_COLOUR, "-"),
    "potential_correct": ("right, potential so far", RELU_COLOUR, "--"),
    "certain": ("certain", INPUT_COLOUR, ":"),
}


def cases(lab) -> list[dict]:
    """Return both window policies at every depth."""
    return [{"depth": depth, "policy": policy} for depth in lab.depths for policy in POLICIES]


def measure(lab, depth: int, policy: str) -> list[dict]:
    """Return a row per moment of the last window."""
    snn = convert(lab.network(depth), lab.windows(depth, policy))
    return lab.tally(partial(closed_form, snn), partial(moments, snn))


def moments(snn: SpikingNetwork, simulation: Simulation, labels: Tensor) -> list[dict]:
    """Return a row per moment of the last window: correct, final and certain labels."""
    spike_times, final = simulation.spike_times[-1], simulation.predictions
    window = snn.hidden[-1].window
    rows = []
    for fraction in np.linspace(0, 1, MOMENTS).tolist():
        t = window.t_min + fraction * window.length
        potential = output_potentials(snn, spike_times, t).argmax(1)
        promised = promised_logits(snn, spike_times, t).argmax(1)
        certain = is_certain(snn, spike_times, t)
        row = {
            "fraction": fraction,
            "t": t,
            "latency": snn.t_read,
            "n_test": len(final),
            "potential_correct": int((potential == labels).sum()),
            "promised_correct": int((promised == labels).sum()),
            "promised_final": int((promised == final).sum()),
            "certain": int(certain.sum()),
            "certain_final": int((promised == final)[certain].sum()),
            "spikes": int((spike_times <= t).sum()),
        }
        rows.append(row)
    return rows


def first_moment(rows: list[dict], reached) -> str:
    """Return the first moment from which on the condition holds, in per cent of the window."""
    found = rows[-1]  # at the last moment it must
    for row in reversed(rows):
        if not reached(row):
            break
        found = row
    return f"{100 * found['fraction']:.0f} ({found['t']:.1f})"


def table(rows: list[dict]) -> Table:
    """Return a line per depth and policy: when the answer is nearly final, and when certain."""
    lines = []
    for (depth, policy), found in grouped(rows, "depth", "policy").items():
        n, final = found[-1]["n_test"], found[-1]["promised_correct"]
        near = final - NEAR / 100 * n
        cells = [
            f"{found[-1]['latency']:.1f}",
            first_moment(found, lambda row, near=near: row["promised_correct"] >= near),
            first_moment(found, lambda row, near=near: row["potential_correct"] >= near),
            first_moment(found, lambda row, n=n: row["certain"] >= 0.5 * n),
            first_moment(found, lambda row, n=n: row["certain"] >= 0.9 * n),
        ]
        lines.append([f"{depth}", policy, *cells])
    header = ("depth", "windows", "latency", "promised nearly final", "potential nearly final")
    header += ("half certain", "90 % certain")
    return Table(header, lines, 2, "elapsed part of the last window, in per cent (time)")


def draw(rows: list[dict]) -> Figure:
    """Draw the share of right and of certain labels against time: a row per window policy."""
    groups, policies = grouped(rows, "depth", "policy"), list(grouped(rows, "policy"))
    figure, panels = depth_panels(grouped(rows, "depth"), 0.7 + 1.7 * len(policies), len(policies))
    for depth, column in panels.items():
        for policy, axes in zip(policies, column, strict=True):
            found = groups[depth, policy]
            fraction = [row["fraction"] for row in found]
            for key, (name, colour, style) in CURVES.items():
                share = [percent(row[key], row["n_test"]) for row in found]
                axes.plot(fraction, share, style, color=colour, label=name)
            axes.set_xticks((0, 0.5, 1), ("0", "½", "1"))
    column = next(iter(panels.values()))
    for policy, axes in zip(policies, column, strict=True):
        axes.set_ylabel(f"{policy} windows\ntest images (%)")
    figure.supxlabel("Elapsed part of the last window")
    legend_above(figure, column[0], 3)
    return figure
