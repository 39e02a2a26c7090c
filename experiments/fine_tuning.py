"""What does fine-tuning gain on hardware? (40 minutes)

The trained ReLU networks meet a clock of few ticks, noise, coarse weights, or a limit on spikes.
They are converted, with the windows that suit best, or fine-tuned through it: for a clock in the
windows that suit best, which stay. As controls for some, they are trained on for as long without
the hardware, and then converted; or in windows that follow; or trained from scratch through it,
with batch normalisation. All training adds noise to the inputs; for a clock it loses spikes.
Windows and coarse weights are chosen on validation images; the settings of training were, once.
Points lost count against the trained ReLU network in float64.
"""

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import torch
from matplotlib.figure import Figure

from experiments.learning import JUDGED, judged, on_hardware, spikes_per_neuron
from ttfs.conversion import convert
from ttfs.hardware import NOISE, Hardware
from ttfs.imperfections import TERNARY, quantised
from ttfs.metrics import points_lost
from ttfs.network import ReluNetwork
from ttfs.stages.figures import RELU_COLOUR, SNN_COLOUR, depth_panels, legend_above, loss_axis
from ttfs.stages.results import NUMBER, grouped, rows_with
from ttfs.stages.tables import Table, two_places
from ttfs.time_domain import VALIDATION_NOISE, TimeDomain
from ttfs.tuning import clock_lengths
from ttfs.windows import quantiles

COLUMNS = JUDGED | {"aim": str, "how": str, "relu_correct": int, "windows": [NUMBER]}


class Aim(NamedTuple):
    """What a network is to run on, and how it is trained for that."""

    hardware: Hardware
    q: float  # of the spikes, held by windows that follow
    sparsity: float = 0.0
    loss: float = 0.0  # of spikes while training, so that no neuron relies on one other


ALL_AT_ONCE = "2 ticks, 4 bits, few spikes"
AIMS = {
    "1 tick": Aim(Hardware(ticks=1), 0.8, loss=0.1),
    "2 ticks": Aim(Hardware(ticks=2), 0.9, loss=0.05),
    "4 ticks": Aim(Hardware(ticks=4), 0.95, loss=0.05),
    "8 ticks": Aim(Hardware(ticks=8), 0.98, loss=0.05),
    "jitter of 10 %": Aim(Hardware(jitter=0.1), 0.95),
    "10 % of the spikes lost": Aim(Hardware(loss=0.1), 1.0),
    "ternary weights": Aim(Hardware(weight_bits=TERNARY), 1.0),
    "weights of 4 bits": Aim(Hardware(weight_bits=4), 1.0),
    "weights of 8 bits": Aim(Hardware(weight_bits=8), 1.0),
    "few spikes": Aim(Hardware(), 1.0, sparsity=1.0),
    ALL_AT_ONCE: Aim(Hardware(ticks=2, weight_bits=4), 0.9, sparsity=0.5, loss=0.05),
}
CONVERTED, FINE_TUNED, SCRATCH = "converted", "fine-tuned", "from scratch"
TRAINED_ON = "trained on, converted"
FOLLOWED = "fine-tuned, windows follow"
CONTROLS = {
    "2 ticks": (TRAINED_ON, FOLLOWED, SCRATCH),
    "10 % of the spikes lost": (TRAINED_ON, SCRATCH),
    ALL_AT_ONCE: (TRAINED_ON, SCRATCH),
}
COMMON = (0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1.0)  # quantiles to try for all layers alike
BATCH_SIZE, LEARNING_RATE = 128, 7e-4
FROM_SCRATCH = 4e-3  # learning rate, with batch normalisation
EPOCHS, SEED, PIXEL_NOISE = 4, 0, 0.2
NOISE_SEEDS = range(1, 4)  # other noise than validation images meet
STYLES = {
    CONVERTED: {"color": RELU_COLOUR, "marker": "s", "mfc": "white"},
    TRAINED_ON: {"color": RELU_COLOUR, "marker": "D", "mfc": "white", "ms": 3},
    SCRATCH: {"color": "0.45", "marker": "x"},
    FOLLOWED: {"color": SNN_COLOUR, "marker": "v", "mfc": "white"},
    FINE_TUNED: {"color": SNN_COLOUR, "marker": "o"},
}


def cases(lab) -> list[dict]:
    """Return every aim at every depth, and the ways to meet it."""
    aims = ("2 ticks",) if lab.quick else AIMS
    return [
        {"depth": depth, "aim": aim, "how": how}
        for depth in lab.depths
        for aim in aims
        for how in ways(aim)
    ]


def ways(aim: str) -> tuple[str, ...]:
    """Return how an aim is met: some with controls."""
    return (CONVERTED, FINE_TUNED, *CONTROLS.get(aim, ()))


