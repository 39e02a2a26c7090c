"""How many time steps does a layer need? Clocks of 1 to 10 bits, and windows that suit them.

Reads   models/mnist_{2,4,6,8}_layer.pkl          (from train_mnist_pytorch.py), MNIST
Writes  results/time_resolution.json              a row a depth, window policy, threshold and clock
        figures/time_resolution.png               (.pdf and .svg with --formats)

    python experiments/time_resolution.py
    python experiments/time_resolution.py --quick
    python experiments/time_resolution.py --redraw         # from the results alone

A clock of 2^bits ticks a window tests the threshold at ticks, or half a tick lower. Windows are
1.5 x the largest activation, a quantile of the spikes for all layers alike, or the best quantile
for all layers or for each (ttfs.tuning.clocked), by validation images. Accuracy is counted on test
images.
"""

import sys
from functools import partial
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ttfs import command_line, stages, windows
from ttfs.command_line import Parser, text_table, two_places
from ttfs.conversion import convert
from ttfs.figures import RELU_COLOUR, SNN_COLOUR, WIDTH
from ttfs.metrics import judged, points_lost, simulated
from ttfs.simulation import clock_driven
from ttfs.tuning import clocked

NAME = "time_resolution"
BITS = range(1, 11)
TUNED = {"all layers": True, "each layer": False}  # one quantile for all layers alike, or not
TUNED_BITS = range(1, 7)  # above, windows no longer matter
QUANTILES = (0.999, 0.99, 0.98, 0.95, 0.9)
LIMITS = (0.1, 0.5)  # points: how much a clock may cost


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add_experiment()
    return parser.parse_args(argv)


def measure(args, dataset: str) -> list[dict]:
    """Return a row a depth, window policy, threshold and clock."""
    networks, training, validation, test = stages.networks_and_images(args, dataset)
    cases = []
    for depth, network in networks.items():
        calibrated = windows.calibrated(network, training.images)
        chosen = windows.quantiles(network, training.images, QUANTILES)
        policies = {"calibrated": calibrated, **dict(zip(map(str, QUANTILES), chosen, strict=True))}
        cases += [(depth, policy, bits, half_tick, lengths) for policy, lengths in policies.items()
                  for half_tick in (False, True) for bits in BITS]  # fmt: skip
        cases += [(depth, policy, bits, True, None) for policy in TUNED for bits in TUNED_BITS]
    relu = {d: network.logits(test.images.double()).argmax(1) for d, network in networks.items()}
    rows = []
    for depth, policy, bits, half_tick, lengths in command_line.progress(cases, "clocks"):
        network, quantiles = networks[depth], None
        if policy in TUNED:
            quantiles, lengths = clocked(
                network, training.images, validation.images, bits, alike=TUNED[policy]
            )
        snn = convert(network, lengths)
        simulate = partial(clock_driven, snn, bits=bits, half_tick=half_tick)
        logits, _ = simulated(simulate, test.images)
        rows.append({
            "depth": depth, "policy": policy, "half_tick": half_tick, "bits": bits,
            **judged(relu[depth], logits.argmax(1), test.labels), "quantiles": quantiles,
            "windows": lengths, "latency": snn.t_read, "ticks": depth * 2**bits,
        })  # fmt: skip
    return rows


def needed(rows: list[dict], limit: float) -> dict | None:
    """Return the row of the coarsest clock from which on less than ``limit`` points are lost."""
    found = None
    for row in sorted(rows, key=lambda row: -row["bits"]):
        if points_lost(row) >= limit:
            break
        found = row
    return found


def series(rows: list[dict]) -> dict[tuple, list[dict]]:
    """Return the rows by depth, policy and half_tick."""
    table = {}
    for row in rows:
        table.setdefault((row["depth"], row["policy"], row["half_tick"]), []).append(row)
    return table


STYLES = {  # policy, half_tick: name, colour, line
    ("calibrated", False): ("threshold at ticks", "0.5", ":"),
    ("calibrated", True): ("threshold half a tick low", "0.5", "-"),
    ("0.99", True): ("and 99 % windows", RELU_COLOUR, "-"),
    ("all layers", True): ("and the best quantile", SNN_COLOUR, "--"),
    ("each layer", True): ("and each layer's own", SNN_COLOUR, "-o"),
}  # fmt: skip


def draw_resolution(results: dict) -> Figure:
    """Draw points lost against the clock's bits: one panel a depth, one line a window policy."""
    table = series(results["rows"])
    depths = sorted({depth for depth, _, _ in table})
    figure, grid = plt.subplots(
        1, len(depths), figsize=(WIDTH, 2.7), sharex=True, sharey=True, squeeze=False
    )
    for axes, depth in zip(grid.flat, depths, strict=True):
        for (policy, half_tick), (name, colour, style) in STYLES.items():
            rows = table[depth, policy, half_tick]
            bits, lost = [row["bits"] for row in rows], [points_lost(row) for row in rows]
            axes.plot(bits, lost, style, color=colour, lw=1, ms=3, label=name)
        for limit in LIMITS:
            axes.axhline(limit, color="0.8", lw=0.6, zorder=0)
        axes.set_title(f"{depth} layers")
        axes.set_yscale("symlog", linthresh=0.1)
        axes.set_ylim(min(-0.12, 1.2 * min(map(points_lost, results["rows"]))), 99)
        axes.set_yticks(
            (-0.1, 0, 0.1, 0.5, 1, 10, 90), ("-0.1", "0", "0.1", "0.5", "1", "10", "90")
        )
        axes.set_xticks(range(1, 11, 3))
    grid[0, 0].set_ylabel("Accuracy lost (points, linear to 0.1)")
    grid[0, 0].legend(loc="upper right", fontsize=5.5)
    figure.supxlabel("Clock (bits: 2^bits ticks a window)", fontsize=7)
    return figure


@command_line.one_line_errors
def main(argv=None) -> None:
    """Measure (unless told to redraw), draw, print two tables."""
    args = parse(argv)
    script = "experiments/time_resolution.py"
    print(stages.report(args, script, NAME, measure, draw_resolution, tables))


def tables(results: dict) -> str:
    """Return what is printed: what every clock loses, and which clock is enough."""
    return (
        f"{results['dataset']}: points lost by bits\n\n{loss_table(results['rows'])}\n\n"
        "Coarsest clock that costs less than 0.1 and 0.5 points: bits; ticks; input windows\n\n"
        f"{need_table(results['rows'])}"
    )


def loss_table(rows: list[dict]) -> str:
    """Return the printed table of points lost, a line a depth, policy and threshold."""
    lines = []
    for (depth, policy, half_tick), found in series(rows).items():
        lost = {row["bits"]: two_places(points_lost(row)) for row in found}
        name = "half a tick low" if half_tick else "at ticks"
        lines.append([str(depth), policy, name, *(lost.get(bits, "-") for bits in BITS)])
    return text_table(("depth", "windows", "threshold", *map(str, BITS)), lines)


def need_table(rows: list[dict]) -> str:
    """Return the printed table of what it takes to lose little."""
    lines = []
    for (depth, policy, half_tick), found in series(rows).items():
        entries = []
        for limit in LIMITS:
            row = needed(found, limit)
            entries.append(
                f"{row['bits']}; {row['ticks']}; {row['latency']:.1f}" if row else "more"
            )
        name = "half a tick low" if half_tick else "at ticks"
        lines.append([str(depth), policy, name, *entries])
    return text_table(("depth", "windows", "threshold", *(f"< {v}" for v in LIMITS)), lines)


if __name__ == "__main__":
    main()
