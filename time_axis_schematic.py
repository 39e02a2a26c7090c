"""Draw the time axis of each converted network: chained windows with one image's spikes in them.

Reads   models/mnist_{2,4,6,8}_layer.pkl              (from train_mnist_pytorch.py), MNIST
Writes  results/time_axis_schematic.json, .md         windows, spikes and output potentials
        figures/time_axis_schematic.png               (.pdf, .svg and .eps with --formats)

    python time_axis_schematic.py                          # a test image drawn with --seed
    python time_axis_schematic.py --image 7 --depths 2 4
    python time_axis_schematic.py --redraw                 # from the results alone
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # PYTHONSAFEPATH leaves it out

from ttfs.stages.ending import one_line_errors  # isort: split

import numpy as np
import torch

from ttfs import InputError
from ttfs.coding import encode
from ttfs.conversion import convert
from ttfs.datasets import load_dataset
from ttfs.simulation import closed_form
from ttfs.stages.figures import INPUT_COLOUR, WIDTH, Figure, depth_style
from ttfs.stages.inputs import load_networks
from ttfs.stages.options import DEEPEST, Parser
from ttfs.stages.report import report
from ttfs.stages.results import NUMBER
from ttfs.stages.tables import Table
from ttfs.windows import calibrated

LAYER = {"size": int, "neurons": [int, ...], "times": [NUMBER, ...]}
LAYER[("neurons", "times")] = lambda neurons, times: len(neurons) == len(times)
LAYER[("neurons", "size")] = lambda neurons, size: max(neurons, default=0) < size
COLUMNS = {"depth": range(1, DEEPEST + 1), "image": int, "label": range(10)}
COLUMNS |= {"pixels": [range(256)] * 784, "output_potentials": [NUMBER] * 10}
COLUMNS |= {"windows": [[NUMBER] * 2], "spikes": [LAYER]}
COLUMNS[("depth", "windows")] = lambda depth, windows: depth == len(windows)
COLUMNS[("windows", "spikes")] = lambda windows, spikes: (
    len(windows) == len(spikes) and all(t_min < t_max for t_min, t_max in windows)
)


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add("dataset", "network", "data-dir", "depths", "redraw", "formats")
    parser.add_argument("--image", type=int, metavar="I", help="test image (None: drawn by seed)")
    parser.add("seed", help="draws the image")
    parser.add_inputs("models")
    parser.add_outputs("results", "figures")
    args = parser.parse_args(argv)
    if args.seed and args.image is not None:
        parser.error("--seed draws the image: with --image it has no effect")
    return args


def measure(args, dataset: str) -> list[dict]:
    """Return a row per depth: its windows, every spike of one image, and the output potentials."""
    networks = load_networks(args.models, dataset, args.depths, args.network)
    training, _, test = load_dataset(dataset, args.data_dir)
    n_test = len(test.labels)
    image = np.random.default_rng(args.seed).integers(n_test) if args.image is None else args.image
    if not 0 <= image < n_test:
        raise InputError(f"--image {image}: the test images are 0 to {n_test - 1}")
    pixels = test.images[image : image + 1].double()
    rows = []
    for depth, network in networks.items():
        snn = convert(network, calibrated(network, training.images))
        simulation = closed_form(snn, pixels)
        row = {
            "depth": depth,
            "image": int(image),
            "label": int(test.labels[image]),
            "pixels": [round(255 * value) for value in pixels[0].tolist()],
            "windows": [[0.0, 1.0]] + [[layer.t_min, layer.t_max] for layer in snn.hidden],
            "spikes": [spikes(times[0]) for times in (encode(pixels), *simulation.spike_times)],
            "output_potentials": simulation.logits[0].tolist(),
        }
        rows.append(row)
    return rows


def spikes(times: torch.Tensor) -> dict:
    """Return which neurons of a layer fired, when, and out of how many."""
    fired = torch.isfinite(times).nonzero().flatten()
    return {"size": len(times), "neurons": fired.tolist(), "times": times[fired].tolist()}


def draw_time_axes(rows: list[dict]) -> Figure:
    """Draw one panel per depth, and the image itself."""
    figure = Figure(figsize=(WIDTH, 0.4 + 1.45 * len(rows)))
    grid = figure.add_gridspec(len(rows), 2, width_ratios=(1, 9))
    for n, row in enumerate(rows):
        draw_windows(figure.add_subplot(grid[n, 1]), row)
    corner = figure.add_subplot(grid[0, 0])
    corner.imshow(np.reshape(rows[0]["pixels"], (28, 28)), cmap="gray_r")
    corner.set_title(f"test image\n{rows[0]['image']}")
    corner.set_axis_off()
    caption = (
        "Time (1 = the input window); every window is drawn equally wide, its true ends are written"
        "\nt_max(L) = t_min(L+1): a layer's window opens when the one before it closes"
        "\nabove each window: spikes / neurons; bars: output potentials, above the smallest"
    )
    figure.supxlabel(caption, fontsize=7)
    return figure


def draw_windows(axes, row: dict) -> None:
    """Draw a network's windows side by side, each with its layer's spikes, then the read-out."""
    own_colour, n_windows = depth_style(row["depth"])["color"], len(row["windows"])
    for n, (window, layer) in enumerate(zip(row["windows"], row["spikes"], strict=True)):
        draw_spikes(axes, n, window, layer, INPUT_COLOUR if n == 0 else own_colour)
    for n in range(n_windows + 1):
        axes.axvline(n, color="0.3", lw=0.6)
    potentials = np.array(row["output_potentials"])
    heights = (potentials - potentials.min()) / (np.ptp(potentials) or 1)
    winner = int(potentials.argmax())
    for digit, height in enumerate(heights):
        colour, weight = (own_colour, "bold") if digit == winner else ("0.75", "normal")
        y, right = (digit + 0.5) / 10, {"ha": "right", "va": "center"}
        axes.barh(y, 0.6 * height, 0.07, left=n_windows + 0.25, color=colour)
        axes.text(n_windows + 0.2, y, str(digit), fontsize=4.5, fontweight=weight, **right)
    write_above(axes, n_windows + 0.5, f"output\n{winner}")
    axes.set_xlim(0, n_windows + 1)
    axes.set_ylim(0, 1)
    ends = [0.0] + [t_max for _, t_max in row["windows"]]
    axes.set_xticks(range(n_windows + 1), [f"{time:.4g}" for time in ends])
    axes.set_yticks([])
    axes.set_ylabel(f"{row['depth']} layers\nneurons")


def draw_spikes(axes, place: int, window: list[float], layer: dict, colour) -> None:
    """Draw a layer's spikes in the window that starts at ``place`` on the drawn axis."""
    t_min, t_max = window
    if place % 2:
        axes.axvspan(place, place + 1, color="0.94", lw=0)
    position = place + (np.array(layer["times"]) - t_min) / (t_max - t_min)
    height = (np.array(layer["neurons"]) + 0.5) / layer["size"]
    axes.plot(position, height, ".", color=colour, ms=2.2, mew=0)
    name = "input" if place == 0 else f"layer {place}"
    write_above(axes, place + 0.5, f"{name}\n{len(layer['times'])}/{layer['size']}")


def write_above(axes, x: float, text: str) -> None:
    """Write a text above the axes."""
    axes.text(x, 1.05, text, ha="center", va="bottom", fontsize=6)


def table(rows: list[dict]) -> Table:
    """Return a line per depth: every window's end."""
    columns = max(len(row["windows"]) for row in rows)
    lines = []
    for row in rows:
        ends = [f"{t_max:.4g}" for _, t_max in row["windows"]]
        lines.append([f"{row['depth']}", *ends, *["-"] * (columns - len(ends))])
    header = ("depth", "input", *(f"layer {n}" for n in range(1, columns)))
    title = f"t_max of every window, for test image {rows[0]['image']} (a {rows[0]['label']})"
    return Table(header, lines, title=title)


@one_line_errors
def main(argv=None) -> None:
    """Measure (unless told to redraw), draw, print a table."""
    args = parse(argv)
    shown = COLUMNS, lambda dataset: measure(args, dataset), table, draw_time_axes
    print(report(args, "time_axis_schematic.py", "time_axis_schematic", *shown))


if __name__ == "__main__":
    main()
