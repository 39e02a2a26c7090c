"""What does a membrane potential look like? (10 seconds)

A few neurons of one network while they read one digit, as B1 and as alpha: those that fire in the
middle of the first and of the last hidden layer's spikes. Then the first neurons that, as alpha
without the guard, fire before t_min: one whose potential rises past its threshold, and one whose
threshold lies below the resting potential. Or a neuron of your choice.

    python experiments membrane_traces
    python experiments membrane_traces --depth 4 --image 7 --layer 2 --neuron 11
    python experiments membrane_traces --redraw         # from the results alone
"""

import numpy as np
import torch
from matplotlib.figure import Figure

from ttfs import InputError
from ttfs.coding import encode
from ttfs.conversion import convert
from ttfs.simulation import event_driven
from ttfs.stages.figures import INPUT_COLOUR, RELU_COLOUR, SNN_COLOUR, WIDTH, corner_note, note
from ttfs.stages.options import DEEPEST, whole
from ttfs.stages.results import NUMBER
from ttfs.stages.tables import Table

COLUMNS = {"neuron_model": str, "layer": int, "neuron": int, "guard": bool, "t_start": NUMBER}
COLUMNS |= {"t_min": NUMBER, "t_max": NUMBER, "threshold": NUMBER, "corners": [[NUMBER]]}
COLUMNS |= {"input_spikes": list, "spike": NUMBER | None}


def add_options(parser) -> None:
    """Add the options that choose what is drawn."""
    parser.add_argument("--depth", type=whole(2, DEEPEST), default=8, help="of the network")
    parser.add_argument("--image", type=whole(0), default=0, metavar="I", help="test image")
    choice = "to draw, with --{} (None: typical and premature ones)"
    layer, neuron = (choice.format(other) for other in ("neuron", "layer"))
    parser.add_argument("--layer", type=whole(1), metavar="N", help=f"hidden layer {layer}")
    parser.add_argument("--neuron", type=whole(0), metavar="I", help=f"neuron {neuron}")


def cases(lab) -> list[dict]:
    """Return the one case: a network and an image."""
    if (lab.options["layer"] is None) != (lab.options["neuron"] is None):
        raise InputError("--layer and --neuron go together")
    return [dict(lab.options)]


def measure(lab, depth: int, image: int, layer: int | None, neuron: int | None) -> list[dict]:
    """Return a row per panel: a neuron's potential from its t_start to its t_max."""
    network, pixels = lab.network(depth), lab.shown(image)
    lengths = lab.windows(depth, "calibrated")
    alpha = convert(network, lengths, "alpha")
    if layer is None:
        free = event_driven(alpha, pixels, guard=False)
        subjects = [("typical", key) for key in typical_neurons(event_driven(alpha, pixels))]
        subjects += [("premature", key) for key in premature_neurons(alpha, free)]
    else:
        subjects = [("asked for", (layer, neuron))]
    if not subjects:
        raise InputError(f"--image {image}: no neuron of the network fires; choose another")
    rows = []
    for why, key in subjects:
        for model, guard in (("B1", True), ("alpha", why != "premature")):
            snn = convert(network, lengths, model)
            simulation = event_driven(snn, pixels, guard, traced=[key])
            rows.append({"why": why, "guard": guard, **panel(snn, pixels, simulation, *key)})
    return rows


