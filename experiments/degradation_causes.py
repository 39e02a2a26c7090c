"""Why does accuracy fall with depth? Each suspected cause alone, and removed. (20 minutes)

Most of the time goes into training 20 networks: those of training seed 0 and raw pixels are the
committed ones; those of other seeds, and those of standardised pixels, are trained here with the
same settings. Every row pairs a variant with the float64 ReLU network of the same weights on the
same test images (experiments/causes.py; the write-up's recipe is in experiments/recipe.py).

    python experiments degradation_causes
    python experiments degradation_causes --quick       # seed 0, one epoch of training
    python experiments degradation_causes --redraw      # from the results alone
"""

from functools import partial

import numpy as np
from matplotlib.figure import Figure

from experiments import causes, causes_figure, recipe
from ttfs.metrics import points_lost
from ttfs.stages.results import chosen, grouped
from ttfs.stages.tables import Table, two_places

COLUMNS = {"depth": int, "training": str, "cause": str, "variant": str, "n_test": int}
COLUMNS |= {"relu_correct": int, "snn_correct": int}
SEEDS = (0, 1, 2)
UNTRAINED_DEPTHS = (2, 4, 8, 16, 32, 64)
RAW, STANDARDISED, NONE, REPORTED = "raw pixels", "standardised pixels", "none", "as reported"
PREMATURE, GROWTH = {"cause": "premature"}, {"cause": "window growth"}
PREPROCESSING, CLOCK = {"cause": "preprocessing"}, {"cause": "time resolution", "bits": 3}
FOLDED = PREPROCESSING | {"variant": "folded into the first layer, B1"}
SUMMARY = {  # a cause and the rows that it stands for, then its remedies and theirs
    "The original write-up's own numbers": {"": {"cause": "reported"}},
    "Its recipe: bias not rescaled": {
        "": {"cause": "recipe", "variant": "bias not rescaled"},
        "bias rescaled": {"cause": "recipe", "variant": "bias rescaled"},
    },
    "Trained on standardised pixels, ReLU tested on raw ones": {
        "": PREPROCESSING | {"variant": "ReLU on raw pixels"},
        "standardisation folded into the first layer, B1": FOLDED,
    },
    "Both: standardised training, and the recipe": {
        "": PREPROCESSING | {"variant": "recipe on raw pixels"},
        "standardisation folded, B1": FOLDED,
    },
    "Spike time = threshold / current, literally, t_max = 15": {
        "": {"cause": "formula", "variant": "literal"},
        "B1, t_max = 15": {"cause": "short windows", "t_max": 15},
    },
    "Windows too short: 5 everywhere": {
        "": {"cause": "short windows", "t_max": 5},
        "calibrated": {"cause": "short windows", "variant": "calibrated"},
    },
    "Alpha, free to fire before t_min": {
        "": PREMATURE | {"variant": "no guard"},
        "with the guard": PREMATURE | {"variant": "guard"},
        "in safe windows": PREMATURE | {"variant": "safe windows"},
        "B1": PREMATURE | {"variant": "B1"},
    },
    "Alpha in safe windows, absolute float32 time": {
        "": GROWTH | {"variant": "absolute", "dtype": "float32"},
        "window-relative time": GROWTH | {"variant": "window", "dtype": "float32"},
    },
    "B1 in bfloat16, absolute time": {
        "": {"cause": "precision", "variant": "absolute", "dtype": "bfloat16"},
        "float16": {"cause": "precision", "variant": "absolute", "dtype": "float16"},
        "float32": {"cause": "precision", "variant": "absolute", "dtype": "float32"},
    },
    "Clock of 8 ticks a window": {
        "": CLOCK | {"variant": "ticks"},
        "thresholds half a tick lower": CLOCK | {"variant": "half tick"},
        "and windows of 99 % of the spikes": CLOCK | {"variant": "half tick, 99 % windows"},
    },
}


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
        statistics = recipe.pixel_statistics(lab.training().images)
        prepared = partial(recipe.standardised, mean=statistics[0], deviation=statistics[1])
        network, _ = lab.trained(depth, training_seed, prepared)
        return causes.preprocessing(lab, network, *statistics)
    network = lab.network(depth) if training_seed == 0 else lab.trained(depth, training_seed)[0]
    return causes.every_cause(lab, network)


def losses(rows: list[dict]) -> dict[str, dict[str, dict[int, list[float]]]]:
    """Return the points lost of all training seeds, by cause, remedy ("" for none) and depth."""
    return {
        cause: {
            remedy: {
                depth: list(map(points_lost, found))
                for depth, found in grouped(chosen(rows, **keys), "depth").items()
            }
            for remedy, keys in remedies.items()
        }
        for cause, remedies in SUMMARY.items()
    }


def table(rows: list[dict]) -> Table:
    """Return a line a cause and remedy: the mean points lost over training seeds, by depth."""
    depths = sorted(grouped(chosen(rows, cause="recipe"), "depth"))
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
