"""How fast is all of this, and how much memory does it take? (15 minutes)

Training beside the usual loop, the closed form beside the ReLU network in PyTorch, the event-driven
engine beside the closed form (and Brian2, where it is installed), how time and memory grow, and how
long the scripts take to start. Ratios are of medians, from calls that take turns.
"""

import itertools
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from experiments import benchmarks_figure
from experiments.benchmarks_figure import STANDARD, STEPS
from experiments.lab import Lab, Setting
from experiments.tools import as_torch
from experiments.tools.cost import (
    ROUNDS,
    medians,
    medians_apart,
    memory_in_a_new_process,
    product_rate,
)
from experiments.usual_loop import usual_epoch
from ttfs.conversion import SpikingNetwork, convert
from ttfs.lenet import SHAPE
from ttfs.network import BATCH, ReluNetwork, random_network
from ttfs.simulation import closed_form, event_driven
from ttfs.stages.inputs import Model
from ttfs.stages.options import ROOT
from ttfs.stages.results import NUMBER
from ttfs.training import SETTINGS, architecture, initial_network, train
from ttfs.windows import calibrated, normalise_layers

ALL_THREADS = True  # one case at a time has the machine
SECONDS, MB = NUMBER, NUMBER | None
COLUMNS = {
    "device": str,
    "threads": int,
    "what": {
        "training": {"depth": int, "images": int, "ours": SECONDS, "usual": SECONDS}
        | {"workers": int, "share_of_product_rate": NUMBER},
        "closed form": {"network": str, "images": int, "ours": SECONDS, "relu": SECONDS}
        | {"our_mb": MB, "batches_mb": MB, "relu_mb": MB, "kept_mb": MB},
        "events": {"network": str, "neurons": int, "images": int, "spikes": int}
        | {"ours": SECONDS, "closed": SECONDS},
        "Brian2": {"network": str, "ours": SECONDS, "brian2": SECONDS},
        "growth": {"varied": str, "value": int, "engine": str, "ours": SECONDS, "mb": MB},
        "start": {"command": str, "ours": SECONDS, "torch": SECONDS},
    },
}
SPIKING_IMAGES = 10_000  # for the closed form and the events of networks of full connections
LENET_IMAGES = 1000  # of which a fifth goes event by event
WIDTH = 400  # of the networks that are trained
WORKERS = (0, 2)  # of the DataLoader: the best of them counts
GROWTH = {  # one is varied, the others are those of STANDARD
    "width": (50, 100, 200, 400, 800, 1600),
    "depth": (2, 4, 8, 16, 32),
    "batch": (1, 10, 100, 1000, 5000),
}
ENGINES = {"closed form": closed_form, "event by event": event_driven}
IMPORT = 'python -c "import ttfs; ttfs.convert"'


def cases(lab) -> list[dict]:
    """Return what is timed."""
    ends = sorted({lab.depths[0], lab.depths[-1]})
    found = [{"what": "training", "depth": depth} for depth in ends]
    networks = [f"{depth} layers" for depth in lab.depths]
    found += [{"what": "closed form", "network": name} for name in (*networks, "LeNet")]
    found += [{"what": "events", "network": name} for name in (*networks, "LeNet", *recorded(lab))]
    if find_spec("brian2"):
        found += [{"what": "Brian2", "network": f"{depth} layers"} for depth in ends]
    for varied, values in GROWTH.items():
        values = values[:3] if lab.quick else values
        found += [{"what": "growth", "varied": varied, "value": value} for value in values]
    scripts = [f"{path.name} --help" for path in sorted(ROOT.glob("*.py"))]
    commands = ["experiments robustness --help", *scripts]
    found += [{"what": "start", "command": f"python {command}"} for command in commands]
    return [*found, {"what": "start", "command": IMPORT}]


def measure(lab, what: str, **case) -> list[dict]:
    """Return what was measured."""
    found = MEASURED[what](lab, **case)
    own = {"device": lab.setting.device, "threads": torch.get_num_threads()}
    return [own | row for row in (found if isinstance(found, list) else [found])]


def rounds(lab) -> int:
    """Return how often a call is timed."""
    return 1 if lab.quick else ROUNDS


