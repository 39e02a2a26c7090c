"""Do other ways of training do better? (45 minutes)

The same architectures, epochs and training function: through surrogate gradients (snnTorch's
neurons, leaky or not; pixels as current, as rates, as latencies), and as quantised activations
(clip, floor, shift) that run as integrate-and-fire neurons for T steps. Beside them, networks of
first spikes, in continuous time first and then on a clock. All learn with batch normalisation.
Learning rates and noise were chosen by hand, what the table shows by the study: all on validation
images.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from experiments.codes import Coded, first_spike, judged, rate
from experiments.fine_tuning import AIMS, LEARNING_RATE
from experiments.passes.clip_floor_shift import ClipFloorShift
from experiments.passes.surrogate import CURRENT, LATENCY, RATE, Surrogate
from experiments.spike_codes import best, hidden_spikes
from experiments.tools import needed
from ttfs.metrics import percent
from ttfs.network import ReluNetwork
from ttfs.stages.figures import (
    RELU_COLOUR,
    SNN_COLOUR,
    WIDTH,
    legend_above,
    note,
    plain_ticks,
)
from ttfs.stages.results import NUMBER, grouped
from ttfs.stages.tables import Table, accuracy_and_interval
from ttfs.time_domain import TimeDomain

JUDGED = {"n_test": int, "snn_correct": int, "n_validation": int, "validation_correct": int}
JUDGED |= {"spikes": [int], "steps": int}
COLUMNS = JUDGED | {"depth": int, "trainer": str, "setting": int, "inputs": str | None}
COLUMNS |= {"seconds": NUMBER}
LEAKY, UNLEAKY = "surrogate gradient, leaky", "surrogate gradient, no leak"
QUANTISED, FIRST_SPIKE = "clip, floor, shift", "first spike, fine-tuned"
BETA = {LEAKY: 0.9, UNLEAKY: 1.0}
EVERY_DEPTH = ((CURRENT, 4),)  # pixels and steps of surrogate gradients
SHALLOW = {  # and at the smallest depth; a leak forgets early spikes
    LEAKY: ((CURRENT, 8), (RATE, 8), (LATENCY, 8), (RATE, 25), (LATENCY, 25)),
    UNLEAKY: ((LATENCY, 8), (LATENCY, 25)),
}
LEVELS = (1, 2, 4, 8)  # of quantised activations
TIMES = (1, 2, 4, 8)  # that they run for
TICKS = {1: "1 tick", 2: "2 ticks", 4: "4 ticks"}  # and their names in fine_tuning
NEEDS_MODELS = False  # it trains its own
EPOCHS, ON_THE_CLOCK = 15, 4  # in all; of them, for first spikes, through the clock
PIXEL_NOISE, SEED = 0.2, 0
DEEP = 4  # layers, beyond which clip, floor, shift does better without noise
SETTINGS = {"batch_size": 256, "learning_rate": 8e-3}
STYLES = {
    LEAKY: {"color": RELU_COLOUR, "marker": "s"},
    UNLEAKY: {"color": RELU_COLOUR, "marker": "s", "mfc": "white"},
    QUANTISED: {"color": "0.45", "marker": "x", "ls": ":", "lw": 0.8},
    FIRST_SPIKE: {"color": SNN_COLOUR, "marker": "o", "ls": "-", "lw": 0.8},
}
COLUMNS["trainer"] = dict.fromkeys(STYLES, {})


def cases(lab) -> list[dict]:
    """Return every network to train: by trainer, how its pixels come, and its steps or levels.

    They have the smallest and the largest depth.
    """
    needed("snntorch")
    found = []
    for depth in sorted({min(lab.depths), max(lab.depths)}):
        ways = [(LEAKY, *way) for way in EVERY_DEPTH] + [(UNLEAKY, *way) for way in EVERY_DEPTH]
        if depth == min(lab.depths):
            ways += [(trainer, *way) for trainer, more in SHALLOW.items() for way in more]
        ways += [(QUANTISED, CURRENT, levels) for levels in LEVELS]
        ways += [(FIRST_SPIKE, None, ticks) for ticks in TICKS]
        ways = [way for way in ways if way[2] in (2, 4)] if lab.quick else ways
        keys = ("trainer", "inputs", "setting")
        found += [{"depth": depth} | dict(zip(keys, way, strict=True)) for way in ways]
    return found


def measure(lab, depth: int, trainer: str, inputs: str | None, setting: int) -> list[dict]:
    """Return what a trained network does, a row per number of steps, and what training it took."""
    start = time.process_time()
    with torch.random.fork_rng():  # snnTorch draws from the common generator
        torch.manual_seed(SEED)
        classify = trained(lab, depth, trainer, inputs, setting)
        seconds = round(time.process_time() - start, 1)
        rows = judged(lab, classify)
    return [{"seconds": seconds} | {key: row[key] for key in JUDGED} for row in rows]


def trained(
    lab, depth: int, trainer: str, inputs: str | None, setting: int
) -> Callable[[Tensor], Iterable[Coded]]:
    """Return what a trained network does with images: an answer per number of steps."""
    generator = torch.Generator().manual_seed(SEED)
    start = lab.untrained(depth, generator)
    norms = [nn.BatchNorm1d(size) for size in start.architecture[1:-1]]
    noise = {"pixel_noise": PIXEL_NOISE}
    if trainer == FIRST_SPIKE:
        return on_a_clock(lab, start, generator, setting)
    if trainer == QUANTISED:
        noise = noise if depth <= DEEP else {}
        through = ClipFloorShift(setting, generator, norms, **noise)
        network, thresholds, *_ = lab.retrained(start, through, generator, EPOCHS, **SETTINGS)
        return lambda images: rate.classify(network, thresholds, images.float(), TIMES, True)
    noise = noise if inputs == CURRENT else {}
    through = Surrogate(setting, inputs, BETA[trainer], generator, norms, **noise)
    network = lab.retrained(start, through, generator, EPOCHS, **SETTINGS).network
    return lambda images: [through.classify(network, images.float())]


def on_a_clock(
    lab, start: ReluNetwork, generator: torch.Generator, ticks: int
) -> Callable[[Tensor], Iterable[Coded]]:
    """Return what a network of first spikes does, trained first without and then on its clock."""
    images, noise = lab.training.images, {"pixel_noise": PIXEL_NOISE}
    through = TimeDomain.starting(start, images, generator, normalise=True, **noise)
    settings, epochs = SETTINGS, EPOCHS - ON_THE_CLOCK
    start = lab.retrained(start, through, generator, epochs, **settings).network
    aim = AIMS[TICKS[ticks]]
    hardware = replace(aim.hardware, loss=aim.loss)
    choices = images, lab.validation.images
    through = TimeDomain.on_clock(start, *choices, generator, hardware=hardware, **noise)
    settings = settings | {"learning_rate": LEARNING_RATE}
    network, lengths, *_ = lab.retrained(start, through, generator, ON_THE_CLOCK, **settings)
    bits = hardware.bits
    return lambda images: [first_spike.classify(network, lengths, images.double(), bits)]


def table(rows: list[dict]) -> Table:
    """Return a line per depth, trainer, input and steps: the best of its settings."""
    chosen = [best(own) for own in grouped(rows, "depth", "trainer", "inputs", "steps").values()]
    columns = {
        "depth": "{depth}",
        "trained": "{trainer}",
        "inputs": lambda row: row["inputs"] or "pixels as first spikes",
        "levels": lambda row: f"{row['setting']}" if row["trainer"] == QUANTISED else "-",
        "steps": "{steps}",
        "hidden spikes per image": lambda row: f"{hidden_spikes(row):.0f}",
        "input spikes": lambda row: f"{row['spikes'][0] / row['n_test']:.0f}",
        "validation": lambda row: f"{percent(row['validation_correct'], row['n_validation']):.2f}",
        "test accuracy (95 % interval)": accuracy_and_interval,
        "training (minutes)": lambda row: f"{row['seconds'] / 60:.1f}",
    }
    return Table.of(chosen, columns, 3, "steps until the answer; training by one thread")


def draw(rows: list[dict]) -> Figure:
    """Draw test accuracy against steps and against hidden spikes: a column per depth."""
    depths = grouped(rows, "depth")
    figure = Figure(figsize=(WIDTH, 4.6))
    grid = figure.subplots(2, len(depths), sharex="row", sharey="col", squeeze=False)
    for (depth, found), (above, below) in zip(depths.items(), grid.T, strict=True):
        above.set_title(f"{depth} layers")
        for trainer, own in grouped(found, "trainer").items():
            groups = grouped(own, "inputs", "steps")
            shown = [best(part) for part in groups.values()]
            style = {"ls": "", "ms": 4} | STYLES[trainer]
            for axes, places in (
                (above, [row["steps"] for row in shown]),
                (below, [hidden_spikes(row) for row in shown]),
            ):
                right = [percent(row["snn_correct"], row["n_test"]) for row in shown]
                axes.plot(places, right, label=trainer, **style)
                for (inputs, _), *point in zip(groups, places, right, strict=True):
                    if inputs in (RATE, LATENCY):
                        lower = -6 if inputs == RATE else 0  # where two would overlap
                        note(axes, inputs.removeprefix("pixels as "), point, (5, lower))
        for axes, base, name in ((above, 2, "Time steps"), (below, 10, "Hidden spikes per image")):
            axes.set_xscale("log", base=base)
            plain_ticks(axes.xaxis)
            axes.margins(x=0.12)
            axes.set_xlabel(name)
    for axes in grid[:, 0]:
        axes.set_ylabel("Test accuracy (%)")
    legend_above(figure, grid[0, 0], 4)
    return figure
