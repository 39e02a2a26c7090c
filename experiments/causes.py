"""The suspected causes of a loss that grows with depth: each gives its rows, on and removed.

Every row pairs a variant with the float64 ReLU network of the same weights on the test images.
"""

from collections.abc import Callable
from functools import partial

import torch

from experiments.recipe import literal_formula_logits, outcome, recipe_logits
from ttfs import windows
from ttfs.conversion import SpikingNetwork, convert
from ttfs.metrics import Comparison
from ttfs.network import ReluNetwork, random_network, unstandardised
from ttfs.simulation import clock_driven, closed_form, event_driven
from ttfs.stages.options import DTYPES
from ttfs.training import architecture

T_MAX_SWEEP = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50)
BITS = range(1, 11)
UNTRAINED_IMAGES = {"training": 5000, "test": 500}


def every_cause(lab, network: ReluNetwork) -> list[dict]:
    """Return the rows of every cause but the preprocessing, for one network of raw pixels."""
    exact = convert(network, windows.calibrated(network, lab.training().images))
    causes = (unscaled_bias, literal_formula, short_windows, premature, window_growth)
    causes += (precision, time_resolution)
    return [row for cause in causes for row in cause(lab, network, exact)]


def row_of(cause: str, variant: str, found: Comparison, audited=(), **more) -> dict:
    """Return a row: what was compared, paired counts, and what of the audit is wanted."""
    audits = [layer.row() for layer in found.audit]
    counts = {key: [audit[key] for audit in audits] for key in audited}
    return {"cause": cause, "variant": variant, **found.counts, **counts, **more}


def unscaled_bias(lab, network: ReluNetwork, exact: SpikingNetwork) -> list[dict]:
    """Each sample's activations scaled to [0, 1] before every layer, and the bias with them."""
    rows = []
    for variant, rescale_bias in (("bias not rescaled", False), ("bias rescaled", True)):
        found = judge_logits(lab, network, recipe_logits, network, rescale_bias=rescale_bias)
        rows.append(row_of("recipe", variant, found))
    return rows


def literal_formula(lab, network: ReluNetwork, exact: SpikingNetwork) -> list[dict]:
    """The write-up's formula for the spike time, taken literally; and B1 in its place."""
    literal = judge_logits(lab, network, literal_formula_logits, network)
    right = lab.judge(network, partial(closed_form, exact), torch.float64)
    return [row_of("formula", "literal", literal), row_of("formula", "B1", right, dtype="float64")]


def judge_logits(lab, network: ReluNetwork, function: Callable, *subject, **options) -> Comparison:
    """Return what a function from pixels to float64 logits does, beside a ReLU network."""
    return lab.judge(network, lambda x: outcome(function(*subject, x, **options)), torch.float64)


def short_windows(lab, network: ReluNetwork, exact: SpikingNetwork) -> list[dict]:
    """Windows of one fixed length, from far too short to long enough; and calibrated ones."""
    rows, audited = [], ("saturations", "neurons", "images")
    for t_max in (*T_MAX_SWEEP, None):
        snn = exact if t_max is None else convert(network, windows.fixed(network, t_max))
        variant = "calibrated" if t_max is None else "fixed"
        found = lab.judge(network, partial(closed_form, snn))
        rows.append(row_of("short windows", variant, found, audited, t_max=t_max, dtype="float32"))
    return rows


def premature(lab, network: ReluNetwork, exact: SpikingNetwork) -> list[dict]:
    """Alpha spike by spike in windows of the largest activation, free to fire before t_min."""
    tight = windows.calibrated(network, lab.training().images, margin=0)
    alpha = convert(network, tight, "alpha")
    safe = convert(network, windows.safe(network), "alpha")
    variants = {
        "no guard": (alpha, False),
        "guard": (alpha, True),
        "safe windows": (safe, False),
        "B1": (convert(network, tight), True),
    }
    audited = ("premature", "spurious", "saturations", "held_back", "neurons", "images")
    rows = []
    for variant, (snn, guard) in variants.items():
        below_rest = [int((layer.threshold <= 0).sum()) for layer in snn.hidden]
        found = lab.judge(network, partial(event_driven, snn, guard=guard), torch.float64)
        more = {"dtype": "float64", "thresholds_below_rest": below_rest}
        rows.append(row_of("premature", variant, found, audited, **more))
    return rows