def training(lab, depth: int) -> dict:
    """Return the time of an epoch, beside that of the usual loop with its best number of workers.

    Ours looks at the validation images as well. The share is that of the rate at which the machine
    multiplies large matrices, from 6 operations per weight and image, less 2 in the first layer.
    """
    prepared = {"ours": partial(our_epoch, lab.setting, depth)}
    prepared |= {n: partial(their_epoch, lab.setting, depth, n) for n in WORKERS}
    times = medians_apart(prepared, 1 if lab.quick else 3)
    workers = min(WORKERS, key=times.get)
    sizes, n = architecture(depth, WIDTH), len(lab.training.labels)
    weights = [n_in * n_out for n_in, n_out in itertools.pairwise(sizes)]
    rate = (6 * sum(weights) - 2 * weights[0]) * n / times["ours"]
    share = rate / product_rate(lab.setting.device)
    row = {"images": n, "ours": times["ours"], "usual": times[workers], "workers": workers}
    return row | {"share_of_product_rate": share}


def our_epoch(setting: Setting, depth: int) -> Callable[[], object]:
    """Return what trains a new network for an epoch, as the training script does."""
    torch.set_flush_denormal(True)
    lab, start = Lab(setting), initial_network(architecture(depth, WIDTH), generator())
    options = SETTINGS | {"epochs": 1, "device": setting.device, "target": 100.0}
    splits = lab.training, lab.validation
    return lambda: train(start, *splits, **options, generator=generator())


def their_epoch(setting: Setting, depth: int, workers: int) -> Callable[[], object]:
    """Return what trains a new network for an epoch, in the usual loop."""
    model = as_torch(initial_network(architecture(depth, WIDTH), generator()))
    options = {key: SETTINGS[key] for key in ("batch_size", "learning_rate")}
    options |= {"workers": workers, "device": setting.device}
    return usual_epoch(model, Lab(setting).training, **options)


def generator() -> torch.Generator:
    """Return a new source of random numbers."""
    return torch.Generator().manual_seed(0)


def recorded(lab) -> dict[str, Model]:
    """Return the record networks that spike in continuous time, by name."""
    models = {
        f"{record.replace('_', ' ')}, {depth} layers": lab.record(record, depth, kind)
        for record, depth, kind in lab.records()
    }
    return {name: model for name, model in models.items() if model.hardware.ticks is None}


