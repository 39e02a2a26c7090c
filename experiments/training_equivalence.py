"""Does a spiking network learn as its ReLU network does? (5 minutes)

Both are trained from the same weights on the same batches, in float64, for three epochs; after
chosen steps their weights are compared. B1 in window-relative time and in absolute time; the alpha1
neuron, whose slope is 1 plus the weights of *all* its inputs, with the ReLU network's own start and
with a start that suits it. Of alpha1 the weights compared are W / B, which do the ReLU's work.
"""

from functools import partial
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ttfs.affine import Affine
from ttfs.conversion import SpikingLayer, convert
from ttfs.hardware import Hardware
from ttfs.metrics import percent
from ttfs.network import Layer, ReluNetwork
from ttfs.simulation import absolute_drive, closed_form
from ttfs.stages.figures import RELU_COLOUR, SNN_COLOUR, WIDTH, legend_above
from ttfs.stages.results import NUMBER, grouped, rows_with
from ttfs.stages.tables import Table
from ttfs.time_domain import AsRelu, TimeDomain
from ttfs.training import Trained
from ttfs.windows import calibrated

COLUMNS = {"depth": int, "network": str}
COLUMNS["kind"] = {
    "step": {"step": int, "weight_difference": NUMBER, "loss": NUMBER, "relu_loss": NUMBER}
    | {"gradients": [NUMBER], "relu_gradients": [NUMBER], "falling": int},
    "end": {"n_test": int, "relu_correct": int, "snn_correct": int, "agreements": int}
    | {"validation_correct": [int], "relu_validation_correct": [int], "n_validation": int}
    | {"latency": NUMBER},
}
EPOCHS, SEED, NEEDS_MODELS = 3, 0, False
SETTINGS = {"batch_size": 128, "learning_rate": 1e-3}  # of all but the slower one
CORRECT = ("relu_correct", "snn_correct")
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 400, 800, 1290)  # that are looked at; on MNIST the last
LARGEST_SUM = 0.5  # of a neuron's weights W / B at alpha1's own start: B = 1 / (1 - sum) is then 2
PLAIN, OWN, SLOW = "alpha1, ReLU's start", "alpha1, own start", "alpha1, own start, slower"
NETWORKS = {  # how each is drawn
    "B1": {"color": SNN_COLOUR, "ls": "-", "marker": "o"},
    "B1, absolute time": {"color": SNN_COLOUR, "ls": "--", "marker": "s", "mfc": "white"},
    PLAIN: {"color": RELU_COLOUR, "ls": ":", "marker": "x"},
    OWN: {"color": RELU_COLOUR, "ls": "-", "marker": "^"},
    SLOW: {"color": RELU_COLOUR, "ls": "--", "marker": "v", "mfc": "white"},
}


class Alpha1(Hardware):
    """Neurons of slope 1 before their inputs, and B_i = 1 + sum_j W_ji once all have fired.

    V_i(t) = (t - t_start) + sum_j W_ji (t - t_j) meets its threshold, B_i (t_max - t_min) +
    (t_min - t_start) - d_i, with the time left u_i = (sum_j W_ji u_j + d_i) / B_i: that is the ReLU
    with weights W / B and bias d / B. A neuron with B_i <= 0 never rises, and is silent.
    """

    def network(self, network: ReluNetwork) -> ReluNetwork:
        """Return the ReLU network that these neurons are. The read-out only sums."""
        pairs = [
            divided(weight, bias)
            for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True)
        ]
        pairs.append((network.weights[-1], network.biases[-1]))
        return ReluNetwork.of_layers([Layer(Affine.dense(*pair)) for pair in pairs])


