"""The suspected causes of a loss that grows with depth: each returns its rows, on and removed."""

from functools import partial
from typing import NamedTuple

from torch import Tensor

from ttfs import command_line, published, windows
from ttfs.command_line import DTYPES
from ttfs.conversion import SpikingNetwork, convert
from ttfs.metrics import judged, paired, simulated
from ttfs.network import ReluNetwork, random_network
from ttfs.simulation import clock_driven, closed_form, event_driven
from ttfs.training import architecture

T_MAX_SWEEP = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50)
BITS = range(1, 11)
UNTRAINED_DEPTHS = (2, 4, 8, 16, 32, 64)


class Case(NamedTuple):
    """A trained network, and what every variant of it is judged by."""

    network: ReluNetwork
    training_images: Tensor
    images: Tensor  # float64
    labels: Tensor
    relu: Tensor  # the classes that the float64 ReLU network predicts
    exact: SpikingNetwork  # B1, in windows of 1.5 x the largest training activation


def case_of(network: ReluNetwork, training_images, images: Tensor, labels: Tensor) -> Case:
    """Return the case of a network and test images."""
    relu = network.logits(images).argmax(1)
    exact = convert(network, windows.calibrated(network, training_images))
    return Case(network, training_images, images, labels, relu, exact)


def every_cause(case: Case) -> list[dict]:
    """Return the rows of every cause but the preprocessing, for one network."""
    causes = (recipe, formula, short_windows, premature, window_growth, precision, time_resolution)
    return [row for cause in causes for row in cause(case)]


def row_of(cause: str, variant: str, relu: Tensor, logits: Tensor, labels: Tensor, **more) -> dict:
    """Return a row: paired counts of a variant and the float64 ReLU network, and McNemar's p."""
    found = logits.argmax(1)
    first = paired(relu[:1000], found[:1000], labels[:1000])
    first = {f"{key}_first_1000": first[key] for key in ("relu_correct", "snn_correct")}
    return {"cause": cause, "variant": variant, **judged(relu, found, labels), **first, **more}


def simulated_row(
    case: Case, cause: str, variant: str, simulate, dtype="float32", audited=(), **more
) -> dict:
    """Return the row of a simulator, with what of its audit is wanted."""
    logits, audit = simulated(simulate, case.images.to(DTYPES[dtype]))
    counts = {key: [layer.row()[key] for layer in audit] for key in audited}
    return row_of(cause, variant, case.relu, logits, case.labels, dtype=dtype, **counts, **more)


def recipe(case: Case) -> list[dict]:
    """The published recipe: each sample's activations scaled to [0, 1] before every layer."""
    rows = []
    for variant, rescale_bias in (("bias not rescaled", False), ("bias rescaled", True)):
        logits = published.recipe_logits(case.network, case.images, rescale_bias=rescale_bias)
        rows.append(row_of("recipe", variant, case.relu, logits, case.labels))
    return rows


def formula(case: Case) -> list[dict]:
    """The published formula for the spike time, taken literally; and B1 in its place."""
    logits = published.literal_formula_logits(case.network, case.images)
    return [
        row_of("formula", "literal", case.relu, logits, case.labels),
        simulated_row(case, "formula", "B1", partial(closed_form, case.exact), "float64"),
    ]


def short_windows(case: Case) -> list[dict]:
    """Windows of one fixed length, from far too short to long enough; and calibrated ones."""
    fixed = [(t_max, convert(case.network, [t_max] * (case.network.depth - 1)))
             for t_max in T_MAX_SWEEP]  # fmt: skip
    audited = ("saturations", "neurons", "images")
    return [
        *(simulated_row(case, "short windows", "fixed", partial(closed_form, snn), audited=audited,
                    t_max=t_max) for t_max, snn in fixed),
        simulated_row(case, "short windows", "calibrated", partial(closed_form, case.exact),
                  audited=audited),
    ]  # fmt: skip


