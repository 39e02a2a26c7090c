"""Does a convolutional network convert as well? (30 minutes)

The LeNet of models/ (two convolutions with maxima between them), converted without retraining: both
engines in single precision, shorter windows, clocks of few ticks, and jitter. Windows are chosen on
training and validation images. Records of LeNets that were trained as spikes are judged by
``experiments records``.
"""

from functools import partial

import torch
from matplotlib.figure import Figure

from experiments.learning import accuracy, spikes_per_neuron
from ttfs import tuning
from ttfs.conversion import convert
from ttfs.imperfections import jitter
from ttfs.metrics import percent, points_lost
from ttfs.simulation import simulate, simulator
from ttfs.stages.figures import SNN_COLOUR, WIDTH, loss_axis, note
from ttfs.stages.results import NUMBER, rows_with
from ttfs.stages.tables import Table, accuracy_and_interval, two_places

COLUMNS = {"question": str, "policy": str, "engine": str, "dtype": str}
COLUMNS |= {"n_test": int, "relu_correct": int, "snn_correct": int, "agreements": int}
COLUMNS |= {"neurons": int, "spikes": int, "latency": NUMBER, "windows": [NUMBER]}
NEEDS_MODELS = False  # of fully connected networks
POLICIES = ("calibrated", "quantile:0.999", "quantile:0.99", "automatic")
FOR_CLOCK = "best quantile per layer"  # ttfs.tuning.clock_quantiles
BITS = range(6)
LEVELS = (0.01, 0.02, 0.05, 0.1)  # standard deviation of a spike's time, windows
NAMES = {"exact": "engine", "windows": "windows", "clock": "ticks", "jitter": "jitter"}
COLUMNS["question"] = dict.fromkeys(NAMES, {})


def add_options(parser) -> None:
    """Add nothing: there is one network, and no --depths to choose from."""


def cases(lab) -> list[dict]:
    """Return every question with its settings: engines, windows, clocks, jitter."""
    engines = ("closed-form",) if lab.quick else ("closed-form", "event-driven")
    all_bits, levels = (BITS[2:3], LEVELS[-1:]) if lab.quick else (BITS, LEVELS)
    settings = [("exact", "calibrated", engine, "float32") for engine in engines]
    settings += [("windows", policy, "closed-form", "float32") for policy in POLICIES]
    settings += [("clock", FOR_CLOCK, f"clock:{bits}:half-tick", "float32") for bits in all_bits]
    settings += [("jitter", "automatic", f"jitter:{level:g}", "float32") for level in levels]
    keys = ("question", "policy", "engine", "dtype")
    return [dict(zip(keys, setting, strict=True)) for setting in settings]


def measure(lab, question: str, policy: str, engine: str, dtype: str) -> dict:
    """Return paired counts, spikes, latency, and the windows that were used."""
    word, *numbers = engine.split(":")
    lengths = chosen_windows(lab, policy, int(numbers[0]) if word == "clock" else None)
    snn = convert(lab.lenet, lengths)
    if word == "jitter":
        fire = jitter(float(numbers[0]), torch.Generator().manual_seed(0))
        run = partial(simulate, snn, fire=fire)
    else:
        run = partial(simulator(engine), snn)
    found = lab.judge(lab.lenet, run, getattr(torch, dtype))
    return found.counts | {
        "neurons": sum(layer.neurons for layer in found.audit),
        "spikes": sum(layer.spikes for layer in found.audit),
        "latency": snn.t_read,
        "windows": lengths,
    }


def chosen_windows(lab, policy: str, bits: int | None) -> list[float]:
    """Return the window lengths of a policy, or those that suit a clock."""
    validation = lab.validation.images
    if policy == "automatic":
        return lab.lenet_automatic
    if bits is None:
        return tuning.window_policy(policy)(lab.lenet, lab.training.images, validation)
    quantiles = tuning.clock_quantiles(lab.lenet, lab.lenet_candidates, validation, bits)
    return tuning.own_lengths(lab.lenet_candidates, quantiles)


def setting(row: dict) -> str:
    """Return what sets a row apart from the others of its question."""
    number = row["engine"].split(":")[1:2]
    return {
        "exact": f"{row['engine']}, {row['dtype']}",
        "windows": row["policy"],
        "clock": f"{2 ** int(number[0]) if row['question'] == 'clock' else 0} ticks per window",
        "jitter": f"{''.join(number)} windows",
    }[row["question"]]


def table(rows: list[dict]) -> Table:
    """Return a line per setting: accuracy, labels that are ReLU's, spikes and latency."""
    columns = {
        "question": lambda row: NAMES[row["question"]],
        "setting": setting,
        "test accuracy (95 % interval)": accuracy_and_interval,
        "drop (points)": lambda row: two_places(points_lost(row)),
        "same label as ReLU": "{agreements:,}",
        "spikes per neuron": lambda row: f"{spikes_per_neuron([row]):.3f}",
        "latency": "{latency:.1f}",
    }
    relu = two_places(percent(rows[0]["relu_correct"], rows[0]["n_test"]))
    title = f"LeNet of {rows[0]['neurons']:,} hidden neurons; ReLU {relu} %; accuracy in per cent"
    return Table.of(rows, columns, 2, title)


def draw(rows: list[dict]) -> Figure:
    """Draw points lost against the clock's ticks, and against jitter; write the accuracies."""
    figure = Figure(figsize=(WIDTH, 2.6))
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, question, name, side in (  # on which of a point its accuracy stands
        (left, "clock", "Ticks per window, without retraining", 1),
        (right, "jitter", "Jitter (standard deviation, windows)", -1),
    ):
        found = rows_with(rows, question=question)
        labels = [setting(row).split()[0] for row in found]
        axes.plot(range(len(found)), list(map(points_lost, found)), "o-", color=SNN_COLOUR, ms=4)
        for place, row in enumerate(found):
            text, point = f"{two_places(accuracy(row))} %", (place, points_lost(row))
            note(axes, text, point, (4 * side, 4), ha="left" if side > 0 else "right")
        axes.axhline(0, color="0.7", lw=0.8, zorder=0)
        axes.set_xticks(range(len(found)), labels)
        axes.set_xlabel(name)
        axes.margins(x=0.2)
        loss_axis(axes.yaxis, 0.1, min(map(points_lost, rows)))
    left.set_ylabel("Accuracy lost (points, linear to 0.1)")
    relu = two_places(percent(rows[0]["relu_correct"], rows[0]["n_test"]))
    figure.suptitle(f"LeNet; beside each point its accuracy, of the ReLU network's {relu} %")
    return figure