def subject(lab, name: str) -> tuple[ReluNetwork, SpikingNetwork, Tensor]:
    """Return a network by its name, what it converts to, and the training images to time it on."""
    if "," in name:
        network, lengths, *_ = recorded(lab)[name]
    else:
        network = lab.lenet if name == "LeNet" else lab.network(int(name.split()[0]))
        lengths = calibrated(network, lab.training.images[: SPIKING_IMAGES // 10])
    n = SPIKING_IMAGES if network.is_fully_connected else LENET_IMAGES
    n = n // 10 if lab.quick else n
    images = lab.training.images[:n].float().to(lab.setting.device)
    return network, convert(network, lengths), images


def in_torch(network: ReluNetwork) -> nn.Module:
    """Return a network as PyTorch's own modules, which overwrite what they no longer need."""
    model = as_torch(network) if network.is_fully_connected else plain_lenet(network)
    for part in model:
        if isinstance(part, nn.ReLU):
            part.inplace = True
    return model.eval()


def plain_lenet(network: ReluNetwork) -> nn.Sequential:
    """Return a trained LeNet as PyTorch's own modules, normalisation multiplied into weights."""
    model = nn.Sequential(
        *(nn.Unflatten(1, SHAPE), nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(3136, 256), nn.ReLU(), nn.Linear(256, 10)),
    )
    model.load_state_dict(dict(zip(model.state_dict(), network.numbers, strict=True)))
    return model


@torch.inference_mode()
def in_batches(run: Callable, images: Tensor) -> Tensor:
    """Return the logits of images, as a judge asks for them: the spikes are looked at and left."""
    return torch.cat([run(part).logits for part in images.split(BATCH)])


def run_of(lab, name: str, way: str) -> Callable:
    """Return a call that answers all images in a way: "relu", "kept", "ours" or "batches"."""
    network, snn, images = subject(lab, name)
    model = in_torch(network).to(images.device)
    run = {
        "relu": lambda: model(images),
        "kept": lambda: network.forward(images),  # with all activations, as the spikes are
        "ours": lambda: closed_form(snn, images),
        "batches": lambda: in_batches(partial(closed_form, snn), images),
    }[way]
    with torch.inference_mode():
        closed_form(snn, images[:1])
        model(images[:1])
    return torch.inference_mode()(run)


def in_own_lab(setting: Setting, prepare: Callable[..., Callable], *case) -> Callable:
    """Return what is prepared, in another process."""
    return prepare(Lab(setting), *case)


def closed(lab, network: str) -> dict:
    """Return the closed form's time and memory, beside those of the ReLU network in PyTorch."""
    calls = {way: run_of(lab, network, way) for way in ("ours", "relu")}
    times = medians(calls, 3 * rounds(lab), lab.setting.device)
    ways = {"our": "ours", "batches": "batches", "relu": "relu", "kept": "kept"}
    memory = {
        f"{key}_mb": memory_in_a_new_process(in_own_lab, lab.setting, run_of, network, way)
        for key, way in ways.items()
    }
    return {"images": len(subject(lab, network)[2])} | times | memory


def events(lab, network: str) -> dict:
    """Return the event-driven engine's time, beside the closed form's, and the spikes' number."""
    own, snn, images = subject(lab, network)
    images = images if own.is_fully_connected else images[: len(images) // 5]
    spikes = sum(int((u > 0).sum()) for u in closed_form(snn, images).time_left)
    calls = {
        "ours": partial(event_driven, snn, images),
        "closed": partial(closed_form, snn, images),
    }
    neurons = sum(layer.synapses.n_out for layer in snn.hidden)
    row = {"neurons": neurons, "images": len(images), "spikes": spikes}
    return row | medians(calls, rounds(lab), lab.setting.device)


def brian2(lab, network: str) -> dict:
    """Return the time that one image takes, event by event and step by step in Brian2."""
    from experiments.tools.brian2_neurons import witnessed

    own, snn, images = subject(lab, network)
    lengths = [layer.window.length for layer in snn.hidden]
    snn, one = convert(normalise_layers(own, lengths), [1.0] * len(lengths)), images[:1].cpu()
    (times,) = torch.where(one > 0, 1 - one, torch.inf).double().numpy()
    calls = {"ours": partial(event_driven, snn, one)}
    calls["brian2"] = partial(witnessed, snn, times, 1 / STEPS)
    return medians(calls, rounds(lab))


def growing(lab, engine: str, varied: str, value: int) -> Callable:
    """Return a call that runs an untrained network of a size on a batch of a size."""
    sizes = STANDARD | {varied: value}
    network = random_network(architecture(sizes["depth"], sizes["width"]), seed=0)
    snn = convert(network, calibrated(network, lab.training.images[:1000]))
    images = lab.training.images[: sizes["batch"]].float().to(lab.setting.device)
    ENGINES[engine](snn, images[:1])
    return partial(ENGINES[engine], snn, images)


def growth(lab, varied: str, value: int) -> list[dict]:
    """Return time and memory of both engines at a size."""
    calls = {engine: growing(lab, engine, varied, value) for engine in ENGINES}
    times = medians(calls, rounds(lab), lab.setting.device)
    rows = []
    for engine, seconds in times.items():
        memory = memory_in_a_new_process(in_own_lab, lab.setting, growing, engine, varied, value)
        rows.append({"engine": engine, "ours": seconds, "mb": memory})
    return rows


def start(lab, command: str) -> dict:
    """Return how long a command takes, beside ``import torch`` alone."""
    words = ["-c", "import ttfs; ttfs.convert"] if command == IMPORT else command.split()[1:]
    commands = {"ours": words, "torch": ["-c", "import torch"]}
    run = partial(subprocess.run, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    calls = {name: partial(run, [sys.executable, *words]) for name, words in commands.items()}
    return medians(calls, rounds(lab))


MEASURED = {
    "training": training,
    "closed form": closed,
    "events": events,
    "Brian2": brian2,
    "growth": growth,
    "start": start,
}
table, draw = benchmarks_figure.table, benchmarks_figure.draw