def measure(lab, depth: int, aim: str, how: str) -> list[dict]:
    """Return what the network does on the hardware: a row per draw of its noise."""
    hardware = AIMS[aim].hardware
    if how == CONVERTED:
        network, windows = best_converted(lab, lab.network(depth), hardware)
    elif how == TRAINED_ON:
        on = trained_on(lab, depth, AIMS[aim].loss or hardware.loss)
        network, windows = best_converted(lab, on, hardware)
    else:
        network, windows, *_ = trained(lab, depth, AIMS[aim], how)
    snn, rows = convert(network, windows), []
    noisy = any(getattr(hardware, name) for name in NOISE)
    for seed in NOISE_SEEDS if noisy else (None,):
        found = judged(lab, lab.network(depth), on_hardware(snn, hardware, seed or 0))
        rows.append({"noise_seed": seed, "windows": windows} | found)
    return rows


def best_converted(
    lab, network: ReluNetwork, hardware: Hardware
) -> tuple[ReluNetwork, list[float]]:
    """Return the network with the windows, and the scale of coarse weights, that suit best.

    That is, that give most validation images their labels. Of a clock's windows, each layer's own
    quantile is tried as well.
    """
    networks = [network]
    if hardware.weight_bits is not None:
        networks = [
            quantised(network, hardware.weight_bits, per_neuron=True, typical=typical)
            for typical in (False, True)
        ]
    options = [(own, lengths) for own in networks for lengths in windows_for(lab, own, hardware)]

    def correct(option: tuple[ReluNetwork, list[float]]) -> int:
        answer = on_hardware(convert(*option), hardware, VALIDATION_NOISE)
        return lab.validate(network, answer).counts["snn_correct"]

    return max(options, key=correct)


def windows_for(lab, network: ReluNetwork, hardware: Hardware) -> list[list[float]]:
    """Return the windows to try: of some quantiles, and of the best one per layer for a clock."""
    found = list(quantiles(network, lab.training.images, COMMON).values())
    if hardware.ticks is not None:
        images = lab.training.images, lab.validation.images
        found.append(clock_lengths(network, *images, hardware.bits))
    return found


@lru_cache(maxsize=4)
def trained_on(lab, depth: int, loss: float) -> ReluNetwork:
    """Return the network trained on for as long in continuous time: what more training gains."""
    return trained(lab, depth, Aim(Hardware(), 1.0, loss=loss), FINE_TUNED).network


def trained(lab, depth: int, aim: Aim, how: str):
    """Return the network trained through the hardware, from the trained one on or from scratch."""
    generator, scratch = torch.Generator().manual_seed(SEED), how == SCRATCH
    start = lab.untrained(depth, generator) if scratch else lab.network(depth)
    how_else = {
        "hardware": replace(aim.hardware, loss=aim.loss or aim.hardware.loss),
        "sparsity": aim.sparsity,
        "pixel_noise": PIXEL_NOISE,
    }
    if aim.hardware.ticks and how == FINE_TUNED:
        images = lab.training.images, lab.validation.images
        through = TimeDomain.on_clock(start, *images, generator, **how_else)
    else:
        followed = {"q": aim.q, "normalise": scratch}
        images = lab.training.images
        through = TimeDomain.starting(start, images, generator, **followed, **how_else)
    settings = {
        "batch_size": BATCH_SIZE,
        "learning_rate": FROM_SCRATCH if scratch else LEARNING_RATE,
    }
    return lab.retrained(start, through, generator, EPOCHS, **settings)


def table(rows: list[dict]) -> Table:
    """Return a line per aim and way: the points lost at each depth, and the spikes per neuron."""
    depths, lines = grouped(rows, "depth"), []
    for (aim, how), found in grouped(rows, "aim", "how").items():
        lost, spikes = [], []
        for depth in depths:
            own = rows_with(found, depth=depth)
            lost.append(two_places(mean_lost(own)))
            spikes.append(f"{spikes_per_neuron(own):.3f}")
        lines.append([aim if how == CONVERTED else "", how, *lost, " / ".join(spikes)])
    header = ("for", "points lost at depth", *map(str, depths), "spikes per neuron")
    return Table(header, lines, 2, "points lost against the trained ReLU network in float64")


def mean_lost(rows: list[dict]) -> float:
    """Return the points lost, a mean of the noise seeds."""
    return sum(map(points_lost, rows)) / len(rows)


def draw(rows: list[dict]) -> Figure:
    """Draw the points lost for every aim: a panel per depth, a mark per way."""
    aims = list(grouped(rows, "aim"))
    figure, panels = depth_panels(grouped(rows, "depth"), 3.0)
    lost = [mean_lost(found) for found in grouped(rows, "depth", "aim", "how").values()]
    for depth, axes in panels.items():
        for how, style in STYLES.items():
            found = grouped(rows_with(rows, depth=depth, how=how), "aim")
            points = [(mean_lost(own), len(aims) - aims.index(aim)) for aim, own in found.items()]
            axes.plot(*zip(*points, strict=True), ls="", label=how, **{"ms": 4} | style)
        loss_axis(axes.xaxis, 1, min(lost), max(10, 1.3 * max(lost)))
        axes.axvline(0, color="0.7", lw=0.6, zorder=0)
        axes.grid(axis="y", color="0.9", lw=0.5)
        axes.set_axisbelow(True)
    first = next(iter(panels.values()))
    first.set_yticks(range(len(aims), 0, -1), aims)
    figure.supxlabel("Accuracy lost (points, linear to 1; left of the line: gained)")
    legend_above(figure, first, 5)
    return figure
