"""The suspected causes of a loss that grows with depth: each gives variants of a network.

Every row pairs a variant with the float64 ReLU network of the same weights on the test images.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from experiments.recipe import every_layer, literal_formula_logits, outcome, recipe_logits
from ttfs import windows
from ttfs.conversion import SpikingNetwork, convert
from ttfs.metrics import Comparison
from ttfs.network import ReluNetwork, random_network, unstandardised
from ttfs.simulation import clock_driven, closed_form, event_driven
from ttfs.stages.options import DTYPES
from ttfs.training import architecture

T_MAX_SWEEP = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50)
BITS = range(1, 11)
TIMES = ("absolute", "window")
UNTRAINED_IMAGES = {"training": 5000, "test": 500}


class Variant(NamedTuple):
    """A cause switched on, or removed: what is simulated, and what is kept beside the counts."""

    cause: str
    variant: str
    simulate: Callable
    dtype: str = "float64"
    audited: tuple[str, ...] = ()
    more: dict = {}


def every_cause(lab, network: ReluNetwork) -> list[dict]:
    """Return the rows of every cause but the preprocessing, for one network of raw pixels."""
    images = lab.training.images
    exact = convert(network, windows.calibrated(network, images))
    variants = [*recipes(network, exact), *short_windows(network, exact)]
    variants += [*premature(network, images), *low_precision(network, exact)]
    variants += time_resolution(network, exact, images)
    return [row_of(lab, network, variant) for variant in variants]


def row_of(lab, network: ReluNetwork, variant: Variant, n_images: int | None = None) -> dict:
    """Return a variant's row: paired counts, and what of the audit is wanted."""
    found = lab.judge(network, variant.simulate, DTYPES[variant.dtype], n_images)
    audits = [layer.row() for layer in found.audit]
    counts = {key: [audit[key] for audit in audits] for key in variant.audited}
    keys = {"cause": variant.cause, "variant": variant.variant, "dtype": variant.dtype}
    return keys | found.counts | counts | variant.more


def judge_logits(lab, network: ReluNetwork, function: Callable) -> Comparison:
    """Return what a function from pixels to float64 logits does, beside a ReLU network."""
    return lab.judge(network, lambda x: outcome(x, function(x)), DTYPES["float64"])


def recipes(network: ReluNetwork, exact: SpikingNetwork) -> Iterator[Variant]:
    """Yield the write-up's scaling of each sample, and its formula for the spike time."""
    for name, rescaled in (("bias not rescaled", ()), ("bias rescaled", every_layer(network))):
        logits = partial(recipe_logits, network, rescaled=rescaled)
        yield Variant("recipe", name, lambda x, logits=logits: outcome(x, logits(x)))
    yield Variant("formula", "literal", lambda x: outcome(x, literal_formula_logits(network, x)))
    yield Variant("formula", "B1", partial(closed_form, exact))


def short_windows(network: ReluNetwork, exact: SpikingNetwork) -> Iterator[Variant]:
    """Yield windows of one fixed length, from far too short to long enough; and calibrated ones."""
    audited = ("saturations", "neurons", "images")
    for t_max in (*T_MAX_SWEEP, None):
        snn = exact if t_max is None else convert(network, windows.fixed(network, t_max))
        name = "calibrated" if t_max is None else "fixed"
        simulate, more = partial(closed_form, snn), {"t_max": t_max}
        yield Variant("short windows", name, simulate, "float32", audited, more)


def premature(network: ReluNetwork, training_images) -> Iterator[Variant]:
    """Yield alpha spike by spike in windows of the largest activation, free to fire early."""
    tight = windows.calibrated(network, training_images, margin=0)
    alpha = convert(network, tight, "alpha")
    safe = convert(network, windows.safe(network), "alpha")
    audited = ("premature", "spurious", "saturations", "held_back", "neurons", "images")
    for name, snn, guard in (
        ("no guard", alpha, False),
        ("guard", alpha, True),
        ("safe windows", safe, False),
        ("B1", convert(network, tight), True),
    ):
        below_rest = [int((layer.threshold <= 0).sum()) for layer in snn.hidden]
        simulate, more = (
            partial(event_driven, snn, guard=guard),
            {"thresholds_below_rest": below_rest},
        )
        yield Variant("premature", name, simulate, "float64", audited, more)


def low_precision(network: ReluNetwork, exact: SpikingNetwork) -> Iterator[Variant]:
    """Yield alpha in windows that no input order can make too short, and B1, in ever fewer bits."""
    safe = windows.safe(network)
    alpha, more = convert(network, safe, "alpha"), {"windows": safe}
    more["b1_windows"] = [layer.window.length for layer in exact.hidden]
    for time in TIMES:
        for dtype in ("float64", "float32", "float16"):
            simulate = partial(closed_form, alpha, time=time)
            yield Variant("window growth", time, simulate, dtype, (), more)
        for dtype in DTYPES:
            yield Variant("precision", time, partial(closed_form, exact, time=time), dtype)


def time_resolution(network, exact: SpikingNetwork, training_images) -> Iterator[Variant]:
    """Yield B1 on a clock of 2^bits ticks per window: at ticks, or half a tick low.

    Windows that hold 99 % of the spikes have finer ticks than those with room to spare.
    """
    fitted = convert(network, windows.quantile(network, training_images, 0.99))
    for name, snn, half_tick in (
        ("ticks", exact, False),
        ("half tick", exact, True),
        ("half tick, 99 % windows", fitted, True),
    ):
        for bits in BITS:
            simulate = partial(clock_driven, snn, bits=bits, half_tick=half_tick)
            yield Variant("time resolution", name, simulate, "float32", (), {"bits": bits})


def preprocessing(lab, network: ReluNetwork, mean: float, deviation: float) -> list[dict]:
    """Return the rows of a network of standardised pixels that is tested on raw ones.

    Raw pixels are what spikes carry. Folded into its first layer, the standardisation makes it a
    network of raw pixels: what it would have done, had it been tested as it was trained.
    """
    folded = unstandardised(network, mean, deviation)
    snn = convert(folded, windows.calibrated(folded, lab.training.images))
    cause, b1 = "preprocessing", "folded into the first layer, B1"
    raw = Variant(cause, "ReLU on raw pixels", lambda x: outcome(x, network.logits(x)))
    own = Variant(cause, "recipe on raw pixels", lambda x: outcome(x, recipe_logits(network, x)))
    return [
        row_of(lab, folded, raw),
        row_of(lab, network, own),
        row_of(lab, folded, Variant(cause, b1, partial(closed_form, snn))),
    ]


def untrained_growth(lab, depth: int) -> list[dict]:
    """Return the rows of an untrained network: its windows, and agreement on a few images."""
    network = random_network(architecture(depth, 400), seed=0)
    images = lab.training.images[: UNTRAINED_IMAGES["training"]]
    policies = {"alpha": windows.safe(network), "B1": windows.calibrated(network, images)}
    rows = []
    for neuron, lengths in policies.items():
        snn = convert(network, lengths, neuron)
        for time in TIMES:
            for dtype in DTYPES:
                simulate, more = partial(closed_form, snn, time=time), {"windows": lengths}
                variant = Variant("untrained", f"{neuron}, {time}", simulate, dtype, (), more)
                rows.append(row_of(lab, network, variant, UNTRAINED_IMAGES["test"]))
    return rows