def window_growth(lab, network: ReluNetwork, exact: SpikingNetwork) -> list[dict]:
    """Alpha in windows that no input order can make too short: they grow layer by layer."""
    safe = windows.safe(network)
    lengths = {"windows": safe, "b1_windows": [layer.window.length for layer in exact.hidden]}
    alpha, dtypes = convert(network, safe, "alpha"), ("float64", "float32", "float16")
    return in_low_precision(lab, network, alpha, "window growth", dtypes, **lengths)


def precision(lab, network: ReluNetwork, exact: SpikingNetwork) -> list[dict]:
    """B1 in calibrated windows, in ever fewer bits."""
    return in_low_precision(lab, network, exact, "precision", tuple(DTYPES))


def in_low_precision(lab, network, snn, cause: str, dtypes, **more) -> list[dict]:
    """Return a row a time convention and precision."""
    rows = []
    for time in ("absolute", "window"):
        for dtype in dtypes:
            found = lab.judge(network, partial(closed_form, snn, time=time), DTYPES[dtype])
            rows.append(row_of(cause, time, found, dtype=dtype, **more))
    return rows


def time_resolution(lab, network: ReluNetwork, exact: SpikingNetwork) -> list[dict]:
    """B1 on a clock: the threshold tested at 2^bits ticks a window, at the tick or half a tick low.

    The windows that hold 99 % of the spikes have finer ticks than those with room to spare.
    """
    fitted = convert(network, windows.quantile(network, lab.training().images, 0.99))
    variants = {
        "ticks": (exact, False),
        "half tick": (exact, True),
        "half tick, 99 % windows": (fitted, True),
    }
    rows = []
    for variant, (snn, half_tick) in variants.items():
        for bits in BITS:
            found = lab.judge(network, partial(clock_driven, snn, bits=bits, half_tick=half_tick))
            rows.append(row_of("time resolution", variant, found, dtype="float32", bits=bits))
    return rows


def preprocessing(lab, network: ReluNetwork, mean: float, deviation: float) -> list[dict]:
    """A network of standardised pixels that is tested on raw ones, which are what spikes carry.

    Folded into its first layer, the standardisation makes it a network of raw pixels: what it
    would have done, had it been tested as it was trained.
    """
    folded = unstandardised(network, mean, deviation)
    snn = convert(folded, windows.calibrated(folded, lab.training().images))
    matched = lab.judge(folded, partial(closed_form, snn), torch.float64)
    return [
        row_of("preprocessing", "ReLU on raw pixels", judge_logits(lab, folded, network.logits)),
        row_of(
            "preprocessing",
            "recipe on raw pixels",
            judge_logits(lab, network, recipe_logits, network),
        ),
        row_of("preprocessing", "folded into the first layer, B1", matched),
    ]


def untrained_growth(lab, depth: int) -> list[dict]:
    """Windows and agreement with ReLU of an untrained network, on a few images."""
    network = random_network(architecture(depth, 400), seed=0)
    images = lab.training().images[: UNTRAINED_IMAGES["training"]]
    policies = {"alpha": windows.safe(network), "B1": windows.calibrated(network, images)}
    rows = []
    for neuron, lengths in policies.items():
        snn = convert(network, lengths, neuron)
        for time in ("absolute", "window"):
            for dtype in DTYPES:
                simulate = partial(closed_form, snn, time=time)
                n_images = UNTRAINED_IMAGES["test"]
                found = lab.judge(network, simulate, DTYPES[dtype], n_images=n_images)
                more = {"dtype": dtype, "windows": lengths}
                rows.append(row_of("untrained", f"{neuron}, {time}", found, **more))
    return rows
