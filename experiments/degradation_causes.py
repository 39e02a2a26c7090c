"""Why does accuracy fall with depth? Each suspected cause alone, and removed. (13 minutes)

Most of the time goes into training 20 networks: those of training seed 0 and raw pixels are the
committed ones; those of other seeds, and those of standardised pixels, are trained here with the
same settings. Every row pairs a variant with the float64 ReLU network of the same weights on the
same test images (experiments/causes.py; the write-up's recipe is in experiments/recipe.py).
"""

from functools import partial

import numpy as np
from matplotlib.figure import Figure

from experiments import causes, causes_figure, recipe
from ttfs.metrics import points_lost
from ttfs.stages.results import NUMBER, grouped, rows_with
from ttfs.stages.tables import Table, two_places

COLUMNS = {"depth": int, "training": str, "variant": str, "n_test": int}
COLUMNS |= {"relu_correct": int, "snn_correct": int}
COLUMNS["cause"] = {
    **dict.fromkeys(("reported", "recipe", "formula", "premature", "preprocessing"), {}),
    "short windows": {"t_max": NUMBER | None},
    "window growth": {"dtype": str, "windows": [NUMBER], "b1_windows": [NUMBER]},
    "precision": {"dtype": str},
    "time resolution": {"bits": int},
    "untrained": {"windows": [NUMBER]},
}
SEEDS = (0, 1, 2)
UNTRAINED_DEPTHS = (2, 4, 8, 16, 32, 64)
RAW, STANDARDISED, NONE, REPORTED = "raw pixels", "standardised pixels", "none", "as reported"
OWN = "Its recipe: bias not rescaled"
MISMATCH = "Trained on standardised pixels, ReLU tested on raw ones"
BOTH = "Both: standardised training, and the recipe"
LITERAL = "Spike time = threshold / current, literally, t_max = 15"
SHORT, EARLY = "Windows too short: 5 everywhere", "Alpha, free to fire before t_min"
LONG, COARSE = "Alpha in safe windows, absolute float32 time", "B1 in bfloat16, absolute time"
CLOCK = "Clock of 8 ticks per window"
FOLDED = {"cause": "preprocessing", "variant": "folded into the first layer, B1"}
SUMMARY = (  # a cause, its remedy if it is removed, and the rows that show it
    ("The original write-up's own numbers", "", {"cause": "reported"}),
    (OWN, "", {"cause": "recipe", "variant": "bias not rescaled"}),
    (OWN, "bias rescaled", {"cause": "recipe", "variant": "bias rescaled"}),
    (MISMATCH, "", {"cause": "preprocessing", "variant": "ReLU on raw pixels"}),
    (MISMATCH, "standardisation folded into the first layer, B1", FOLDED),
    (BOTH, "", {"cause": "preprocessing", "variant": "recipe on raw pixels"}),
    (BOTH, "standardisation folded, B1", FOLDED),
    (LITERAL, "", {"cause": "formula", "variant": "literal"}),
    (LITERAL, "B1, t_max = 15", {"cause": "short windows", "t_max": 15}),
    (SHORT, "", {"cause": "short windows", "t_max": 5}),
    (SHORT, "calibrated", {"cause": "short windows", "variant": "calibrated"}),
    (EARLY, "", {"cause": "premature", "variant": "no guard"}),
    (EARLY, "with the guard", {"cause": "premature", "variant": "guard"}),
    (EARLY, "in safe windows", {"cause": "premature", "variant": "safe windows"}),
    (EARLY, "B1", {"cause": "premature", "variant": "B1"}),
    (LONG, "", {"cause": "window growth", "variant": "absolute", "dtype": "float32"}),
    (
        LONG,
        "window-relative time",
        {"cause": "window growth", "variant": "window", "dtype": "float32"},
    ),
    (COARSE, "", {"cause": "precision", "variant": "absolute", "dtype": "bfloat16"}),
    (COARSE, "float16", {"cause": "precision", "variant": "absolute", "dtype": "float16"}),
    (COARSE, "float32", {"cause": "precision", "variant": "absolute", "dtype": "float32"}),
    (CLOCK, "", {"cause": "time resolution", "bits": 3, "variant": "ticks"}),
    (
        CLOCK,
        "thresholds half a tick lower",
        {"cause": "time resolution", "bits": 3, "variant": "half tick"},
    ),
    (
        CLOCK,
        "and windows of 99 % of the spikes",
        {"cause": "time resolution", "bits": 3, "variant": "half tick, 99 % windows"},
    ),
)


def cases(lab) -> list[dict]:
    """Return every network: each is tested for every cause."""
    seeds = SEEDS[:1] if lab.quick else SEEDS
    untrained = UNTRAINED_DEPTHS[:4] if lab.quick else UNTRAINED_DEPTHS
    keys = [
        (depth, seed, kind)
        for depth in lab.depths
        for seed in seeds
        for kind in (RAW, STANDARDISED)
    ]
    keys += [(depth, None, NONE) for depth in untrained]
    if lab.dataset == "mnist":
        keys += [
            (depth, None, REPORTED) for depth in lab.depths if depth in recipe.REPORTED_CORRECT
        ]
    return [{"depth": d, "training_seed": seed, "training": kind} for d, seed, kind in keys]


def measure(lab, depth: int, training_seed: int | None, training: str) -> list[dict]:
    """Return the rows of all causes for one network."""
    if training == REPORTED:
        relu, snn = recipe.REPORTED_CORRECT[depth]
        counts = {"n_test": recipe.REPORTED_IMAGES, "relu_correct": relu, "snn_correct": snn}
        return [{"cause": "reported", "variant": "as reported", **counts}]
    if training == NONE:
        return causes.untrained_growth(lab, depth)
    if training == STANDARDISED:
        statistics = recipe.pixel_statistics(lab.training.images)
        prepared = partial(recipe.standardised, mean=statistics[0], deviation=statistics[1])
        network, _ = lab.trained(depth, training_seed, prepared)
        return causes.preprocessing(lab, network, *statistics)
    network = lab.network(depth) if training_seed == 0 else lab.trained(depth, training_seed)[0]
    return causes.every_cause(lab, network)


def losses(rows: list[dict]) -> dict[str, dict[str, dict[int, list[float]]]]:
    """Return the points lost of all training seeds, by cause, remedy ("" for none) and depth."""
    found = {}
    for cause, remedy, keys in SUMMARY:
        by_depth = grouped(rows_with(rows, **keys), "depth")
        lost = {depth: list(map(points_lost, part)) for depth, part in by_depth.items()}
        found.setdefault(cause, {})[remedy] = lost
    return found


def table(rows: list[dict]) -> Table:
    """Return a line per cause and remedy: the mean points lost over training seeds, by depth."""
    depths = sorted(grouped(rows_with(rows, cause="recipe"), "depth"))
    lines = []
    for cause, remedies in losses(rows).items():
        for remedy, lost in remedies.items():
            cells = [two_places(np.mean(lost[d])) if d in lost else "-" for d in depths]
            lines.append([f"\N{RIGHTWARDS ARROW} {remedy}" if remedy else cause, *cells])
    return Table(
        ("points lost at depth", *map(str, depths)), lines, 1, "mean of the training seeds"
    )


def draw(rows: list[dict]) -> Figure:
    """Draw the reported loss and its makers; every cause; window growth; and clocks."""
    return causes_figure.draw(rows, losses(rows))