def premature(case: Case) -> list[dict]:
    """Alpha spike by spike in windows of the largest activation, free to fire before t_min."""
    tight = windows.calibrated(case.network, case.training_images, margin=0)
    alpha = convert(case.network, tight, "alpha")
    safe = convert(case.network, windows.safe(case.network), "alpha")
    variants = {
        "no guard": (alpha, False), "guard": (alpha, True), "safe windows": (safe, False),
        "B1": (convert(case.network, tight), True),
    }  # fmt: skip
    audited = ("premature", "spurious", "saturations", "held_back", "neurons", "images")
    rows = []
    for variant, (snn, guard) in variants.items():
        below_rest = [int((layer.threshold <= 0).sum()) for layer in snn.hidden]
        simulate = partial(event_driven, snn, guard=guard)
        rows.append(simulated_row(case, "premature", variant, simulate, "float64", audited,
                              thresholds_below_rest=below_rest))  # fmt: skip
    return rows


def window_growth(case: Case) -> list[dict]:
    """Alpha in windows that no input order can make too short: they grow layer by layer."""
    safe = windows.safe(case.network)
    alpha = convert(case.network, safe, "alpha")
    return [
        simulated_row(case, "window growth", time, partial(closed_form, alpha, time=time), dtype,
                  windows=safe, b1_windows=lengths_of(case.exact))
        for time in ("absolute", "window") for dtype in ("float64", "float32", "float16")
    ]  # fmt: skip


def lengths_of(snn: SpikingNetwork) -> list[float]:
    """Return the window length of each hidden layer."""
    return [layer.window_length for layer in snn.hidden]


def precision(case: Case) -> list[dict]:
    """B1 in calibrated windows, in ever fewer bits."""
    return [
        simulated_row(case, "precision", time, partial(closed_form, case.exact, time=time), dtype)
        for time in ("absolute", "window") for dtype in DTYPES
    ]  # fmt: skip


def time_resolution(case: Case) -> list[dict]:
    """B1 on a clock: the threshold tested at 2^bits ticks a window, at the tick or half a tick low.

    The windows that hold 99 % of the spikes have finer ticks than those with room to spare.
    """
    fitted = convert(case.network, windows.quantile(case.network, case.training_images, 0.99))
    variants = {
        "ticks": (case.exact, False), "half tick": (case.exact, True),
        "half tick, 99 % windows": (fitted, True),
    }  # fmt: skip
    return [
        simulated_row(case, "time resolution", variant,
                  partial(clock_driven, snn, bits=bits, half_tick=half_tick), bits=bits)
        for variant, (snn, half_tick) in variants.items() for bits in BITS
    ]  # fmt: skip


def preprocessing(
    network: ReluNetwork, mean: float, deviation: float, training_images, images, labels
) -> list[dict]:
    """A network of standardised pixels that is tested on raw ones, which are what spikes carry."""
    matched = network.logits((images - mean) / deviation).argmax(1)
    raw = network.logits(images)
    folded = published.unstandardised(network, mean, deviation)
    snn = convert(folded, windows.calibrated(folded, training_images))
    return [
        row_of("preprocessing", "ReLU on raw pixels", matched, raw, labels),
        row_of("preprocessing", "recipe on raw pixels", raw.argmax(1),
               published.recipe_logits(network, images), labels),
        row_of("preprocessing", "folded into the first layer, B1", matched,
               closed_form(snn, images).logits, labels),
    ]  # fmt: skip


def untrained_window_growth(training_images: Tensor, images: Tensor) -> list[dict]:
    """Windows and agreement with ReLU of untrained networks, down to depth 64."""
    rows = []
    for depth in command_line.progress(UNTRAINED_DEPTHS, "untrained depths"):
        network = random_network(architecture(depth, 400), seed=0)
        relu = network.logits(images).argmax(1)
        lengths = {"alpha": windows.safe(network),
                   "B1": windows.calibrated(network, training_images)}  # fmt: skip
        for neuron, window_lengths in lengths.items():
            snn = convert(network, window_lengths, neuron)
            for time in ("absolute", "window"):
                for dtype in DTYPES:
                    found = closed_form(snn, images.to(DTYPES[dtype]), time).predictions
                    rows.append({
                        "cause": "untrained", "variant": f"{neuron}, {time}", "depth": depth,
                        "dtype": dtype, "n_test": len(images), "windows": window_lengths,
                        "agreements": int((found == relu).sum()),
                    })  # fmt: skip
    return rows
