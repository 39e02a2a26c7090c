"""What can spiking networks do that were trained for it? (4 minutes)

The networks in models/records/, judged on what their files say that they were trained for: in
continuous time spike by spike, or on their clock. Noise that they met while they learned is off.
"""

from functools import partial

from matplotlib.figure import Figure

from experiments.learning import JUDGED, accuracy, judged, spikes_per_image, spikes_per_neuron
from ttfs import InputError
from ttfs.conversion import convert
from ttfs.metrics import percent_interval
from ttfs.simulation import simulator
from ttfs.stages.figures import SNN_COLOUR, WIDTH, note
from ttfs.stages.tables import Table, accuracy_and_interval, two_places

COLUMNS = JUDGED | {"record": str, "architecture": [int], "ticks": int | None}
COLUMNS |= {"weight_bits": float | int | None, "agreements": int}
COLUMNS["network"] = {"mlp": {}, "lenet": {}}
NEEDS_MODELS = False  # of the usual folder


def cases(lab) -> list[dict]:
    """Return every network of the folder, by the record that it holds."""
    found = lab.records()
    if not found:
        where = f"no network of {lab.dataset} in models/records"
        raise InputError(f"{where}: experiments/README.md has the commands that make them")
    return [dict(zip(("record", "depth", "network"), record, strict=True)) for record in found]


def measure(lab, record: str, depth: int, network: str) -> dict:
    """Return what a network does on its hardware, and how many spikes it takes."""
    model = lab.record(record, depth, network)
    hardware = model.hardware
    snn = convert(model.network, model.windows)
    engine = "event-driven" if hardware.ticks is None else hardware.engine
    found = judged(lab, model.network, partial(simulator(engine), snn))
    return found | {
        "architecture": model.network.architecture,
        "engine": engine,
        "ticks": hardware.ticks,
        "weight_bits": hardware.weight_bits,
    }


def table(rows: list[dict]) -> Table:
    """Return a line per network: what it runs on, its spikes and its accuracy."""
    columns = {
        "record": lambda row: row["record"].replace("_", " "),
        "depth": "{depth}",
        "hidden neurons": hidden,
        "ticks": lambda row: "-" if row["ticks"] is None else f"{row['ticks']}",
        "bits": lambda row: "-" if row["weight_bits"] is None else f"{row['weight_bits']:g}",
        "spikes per image": lambda row: f"{spikes_per_image([row]):.1f}",
        "per neuron": lambda row: f"{spikes_per_neuron([row]):.3f}",
        "test accuracy (95 % interval)": accuracy_and_interval,
        "same label as ReLU": "{agreements:,}",
    }
    return Table.of(rows, columns, 1, "hidden spikes; accuracy in per cent")


def hidden(row: dict) -> str:
    """Return the sizes of the hidden layers, in short if they are all the same."""
    sizes = row["architecture"][1:-1]
    return f"{len(sizes)} x {sizes[0]}" if len(set(sizes)) == 1 else "-".join(map(str, sizes))


def draw(rows: list[dict]) -> Figure:
    """Draw every network's accuracy with its interval, and its spikes."""
    figure = Figure(figsize=(WIDTH, 0.8 + 0.2 * len(rows)))
    left, right = figure.subplots(1, 2, sharey=True)
    places = range(len(rows), 0, -1)
    kinds = {"mlp": "{depth} layers", "lenet": "LeNet"}
    names = [f"{row['record'].replace('_', ' ')}, {kinds[row['network']]}" for row in rows]
    names = [name.format(**row) for name, row in zip(names, rows, strict=True)]
    left.set_yticks(places, names)
    for place, row in zip(places, rows, strict=True):
        low, high = percent_interval(row["snn_correct"], row["n_test"])
        left.plot([low, high], [place, place], color="0.6", lw=1.2)
        for axes, x, text in (
            (left, accuracy(row), two_places(accuracy(row))),
            (right, spikes_per_neuron([row]), f"{spikes_per_neuron([row]):.3f}"),
        ):
            axes.plot(x, place, "o", color=SNN_COLOUR, ms=4)
            note(axes, text, (x, place), (0, 3), ha="center")
    left.set_xlabel("Test accuracy (%), with 95 % interval")
    right.set_xlabel("Hidden spikes per neuron and image")
    for axes in (left, right):
        axes.grid(axis="y", color="0.92", lw=0.5)
        axes.margins(x=0.12, y=0.1)
    right.set_xlim(left=0)
    return figure
