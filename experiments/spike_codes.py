"""What does each spike code cost, on the same weights? (25 minutes)

The trained networks with their activations as the time of a first spike, in continuous time or on a
clock; as temporal patterns of binary digits; as firing rates; and, without spikes, as the quantised
ReLU network that the first two equal on a clock. Windows suit each clock (ttfs.tuning); rates are
scaled by the largest activation, a quantile of them, or a clock's windows: all from training and
validation images. The table has each code's cheapest setting that keeps the ReLU network's accuracy
on validation images.
"""

import math

from matplotlib.figure import Figure

from experiments.codes import Classifier, first_spike, judged, pattern, quantised, rate
from experiments.energy import energy
from ttfs.metrics import percent, points_lost
from ttfs.stages.figures import (
    INPUT_COLOUR,
    RELU_COLOUR,
    SNN_COLOUR,
    WIDTH,
    legend_above,
    loss_axis,
    plain_ticks,
)
from ttfs.stages.results import NUMBER, grouped
from ttfs.stages.tables import Table, accuracy_and_interval
from ttfs.windows import calibrated

COLUMNS = {"depth": int, "code": str, "bits": int | None, "quantile": NUMBER | None}
COLUMNS |= {"n_test": int, "relu_correct": int, "snn_correct": int, "n_validation": int}
COLUMNS |= {"validation_correct": int, "relu_validation_correct": int, "steps": int | None}
COLUMNS |= {"spikes": [int], "sums": int, "gathered": int, "products": int, "updates": int}
COUNTS = ("sums", "gathered", "products", "updates")
CONTINUOUS, CLOCK = "first spike, continuous time", "first spike, on a clock"
PATTERN, QUANTISED = "temporal pattern", "no spikes: quantised ReLU"
RATE, CURRENT = "rate", "rate, pixels as current"
LEVELS = {CLOCK: first_spike, PATTERN: pattern, QUANTISED: quantised}
BITS = (0, 1, 2, 3, 4, 5)
TIMES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
QUANTILES = (0.9, 0.98, 0.999, 1.0)
ENOUGH = 32  # steps, for all rates but those of spikes, scaled by the largest activation
ALLOWED = 0.1  # points of validation accuracy that a setting may lose, to count as equal
STYLES = {
    CONTINUOUS: {"color": SNN_COLOUR, "marker": "*", "ms": 7},
    CLOCK: {"color": SNN_COLOUR, "marker": "o", "ls": "-"},
    PATTERN: {"color": SNN_COLOUR, "marker": "^", "mfc": "white", "ls": ":"},
    RATE: {"color": RELU_COLOUR, "marker": "s", "ls": "-"},
    CURRENT: {"color": RELU_COLOUR, "marker": "s", "mfc": "white", "ls": "--"},
    QUANTISED: {"color": INPUT_COLOUR, "marker": "x", "ls": "-"},
}
COLUMNS["code"] = dict.fromkeys(STYLES, {})


def cases(lab) -> list[dict]:
    """Return every code with every setting, at every depth."""
    found = []
    for depth in lab.depths:
        found.append({"depth": depth, "code": CONTINUOUS, "bits": None, "quantile": None})
        for bits in BITS[1:3] if lab.quick else BITS:
            found += [
                {"depth": depth, "code": code, "bits": bits, "quantile": None} for code in LEVELS
            ]
        quantiles, bits = (QUANTILES[-2:], BITS[1:2]) if lab.quick else (QUANTILES, BITS)
        for code in (RATE, CURRENT):
            ways = [(None, q) for q in quantiles] + [(b, None) for b in bits]
            found += [{"depth": depth, "code": code, "bits": b, "quantile": q} for b, q in ways]
    return found


def measure(lab, depth: int, code: str, bits: int | None, quantile: float | None) -> list[dict]:
    """Return what a code's spikes do and cost: a row, or for rates one per number of steps."""
    network, (images, labels) = lab.network(depth), lab.validation
    rows = judged(lab, classifier(lab, depth, code, bits, quantile))
    relu = {"relu_validation_correct": int((network.logits(images).argmax(1) == labels).sum())}
    relu["relu_correct"] = relu_correct(lab, depth)
    return [row | relu for row in rows]


def classifier(lab, depth: int, code: str, bits: int | None, quantile: float | None) -> Classifier:
    """Return what a code does with a batch of images: an answer, or one per number of steps."""
    network = lab.network(depth)
    if code == CONTINUOUS:
        lengths = calibrated(network, lab.training.images)
        return lambda images: [first_spike.continuous(network, lengths, images.double())]
    if code in LEVELS:
        lengths = lab.clock_lengths(depth, bits)
        return lambda images: [LEVELS[code].classify(network, lengths, images.double(), bits)]
    if bits is None:
        longest = TIMES[-1] if (code, quantile) == (RATE, 1) else ENOUGH
        thresholds = lab.candidates(depth)[quantile]
        times = [t for t in TIMES if t <= (16 if lab.quick else longest)]
    else:
        thresholds, times = lab.clock_lengths(depth, bits), [2**bits]
    own = {"times": times, "current": code == CURRENT}
    return lambda images: rate.classify(network, thresholds, images.float(), **own)


