"""What happens while one digit is read? (20 seconds)

Every spike of one network while it reads one test image, the potentials of a few neurons of each
layer, and the output potentials until the largest wins; as a still figure, and as one that moves.
The windows are the automatic ones, each of them rescaled to one input window.

    python experiments travelling_digit
    python experiments travelling_digit --depth 2 --image 7
    python experiments travelling_digit --redraw         # from the results alone
"""

import torch
from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure
from torch import Tensor

from experiments.digit_figure import Scene
from experiments.readout import output_potentials
from ttfs.coding import encode
from ttfs.conversion import SpikingLayer, SpikingNetwork, convert
from ttfs.simulation import Simulation, event_driven
from ttfs.stages.options import DEEPEST, whole
from ttfs.stages.results import NUMBER
from ttfs.stages.tables import Table
from ttfs.windows import normalise_layers

TRACE = {"neuron": int, "threshold": NUMBER, "spike": NUMBER | None, "corners": [[NUMBER]]}
SPIKES = {"neurons": list, "times": list}
COLUMNS = {"depth": int, "image": int, "layer": int, "size": int, "frames": int}
COLUMNS |= {"t_min": NUMBER, "t_max": NUMBER}
COLUMNS["kind"] = {
    "pixels": SPIKES,
    "hidden": SPIKES | {"window": NUMBER, "t_start": NUMBER, "traces": [TRACE]},
    "output": {"potentials": [[NUMBER]]},
}
FRAMES = 25  # per input window
DECIMALS = 4
FIRING, SILENT = (0.02, 0.2, 0.5, 0.8), (0.1, 0.5)  # ranks of the neurons that are traced


def add_options(parser) -> None:
    """Add the options that choose what is drawn."""
    parser.add_argument("--depth", type=whole(2, DEEPEST), default=4, help="of the network")
    parser.add_argument("--image", type=whole(0), default=49, metavar="I", help="test image")


def cases(lab) -> list[dict]:
    """Return the one case: a network and an image."""
    return [{key: lab.options[key] for key in ("depth", "image")}]


def measure(lab, depth: int, image: int) -> list[dict]:
    """Return a row of the pixels, one per hidden layer and one of the output neurons."""
    pixels, lengths = lab.shown(image), lab.windows(depth, "automatic")
    snn = convert(normalise_layers(lab.network(depth), lengths), [1.0] * (depth - 1))
    everyone = [
        (n, i) for n, layer in enumerate(snn.hidden, 1) for i in range(layer.synapses.n_out)
    ]
    simulation = event_driven(snn, pixels, traced=everyone)
    rows = [{"kind": "pixels", "t_min": 0.0, "t_max": 1.0, **spikes(encode(pixels)[0])}]
    for layer, length in zip(snn.hidden, lengths, strict=True):
        rows.append({"window": round(length, DECIMALS), **hidden_row(layer, simulation)})
    rows.append(output_row(snn, simulation))
    frames = 3 if lab.quick else FRAMES
    return [{"layer": n, "frames": frames, **row} for n, row in enumerate(rows)]


def spikes(times: Tensor) -> dict:
    """Return how many neurons a layer has, which of them fired, and when."""
    fired = torch.isfinite(times).nonzero().flatten()
    return {"size": len(times), "neurons": fired.tolist(), "times": rounded(times[fired])}


def hidden_row(layer: SpikingLayer, simulation: Simulation) -> dict:
    """Return a layer's window, its spikes, and the potentials of a few of its neurons."""
    n = layer.window.layer
    times = simulation.spike_times[n - 1][0]
    ends = torch.stack([simulation.traces[n, i][-1, 1] for i in range(len(times))])
    traces = [
        {
            "neuron": i,
            "threshold": rounded(layer.threshold[i]),
            "spike": rounded(times[i]) if times[i] < torch.inf else None,
            "corners": thinned(simulation.traces[n, i]),
        }
        for i in watched(times, ends - layer.threshold)
    ]
    window = {"t_start": layer.t_start, "t_min": layer.t_min, "t_max": layer.t_max}
    return {"kind": "hidden", **window, **spikes(times), "traces": traces}


def watched(times: Tensor, above: Tensor) -> list[int]:
    """Return neurons that fire early to late, and some that stay silent.

    ``above`` is by how much each potential would end above its threshold, had it not fired.
    """
    fired = int(torch.isfinite(times).sum())
    order = above.argsort(descending=True).tolist()
    groups = ((order[:fired], FIRING), (order[fired:], SILENT))
    chosen = [group[int(rank * len(group))] for group, ranks in groups if group for rank in ranks]
    return list(dict.fromkeys(chosen))


def output_row(snn: SpikingNetwork, simulation: Simulation) -> dict:
    """Return when the output neurons listen, and their potentials: [time, one for each class]."""
    times = simulation.spike_times[-1]
    t_start, t_read = snn.readout.t_start, snn.t_read
    corners = sorted({t_start, t_read, *times[torch.isfinite(times)].tolist()})
    found = [[t, *output_potentials(snn, times, t)[0].tolist()] for t in corners]
    size = snn.readout.synapses.n_out
    row = {"kind": "output", "size": size, "t_min": t_start, "t_max": t_read}
    return row | {"potentials": thinned(torch.tensor(found, dtype=torch.float64))}


def rounded(values: Tensor) -> float | list[float]:
    """Return a number, or numbers, short enough for a results file."""
    found = values.tolist()
    if isinstance(found, list):
        return [round(value, DECIMALS) for value in found]
    return round(found, DECIMALS)


def thinned(corners: Tensor) -> list[list[float]]:
    """Return a curve's points, (n, 1 + n_curves), rounded, with one for each time."""
    return list({point[0]: point for point in map(rounded, corners)}.values())


def table(rows: list[dict]) -> Table:
    """Return a line per layer: its window and its spikes; of the output, what it answers."""
    header = ("layer", "opens", "closes", "rescaled from", "neurons", "fired", "first spike")
    header += ("last spike", "answer")
    title = f"test image {rows[0]['image']}; times in input windows"
    return Table(header, [line(row) for row in rows], 1, title)


def line(row: dict) -> list[str]:
    """Return one layer's line of the table."""
    window = [f"{row['t_min']:g}", f"{row['t_max']:g}"]
    if row["kind"] == "output":
        final = row["potentials"][-1][1:]
        answer = str(final.index(max(final)))
        return ["output", *window, "-", str(row["size"]), "-", "-", "-", answer]
    name, length = "pixels", "-"
    if row["kind"] == "hidden":
        name, length = f"layer {row['layer']}", f"{row['window']:.2f}"
    times = row["times"]
    ends = [f"{end(times):.3f}" if times else "-" for end in (min, max)]
    return [name, *window, length, str(row["size"]), str(len(times)), *ends, "-"]


def draw(rows: list[dict]) -> Figure:
    """Draw the moment when the output has been read."""
    scene = Scene(rows)
    scene.show(scene.moments[-1])
    return scene.figure


def animate(rows: list[dict]) -> FuncAnimation:
    """Draw every moment, from the first pixel's spike until the output has been read."""
    scene = Scene(rows)
    return FuncAnimation(scene.figure, scene.show, scene.moments, cache_frame_data=False)