def typical_neurons(simulation) -> list[tuple[int, int]]:
    """Return (layer, neuron) in the middle of the first and of the last hidden layer's spikes."""
    found = []
    for n in sorted({1, len(simulation.spike_times)}):
        times = simulation.spike_times[n - 1][0]
        fired = int(torch.isfinite(times).sum())
        found += [(n, int(times.argsort()[fired // 2]))] if fired else []
    return found


def premature_neurons(snn, simulation) -> list[tuple[int, int]]:
    """Return the first (layer, neuron) to fire between t_start and t_min, and the first at t_start.

    There may be none of either.
    """
    between, at_start = [], []
    for n, (layer, times) in enumerate(zip(snn.hidden, simulation.spike_times, strict=True), 1):
        early = (times[0] < layer.t_min).nonzero().flatten().tolist()
        for i in early:
            (at_start if layer.threshold[i] <= 0 else between).append((n, i))
    return between[:1] + at_start[:1]


def panel(snn, pixels, simulation, n: int, neuron: int) -> dict:
    """Return what one panel shows: the potential's corners, its threshold, spikes in and out."""
    layer = snn.hidden[n - 1]
    times_in = (encode(pixels) if n == 1 else simulation.spike_times[n - 2])[0]
    spike = simulation.spike_times[n - 1][0, neuron].item()
    return {
        "neuron_model": snn.neuron.name,
        "layer": n,
        "neuron": neuron,
        "t_start": layer.t_start,
        "t_min": layer.t_min,
        "t_max": layer.t_max,
        "threshold": layer.threshold[neuron].item(),
        "corners": simulation.traces[n, neuron].tolist(),
        "input_spikes": times_in[torch.isfinite(times_in)].tolist(),
        "spike": spike if spike < torch.inf else None,
    }


def table(rows: list[dict]) -> Table:
    """Return a line per panel: its neuron, threshold and times."""
    columns = {
        "layer": "{layer}",
        "neuron": "{neuron}",
        "model": "{neuron_model}",
        "guard": lambda row: "yes" if row["guard"] else "no",
        "threshold": "{threshold:.3f}",
        "t_min": "{t_min:.3f}",
        "spike": lambda row: "silent" if row["spike"] is None else f"{row['spike']:.3f}",
        "t_max": "{t_max:.3f}",
    }
    return Table.of(rows, columns, 0, "potentials drawn")


def draw(rows: list[dict]) -> Figure:
    """Draw a row per neuron: on the left as B1, on the right as alpha."""
    figure = Figure(figsize=(WIDTH, 0.6 + 1.35 * (len(rows) // 2)))
    grid = figure.subplots(len(rows) // 2, 2, squeeze=False)
    for axes, row in zip(grid.flat, rows, strict=True):
        draw_trace(axes, row)
    grid[0, 0].set_title("B1: input alone before t_min, slope 1 after", loc="left")
    grid[0, 1].set_title("alpha: a slope of its own from the start", loc="left")
    figure.supxlabel("Time; the input's window and the neuron's own are drawn equally wide")
    figure.supylabel("Membrane potential (dimensionless)")
    return figure


def draw_trace(axes, row: dict) -> None:
    """Draw one potential with its threshold, its input spikes below and its own spike above."""
    ends = (row["t_start"], row["t_min"], row["t_max"])

    def place(times):
        return np.interp(times, ends, (0, 1, 2))

    times, potential = np.array(row["corners"]).T
    early = row["spike"] is not None and row["spike"] < row["t_min"]
    colour = RELU_COLOUR if early else SNN_COLOUR
    axes.plot(place(times), potential, color=colour, lw=1)
    axes.plot((int(row["guard"]), 2), 2 * [row["threshold"]], "--", color="black", lw=0.8)
    beside = {"ha": "center", "va": "top" if early else "bottom"}
    note(axes, "threshold", (1.5, row["threshold"]), (0, -2 if early else 2), 5.5, **beside)
    axes.axvline(1, color="0.6", lw=0.6)
    below = {"transform": axes.get_xaxis_transform(), "clip_on": False, "color": INPUT_COLOUR}
    axes.plot(
        place(row["input_spikes"]), 0 * place(row["input_spikes"]), "|", ms=4, mew=0.4, **below
    )
    mark_spike(axes, row, place, (times, potential), colour)
    axes.set_xlim(0, 2)
    axes.margins(y=0.2)
    axes.set_xticks((0, 1, 2), [f"{ends[0]:.4g}", f"t_min {ends[1]:.4g}", f"t_max {ends[2]:.4g}"])
    guard = "" if row["guard"] else ", no guard"
    corner_note(axes, f"layer {row['layer']}, neuron {row['neuron']}{guard}", y=1.0, fontsize=5.5)


def mark_spike(axes, row: dict, place, curve, colour) -> None:
    """Mark the spike on the potential, or write that there is none."""
    label, offset, beside = "fires", (-5, 3), {"ha": "right", "va": "bottom"}
    if row["spike"] is None:
        label, offset, beside = "silent", (0, -8), {"ha": "right", "va": "top"}
    elif row["spike"] == row["t_start"]:
        label, offset = "threshold below rest: fires at once", (6, 0)
        beside = {"ha": "left", "va": "center"}
    elif row["spike"] < row["t_min"]:
        label = "fires before t_min"
    moment = row["t_max"] if row["spike"] is None else row["spike"]
    point = (place(moment), np.interp(moment, *curve))
    if row["spike"] is not None:
        axes.plot(*point, "o", color=colour, ms=3.5, clip_on=False)
    note(axes, label, point, offset, 5.5, **beside)