def relu_correct(lab, depth: int) -> int:
    """Return how many test images the ReLU network gets right."""
    network = lab.network(depth)

    def count(logits, labels) -> list[dict]:
        return [{"correct": int((logits.argmax(1) == labels).sum())}]

    return lab.tally(network.logits, count)[0]["correct"]


def equal(row: dict) -> bool:
    """Return whether a setting keeps the ReLU network's accuracy on validation images."""
    lost = row["relu_validation_correct"] - row["validation_correct"]
    return percent(lost, row["n_validation"]) <= ALLOWED


def cheapest(rows: list[dict]) -> dict | None:
    """Return the row that takes least energy of those with equal accuracy; None if there is none.

    Memory is counted.
    """
    return min(filter(equal, rows), key=lambda row: energies(row)[1], default=None)


def hidden_spikes(row: dict) -> float:
    """Return the hidden spikes per image."""
    return sum(row["spikes"][1:]) / row["n_test"]


def per_image(row: dict, key: str) -> float:
    """Return a count per test image."""
    return row[key] / row["n_test"]


def energies(row: dict) -> tuple[float, float]:
    """Return the energy per image, in nJ: of arithmetic alone, and with memory."""
    return energy(*(per_image(row, key) for key in COUNTS))


def setting(row: dict) -> str:
    """Return a row's setting in words."""
    if row["bits"] is not None:
        ticks = f"{2 ** row['bits']}"
        return f"windows of {ticks} ticks" if row["code"] in (RATE, CURRENT) else f"{ticks} levels"
    if row["quantile"] is None:
        return "calibrated windows"
    return "largest activation" if row["quantile"] == 1 else f"{100 * row['quantile']:g} % quantile"


def table(rows: list[dict]) -> Table:
    """Return a line per depth and code: the setting that takes least energy at equal accuracy."""
    lines = []
    for (depth, code), found in grouped(rows, "depth", "code").items():
        row = cheapest(found)
        lines.append([f"{depth}", code, *(cells(row) if row else ["none", *8 * ["-"]])])
    header = ("depth", "code", "setting", "steps", "test accuracy (95 % interval)")
    header += ("input spikes", "hidden spikes", "sums", "products", "updates", "energy (nJ)")
    title = "per image, within 0.1 points of ReLU's accuracy on validation images; in thousands:\n"
    title += "sums, products and updates. Without spikes: numbers that are not 0"
    return Table(header, lines, 3, title)


def cells(row: dict) -> list[str]:
    """Return the cells of a setting after the first two."""
    sums = per_image(row, "sums") + per_image(row, "gathered")
    counts = [sums, per_image(row, "products"), per_image(row, "updates")]
    return [
        setting(row),
        "-" if row["steps"] is None else f"{row['steps']}",
        accuracy_and_interval(row),
        f"{row['spikes'][0] / row['n_test']:.0f}",
        f"{hidden_spikes(row):.0f}",
        *(f"{count / 1e3:.1f}" for count in counts),
        "{:.0f} to {:.0f}".format(*energies(row)),
    ]


def draw(rows: list[dict]) -> Figure:
    """Draw points lost against spikes and against steps: a column per depth, a line per code."""
    lines = {}  # of each depth and code: of rows of as many steps or bits, the best
    for (depth, code), own in grouped(rows, "depth", "code").items():
        same = grouped(own, "steps" if code in (RATE, CURRENT) else "bits")
        lines[depth, code] = [best(same[key]) for key in sorted(same, key=lambda key: key or 0)]
    lost = [points_lost(row) for line in lines.values() for row in line]
    depths = list(grouped(rows, "depth"))
    figure = Figure(figsize=(WIDTH, 4.6))
    grid = figure.subplots(2, len(depths), sharex="row", sharey=True, squeeze=False)
    columns = dict(zip(depths, grid.T, strict=True))
    for (depth, code), line in lines.items():
        for axes, place in zip(columns[depth], (spikes, steps), strict=True):
            points = [(place(row), points_lost(row)) for row in line]
            axes.plot(*zip(*points, strict=True), label=code, **{"lw": 1, "ms": 3} | STYLES[code])
    for depth, (above, below) in columns.items():
        above.set_title(f"{depth} layers")
        for axes, name in ((above, "Spikes per image"), (below, "Time steps")):
            axes.set_xscale("log")
            axes.set_xlabel(name)
            plain_ticks(axes.xaxis)
            loss_axis(axes.yaxis, 0.1, min(lost), 1.5 * max(1, *lost))
            axes.axhline(0, color="0.8", lw=0.6, zorder=0)
    for axes in grid[:, 0]:
        axes.set_ylabel("Points lost (linear to 0.1)")
    legend_above(figure, grid[0, 0], 3)
    return figure


def best(rows: list[dict]) -> dict:
    """Return the row of the setting that gets most validation images right."""
    return max(rows, key=lambda row: row["validation_correct"])


def spikes(row: dict) -> float:
    """Return all spikes per image."""
    return sum(row["spikes"]) / row["n_test"]


def steps(row: dict) -> float:
    """Return the steps until the answer; in continuous time, there is nowhere to show it."""
    return row["steps"] or math.nan
