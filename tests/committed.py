"""The committed pages and results, for the tests that compare them."""

from pathlib import Path

import numpy as np

from ttfs.metrics import points_lost
from ttfs.stages.readme import PAGES
from ttfs.stages.results import load_results, rows_with

ROOT = Path(__file__).resolve().parent.parent
TEXTS = {page: (ROOT / page).read_text() for page in PAGES}
ALL = "\n".join(TEXTS.values())
DEPTHS = (2, 4, 6, 8)
BOTH = {"cause": "preprocessing", "variant": "recipe on raw pixels"}


def rows(name: str, **keys) -> list[dict]:
    """Return the committed rows that have these values."""
    return rows_with(load_results(ROOT / "results" / f"{name}.json", "", {})["rows"], **keys)


def lost(name: str, **keys) -> list[float]:
    """Return the points lost, one value per row."""
    return [points_lost(row) for row in rows(name, **keys)]


def means(**keys) -> list[float]:
    """Return the mean points lost of a cause, one value per depth."""
    return [np.mean(lost("degradation_causes", depth=depth, **keys)) for depth in DEPTHS]
