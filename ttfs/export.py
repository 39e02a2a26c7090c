"""Spikes for other people's programs: Brian2, NIR's event data, pandas."""

import csv
from pathlib import Path

import numpy as np
from torch import Tensor

from ttfs.coding import INPUT, encode
from ttfs.outcome import Simulation
from ttfs.writing import written_atomically

EVENT = ("time", "layer", "neuron", "image")


def save_spikes(
    path: Path, simulation: Simulation, images: Tensor, forced: bool = False
) -> list[Path]:
    """Write the spikes of a batch as NPZ and as a table of events in CSV; return both paths.

    The NPZ file holds, for every layer n from 0 (the input) on, ``spike_times_n``: (n_images,
    n_neurons), model time, absolute, ``inf`` for a neuron that stays silent. Beside them are
    ``t_min`` and ``t_max`` of the layers' windows, (n_layers,); ``image``, the numbers of the
    images; and ``prediction``, their classes. The events are the same spikes, one per line (time,
    layer, neuron, image), by image and in order of time.

    Parameters
    ----------
    path : Path
        Of the files, without suffix.
    simulation : Simulation
    images : (n_images,) int64 tensor
        Numbers of the images in their split.
    forced : bool
        Whether a neuron that stays silent is made to fire at t_max, as alpha's are.

    """
    windows = (INPUT, *simulation.windows)
    times = [layer.double() for layer in (encode(simulation.inputs), *simulation.spike_times)]
    if forced:
        pairs = zip(times, windows, strict=True)
        times = [layer.nan_to_num(posinf=window.t_max) for layer, window in pairs]
    arrays = {f"spike_times_{n}": layer.numpy() for n, layer in enumerate(times)}
    arrays |= {name: [getattr(window, name) for window in windows] for name in ("t_min", "t_max")}
    arrays |= {"image": images.numpy(), "prediction": simulation.predictions.numpy()}
    paths = [path.with_name(f"{path.name}.{suffix}") for suffix in ("npz", "csv")]
    with written_atomically(paths[0]) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    with (
        written_atomically(paths[1]) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(EVENT)
        writer.writerows(events(times, images))
    return paths


def events(times: list[Tensor], images: Tensor) -> list[tuple[float, int, int, int]]:
    """Return a spike per line: time, layer, neuron, image; by image and in order of time.

    ``times`` are spike times by layer, (n_images, n_neurons) each, ``inf`` for no spike.
    """
    found = []
    for n, layer in enumerate(times):
        batch, neurons = layer.isfinite().nonzero(as_tuple=True)
        numbers = (layer[batch, neurons].tolist(), neurons.tolist(), images[batch].tolist())
        found += [(time, n, neuron, image) for time, neuron, image in zip(*numbers, strict=True)]
    return sorted(found, key=lambda event: (event[3], event[0]))
