"""How do other tools do, on the same weights and images? (15 minutes)

SpikingJelly, snnTorch and sinabs run the trained networks as rates, each with several settings and
as many steps as the validation images need to be as right as with the ReLU network. The codes of
this project stand beside them. Every row is measured in a process of its own, by one thread, in
float32; time is set against PyTorch's ReLU forward pass, in turns with it, so that what else runs
slows both.
"""

import importlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from experiments import tools
from experiments.codes import Coded, counted, first_spike, judged, rate
from experiments.lab import Lab, Setting
from experiments.spike_codes import equal, hidden_spikes
from experiments.tools.cost import memory_of, timed
from ttfs.conversion import convert
from ttfs.metrics import BATCH
from ttfs.network import ReluNetwork
from ttfs.simulation import clock_driven, closed_form, event_driven
from ttfs.stages.figures import (
    RELU_COLOUR,
    SNN_COLOUR,
    WIDTH,
    legend_above,
    note,
    plain_ticks,
)
from ttfs.stages.options import ROOT
from ttfs.stages.results import NUMBER, grouped
from ttfs.stages.tables import Table, accuracy_and_interval
from ttfs.windows import calibrated

COLUMNS = {"depth": int, "setting": str, "version": str | None, "steps": int | None}
COLUMNS |= {"n_test": int, "snn_correct": int, "n_validation": int, "validation_correct": int}
COLUMNS |= {"relu_validation_correct": int, "spikes": [int], "seconds": NUMBER}
COLUMNS |= {"relu_seconds": NUMBER, "megabytes": NUMBER | None}
HERE = "this project"
CLOSED, EVENTS = "first spike, closed form", "first spike, event by event"
CLOCK = "first spike, on a clock"
ALONE = """import json, os, sys
from experiments.tools.workers import end_with
end_with(int(sys.argv[2]))
from experiments.peers import measured_alone
print(json.dumps(measured_alone(*json.loads(sys.argv[1]))))"""
OWN_RATE = "rate, 99.9 % of the activations, start at half"
PEERS = {  # and what converts our networks by them, in experiments.tools
    "SpikingJelly": "spikingjelly_rates",
    "snnTorch": "snntorch_rates",
    "sinabs": "sinabs_rates",
}
TIMES = (1, 2, 4, 8, 16, 32, 64)
ENGINES = {CLOSED: closed_form, EVENTS: event_driven}
STYLES = {
    HERE: {"color": SNN_COLOUR, "marker": "o", "ls": ""},
    "SpikingJelly": {"color": RELU_COLOUR, "marker": "s", "ls": ""},
    "snnTorch": {"color": RELU_COLOUR, "marker": "^", "ls": ""},
    "sinabs": {"color": RELU_COLOUR, "marker": "D", "ls": ""},
}
COLUMNS["tool"] = dict.fromkeys(STYLES, {})
BESIDE = {HERE: (5, -2), "SpikingJelly": (5, -7), "snnTorch": (-5, -2), "sinabs": (5, 1)}  # points
OPEN = {"color": "0.3", "marker": "o", "mfc": "white", "ls": ""}


def cases(lab) -> list[dict]:
    """Return every tool with every setting, at the smallest and the largest depth."""
    for tool in PEERS:
        tools.needed(tool.lower())
    found = []
    for depth in sorted({min(lab.depths), max(lab.depths)}):
        ways = [(HERE, setting) for setting in (CLOSED, EVENTS, CLOCK, OWN_RATE)]
        for tool in PEERS:
            names = list(module(tool).SETTINGS)
            ways += [(tool, name) for name in (names[2:3] if lab.quick else names)]
        found += [{"depth": depth, "tool": tool, "setting": setting} for tool, setting in ways]
    return found


def module(tool: str):
    """Return what converts our networks by a tool."""
    return importlib.import_module(f"experiments.tools.{PEERS[tool]}")


def measure(lab, depth: int, tool: str, setting: str) -> dict:
    """Return what a tool does with a network, measured in a process of its own."""
    what = json.dumps([lab.setting, depth, tool, setting])
    command = [sys.executable, "-c", ALONE, what, str(os.getpid())]
    options = {"stdout": subprocess.PIPE, "text": True, "start_new_session": True}
    done = subprocess.run(command, cwd=ROOT, check=True, **options)
    return json.loads(done.stdout.splitlines()[-1])


def measured_alone(made_from: list, depth: int, tool: str, setting: str) -> dict:
    """Return a tool's row: what it does, what time and memory it takes."""
    torch.set_num_threads(1)
    lab = Lab(Setting(*made_from))
    network, (images, labels) = lab.network(depth), lab.validation
    relu = int((network.logits(images).argmax(1) == labels).sum())
    way = way_of(lab, network, depth, tool, setting)
    megabytes = memory_of(way.answer, images[:BATCH])
    steps = steps_needed(way, images, labels, relu)
    answer = partial(way.answer, steps=steps)
    seconds, relu_seconds = timed(answer, tools.as_torch(network), images[:BATCH])
    (row,) = judged(lab, lambda x: way.classify(x.float(), [steps]))
    return row | {
        "version": version(tool) if tool in PEERS else None,
        "relu_validation_correct": relu,
        "seconds": seconds,
        "relu_seconds": relu_seconds,
        "megabytes": megabytes,
    }


