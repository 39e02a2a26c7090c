"""How few time steps are enough, without retraining? (6 minutes)

A clock of 2^bits ticks per window tests thresholds at ticks, or half a tick lower, which rounds to
the nearest tick. Windows are calibrated, hold a quantile of the spikes for all layers alike, or the
best quantile in common or per layer (ttfs.tuning.clock_quantiles): chosen on validation images,
without labels. Accuracy is counted on test images.
"""

from functools import partial

from matplotlib.figure import Figure

from ttfs.conversion import convert
from ttfs.metrics import points_lost
from ttfs.simulation import clock_driven
from ttfs.stages.figures import RELU_COLOUR, SNN_COLOUR, depth_panels, legend_above, loss_axis
from ttfs.stages.results import NUMBER, grouped
from ttfs.stages.tables import Table, two_places
from ttfs.tuning import clock_quantiles, own_lengths

COLUMNS = {"depth": int, "policy": str, "half_tick": bool, "bits": int, "n_test": int}
COLUMNS |= {"relu_correct": int, "snn_correct": int, "windows": [NUMBER]}
BITS = range(1, 11)
QUANTILES = (0.999, 0.99, 0.98, 0.95, 0.9)
TUNED = {"best quantile": True, "best quantile per layer": False}  # for all layers alike, or not
TUNED_BITS = range(1, 7)  # above, windows no longer matter
SHOWN = {  # policy and half_tick that table and figure show: name, and how it is drawn
    ("calibrated", False): ("calibrated; at ticks", {"color": "0.5", "ls": ":", "marker": "x"}),
    ("calibrated", True): (
        "calibrated; half a tick low",
        {"color": "0.5", "ls": "-", "marker": "s"},
    ),
    ("best quantile", True): (
        "best quantile; half a tick low",
        {"color": RELU_COLOUR, "ls": "--", "marker": "o", "mfc": "white", "ms": 6},
    ),
    ("best quantile per layer", True): (
        "best quantile per layer; half a tick low",
        {"color": SNN_COLOUR, "ls": "-", "marker": "o"},
    ),
}


def cases(lab) -> list[dict]:
    """Return every clock with every window policy, at every depth."""
    found = []
    for depth in lab.depths:
        for policy in ("calibrated", *(f"quantile:{q:g}" for q in QUANTILES)):
            for half_tick in (False, True):
                keys = {"depth": depth, "policy": policy, "half_tick": half_tick}
                found += [keys | {"bits": bits} for bits in BITS]
        for policy in TUNED:
            keys = {"depth": depth, "policy": policy, "half_tick": True}
            found += [keys | {"bits": bits} for bits in TUNED_BITS]
    return found


def measure(lab, depth: int, policy: str, half_tick: bool, bits: int) -> dict:
    """Return paired counts, and the windows that were used."""
    network, quantiles = lab.network(depth), None
    if policy in TUNED:
        candidates, images = lab.candidates(depth), lab.validation.images
        quantiles = clock_quantiles(network, candidates, images, bits, alike=TUNED[policy])
        lengths = own_lengths(candidates, quantiles)
    else:
        lengths = lab.windows(depth, policy)
    snn = convert(network, lengths)
    found = lab.judge(network, partial(clock_driven, snn, bits=bits, half_tick=half_tick))
    own = {"quantiles": quantiles, "windows": lengths}
    return found.counts | own | {"latency": snn.t_read, "ticks": depth * 2**bits}


def ticks_for(rows: list[dict], limit: float) -> str:
    """Return the ticks of the coarsest clock from which on less than ``limit`` points are lost."""
    ticks = None
    for row in sorted(rows, key=lambda row: -row["bits"]):
        if points_lost(row) >= limit:
            break
        ticks = 2 ** row["bits"]
    return f"{ticks}" if ticks else "more"


def table(rows: list[dict]) -> Table:
    """Return a line per depth and policy: points lost by ticks per window, and what is enough."""
    bits = (1, 2, 3, 4, 5)
    groups, lines = grouped(rows, "depth", "policy", "half_tick"), []
    for depth in grouped(rows, "depth"):
        for keys, (name, _) in SHOWN.items():
            found = groups[(depth, *keys)]
            lost = {row["bits"]: two_places(points_lost(row)) for row in found}
            cells = [lost[b] for b in bits]
            lines.append([f"{depth}", name, *cells, ticks_for(found, 0.1), ticks_for(found, 0.5)])
    ticks = (f"{2**b} ticks" for b in bits)
    header = ("depth", "windows; threshold", *ticks, "ticks for < 0.1", "ticks for < 0.5")
    return Table(header, lines, 2, "points lost by ticks per window")


def draw(rows: list[dict]) -> Figure:
    """Draw points lost against the clock's bits: a panel per depth, a line per window policy."""
    groups = grouped(rows, "depth", "policy", "half_tick")
    figure, panels = depth_panels(grouped(rows, "depth"), 3.0)
    smallest = min(map(points_lost, rows))
    for depth, axes in panels.items():
        for keys, (name, style) in SHOWN.items():
            found = groups[(depth, *keys)]
            points = [(row["bits"], points_lost(row)) for row in found]
            axes.plot(*zip(*points, strict=True), label=name, **{"lw": 1, "ms": 3.5} | style)
        loss_axis(axes.yaxis, 0.1, smallest)
        axes.axhline(0, color="0.8", lw=0.6, zorder=0)
        axes.set_xticks(range(1, 11, 3))
    first = next(iter(panels.values()))
    first.set_ylabel("Accuracy lost (points, linear to 0.1)")
    figure.supxlabel("Clock (bits: 2^bits ticks per window)")
    legend_above(figure, first, 4)
    return figure