def divided(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Return W / B and d / B with B = 1 + sum W, (n_in, n_out) and (n_out,); 0 where B <= 0."""
    slope = 1 + weight.sum(0)
    rising = slope > 0
    slope = slope.where(rising, 1)
    return (weight / slope).where(rising, 0), (bias / slope).where(rising, 0)


def own_start(network: ReluNetwork) -> ReluNetwork:
    """Return alpha1's weights that do the ReLU network's work: W = w / (1 - sum w).

    It must be possible: of a neuron whose weights w sum to more than LARGEST_SUM, each is lowered
    alike until they do not. Biases are not rescaled: they are 0 at the start.
    """
    weights = []
    for weight in network.weights[:-1]:
        excess = (weight.sum(0) - LARGEST_SUM).clamp(min=0) / len(weight)
        lowered = weight - excess
        weights.append(lowered / (1 - lowered.sum(0)))
    return ReluNetwork([*weights, network.weights[-1]], network.biases)


def cases(lab) -> list[dict]:
    """Return every network, at the smallest depth and at the largest."""
    depths = sorted({min(lab.depths), max(lab.depths)})
    return [{"depth": depth, "network": network} for depth in depths for network in NETWORKS]


def measure(lab, depth: int, network: str) -> list[dict]:
    """Return a row per step that is looked at, and one of the trained networks on test images."""
    alpha1, absolute = network.startswith("alpha1"), network == "B1, absolute time"
    hardware = Alpha1() if alpha1 else Hardware()
    drive = absolute_drive if absolute else SpikingLayer.drive
    start, relu_start = same, same
    if network in (OWN, SLOW):  # beside the ReLU network of the very weights that it starts from
        start, relu_start = own_start, lambda network: hardware.network(own_start(network))
    slower = 0.1 if network == SLOW else 1.0
    relu, expected = followed(lab, depth, lambda start, generator: AsRelu(), relu_start, slower)

    def through(start: ReluNetwork, generator: torch.Generator) -> TimeDomain:
        lengths = calibrated(hardware.network(start), lab.training.images)
        return TimeDomain(lengths, generator, hardware, drive=drive)

    found, steps = followed(lab, depth, through, start, slower, hardware.network)
    rows = [
        {
            "kind": "step",
            "step": step,
            "weight_difference": largest_difference(own.weights, other.weights),
            "loss": own.loss,
            "relu_loss": other.loss,
            "gradients": own.gradients,
            "falling": own.falling,
            "relu_gradients": other.gradients,
        }
        for step, own, other in zip(steps, steps.values(), expected.values(), strict=True)
    ]
    snn = convert(found.network, found.windows)
    simulate = partial(closed_form, snn, time="absolute" if absolute else "window")
    judged = lab.judge(relu.network, simulate, torch.float64)
    rows.append(
        {
            "kind": "end",
            "validation_correct": found.history,
            "relu_validation_correct": relu.history,
            "n_validation": len(lab.validation.labels),
            "saturations": sum(layer.saturations for layer in judged.audit),
            "latency": snn.t_read,
        }
        | judged.counts
    )
    return rows


def same(network: ReluNetwork) -> ReluNetwork:
    """Return the network as it is."""
    return network


class Looked(NamedTuple):
    """What is kept of a step of training."""

    weights: list[Tensor]  # that do the ReLU's work, one per layer
    loss: float
    gradients: list[float]  # Euclidean norms, one per layer
    falling: int  # hidden neurons that can never fire: alpha1's with B <= 0


def followed(
    lab, depth: int, through, start, slower: float = 1.0, as_relu=same
) -> tuple[Trained, dict[int, Looked]]:
    """Return a network trained in float64, and what its training was like at STEPS."""
    generator = torch.Generator().manual_seed(SEED)
    network = start(in_float64(lab.untrained(depth, generator)))
    seen, count = {}, 0

    def after_step(own: ReluNetwork, loss: Tensor) -> None:
        nonlocal count
        count += 1
        if count in STEPS:
            weights = [w.detach().clone() for w in as_relu(own).weights]
            gradients = [layer.synapses.steps[0].weight.grad.norm().item() for layer in own.layers]
            falling = sum(int((w == 0).all(0).sum()) for w in weights[:-1])
            seen[count] = Looked(weights, loss.item(), gradients, falling)

    settings = SETTINGS | {"learning_rate": slower * SETTINGS["learning_rate"]}
    own_pass = through(network, torch.Generator())
    found = lab.retrained(network, own_pass, generator, EPOCHS, **settings, after_step=after_step)
    return found, seen


def in_float64(network: ReluNetwork) -> ReluNetwork:
    """Return the network with float64 weights and biases."""
    return ReluNetwork([w.double() for w in network.weights], [b.double() for b in network.biases])


def largest_difference(some: list[Tensor], others: list[Tensor]) -> float:
    """Return the largest difference between two networks' weights."""
    pairs = zip(some, others, strict=True)
    return max((one - other).abs().max().item() for one, other in pairs)


def table(rows: list[dict]) -> Table:
    """Return a line per depth and network: weights, labels, accuracies and gradients."""
    lines = []
    for (depth, network), found in grouped(rows, "depth", "network").items():
        steps, (end,) = rows_with(found, kind="step"), rows_with(found, kind="end")
        first = steps[0]
        lines.append(
            [
                f"{depth}",
                network,
                *(f"{row['weight_difference']:.0e}" for row in (first, steps[-1])),
                f"{end['agreements']:,} of {end['n_test']:,}",
                *(f"{percent(end[key], end['n_test']):.2f} %" for key in CORRECT),
                f"{first['gradients'][0] / first['relu_gradients'][0]:.3g}",
                f"{first['falling']} / {steps[-1]['falling']}",
            ]
        )
    header = ("depth", "network", "weights differ: first step", "last step", "same label")
    header += ("ReLU", "spiking", "first layer's gradient / ReLU's", "B <= 0: first / last step")
    return Table(header, lines, 2, "the largest difference of weights; accuracy in per cent")


def draw(rows: list[dict]) -> Figure:
    """Draw how weights drift apart, how the loss falls, and the gradients of the first step."""
    depths = sorted(grouped(rows, "depth"))
    figure = Figure(figsize=(WIDTH, 2.3 * len(depths)))
    grid = figure.subplots(len(depths), 3, squeeze=False)
    for depth, (apart, losses, gradients) in zip(depths, grid, strict=True):
        found = grouped(rows_with(rows, kind="step", depth=depth), "network")
        for network, steps in found.items():
            draw_network(apart, losses, gradients, network, steps)
        steps = next(iter(found.values()))
        line = {"color": "black", "lw": 2.5, "alpha": 0.25, "zorder": 0, "label": "ReLU"}
        losses.plot([row["step"] for row in steps], [row["relu_loss"] for row in steps], **line)
        norms = steps[0]["relu_gradients"]
        gradients.plot(range(1, len(norms) + 1), norms, **line)
        apart.set_ylabel(f"{depth} layers\nLargest weight difference")
        gradients.set_xticks(range(1, len(norms) + 1))
        losses.set_ylabel("Loss of a batch")
        gradients.set_ylabel("Gradient norm, first step")
        apart.set_yscale("symlog", linthresh=1e-17)
        apart.set_yticks([0, 1e-16, 1e-12, 1e-8, 1e-4, 1])
        for axes in (apart, losses):
            axes.set_xscale("log")
        for axes in (losses, gradients):
            axes.set_yscale("log")
    for axes in grid[-1, :2]:
        axes.set_xlabel("Step of training")
    grid[-1, 2].set_xlabel("Layer")
    legend_above(figure, grid[0, 1], 3)
    return figure


def draw_network(apart, losses, gradients, network: str, steps: list[dict]) -> None:
    """Draw one network's steps: difference from ReLU, loss, and first gradients by layer."""
    style = {"lw": 0.9, "ms": 3} | NETWORKS[network]
    places = [row["step"] for row in steps]
    apart.plot(places, [row["weight_difference"] for row in steps], **style)
    losses.plot(places, [row["loss"] for row in steps], label=network, **style)
    norms = steps[0]["gradients"]
    gradients.plot(range(1, len(norms) + 1), norms, **style)