class Way(NamedTuple):
    """How a network is run: with its spikes counted, after several numbers of steps, or timed."""

    classify: Callable[[Tensor, Sequence[int]], Iterable[Coded]]
    answer: Callable[[Tensor, int], Tensor]  # logits alone


def way_of(lab, network: ReluNetwork, depth: int, tool: str, setting: str) -> Way:
    """Return how a tool runs a network."""
    images = lab.training.images
    if tool in PEERS:
        found = module(tool).converted(network, images, **module(tool).SETTINGS[setting])
        return Way(partial(tools.classify, found, network), partial(tools.answer, found))
    if setting == OWN_RATE:
        rates = partial(rate.classify, network, lab.candidates(depth)[0.999], current=True)
        return Way(rates, lambda x, steps: next(iter(rates(x, [steps]))).logits)
    if setting == CLOCK:  # of so many ticks per window, where others take so many steps

        def on_clock(x: Tensor, times: Sequence[int]) -> Iterator[Coded]:
            for bits in map(round, map(math.log2, times)):
                yield first_spike.classify(network, lab.clock_lengths(depth, bits), x, bits)

        def logits(x: Tensor, steps: int) -> Tensor:
            bits = round(math.log2(steps))
            snn = convert(network, lab.clock_lengths(depth, bits))
            return clock_driven(snn, x, bits, half_tick=True).logits

        return Way(on_clock, logits)
    lengths, engine = calibrated(network, images), ENGINES[setting]
    snn = convert(network, lengths)
    return Way(
        lambda x, times: [first_spike.continuous(network, lengths, x, engine)],
        lambda x, steps: engine(snn, x).logits,
    )


def steps_needed(way: Way, images: Tensor, labels: Tensor, relu: int) -> int:
    """Return the steps after which validation images are as right as with the ReLU network.

    The fewest of TIMES; if none is enough, that which gets most of them right.
    """
    right = {}
    answers = counted([way.classify(images, TIMES)], labels)
    for steps, row in zip(TIMES, answers, strict=False):  # what takes no steps answers once
        own = {"n_validation": row["n_test"], "validation_correct": row["snn_correct"]}
        right[steps] = row["snn_correct"]
        if equal(own | {"relu_validation_correct": relu}):
            break
    else:
        return max(right, key=right.get)
    return steps


def best(rows: list[dict]) -> dict:
    """Return a tool's best row: the quickest that is as right as ReLU, or else the rightest."""

    def order(row: dict) -> tuple:
        lacks = 0 if equal(row) else row["relu_validation_correct"] - row["validation_correct"]
        return lacks, row["seconds"] / row["relu_seconds"]

    return min(rows, key=order)


def table(rows: list[dict]) -> Table:
    """Return a line per depth and tool with its best setting; of this project, all."""
    shown = []
    for (_, tool), found in grouped(rows, "depth", "tool").items():
        shown += found if tool == HERE else [best(found)]
    columns = {
        "depth": "{depth}",
        "tool": lambda row: " ".join(filter(None, (row["tool"], row["version"]))),
        "setting": "{setting}",
        "steps": lambda row: "-" if row["steps"] is None else f"{row['steps']}",
        "test accuracy (95 % interval)": accuracy_and_interval,
        "as right as ReLU": lambda row: "yes" if equal(row) else "no",
        "input spikes": lambda row: f"{row['spikes'][0] / row['n_test']:.0f}",
        "hidden spikes": lambda row: f"{hidden_spikes(row):.0f}",
        "time / ReLU's": lambda row: f"{row['seconds'] / row['relu_seconds']:.1f}",
        "memory (MB)": lambda row: "-" if row["megabytes"] is None else f"{row['megabytes']:.0f}",
    }
    return Table.of(shown, columns, 3, "spikes per image; each tool in its best setting")


def draw(rows: list[dict]) -> Figure:
    """Draw the time and the hidden spikes of every setting: a panel per depth.

    Beside a tool's best setting stand its steps.
    """
    depths = grouped(rows, "depth")
    figure = Figure(figsize=(WIDTH, 3.6))
    panels = figure.subplots(1, len(depths), sharey=True, squeeze=False)[0]
    for axes, (depth, found) in zip(panels, depths.items(), strict=True):
        axes.set_title(f"{depth} layers")
        for tool, own in grouped(found, "tool").items():
            axes.plot([], [], label=tool, **STYLES[tool])
            for row in own:
                place = hidden_spikes(row), row["seconds"] / row["relu_seconds"]
                axes.plot(*place, **STYLES[tool] | ({} if equal(row) else {"mfc": "white"}))
                if tool == HERE or row is best(own):
                    side = "right" if BESIDE[tool][0] < 0 else "left"
                    note(axes, short(row), place, BESIDE[tool], ha=side)
        axes.plot([], [], label="open: not as right as ReLU", **OPEN)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.margins(x=0.2)
        plain_ticks(axes.xaxis)
        plain_ticks(axes.yaxis)
        axes.set_xlabel("Hidden spikes per image")
    panels[0].set_ylabel("Time (ReLU forward passes)")
    legend_above(figure, panels[0], 5)
    return figure


def short(row: dict) -> str:
    """Return what a mark in the figure says: of this project, which code; of rates, the steps."""
    steps = "" if row["steps"] is None else f"T = {row['steps']}"
    if row["tool"] in PEERS:
        return steps
    return f"rate, {steps}" if row["setting"] == OWN_RATE else row["setting"].split(", ")[1]
