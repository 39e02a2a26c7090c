"""Write the README's tables from the committed results, between their markers.

Reads   results/*.json, README.md
Writes  README.md

    python experiments/write_readme_tables.py              # a test checks that it was run
"""

import re
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from experiments.degradation.summary import summary, switch_label
from ttfs import command_line
from ttfs.command_line import two_places
from ttfs.errors import InputError
from ttfs.metrics import percent, percent_interval, points_lost
from ttfs.results import load_results
from ttfs.storage import written_atomically


def markdown(header: list[str], rows: list[list[str]], text_columns: int = 0) -> str:
    """Return a Markdown table: its first columns hold text, the others numbers."""
    rule = ["---"] * text_columns + ["---:"] * (len(header) - text_columns)
    lines = [header, rule, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def conversion(results: dict) -> str:
    """Return the table of accuracies before and after conversion."""
    rows = []
    for row in results["rows"]:
        low, high = percent_interval(row["snn_correct"], row["n_test"])
        rows.append([
            f"{row['depth']}",
            f"{percent(row['relu_correct'], row['n_test']):.2f} %",
            f"{percent(row['snn_correct'], row['n_test']):.2f} % ({low:.2f} to {high:.2f})",
            f"{percent(row['relu_correct'] - row['snn_correct'], row['n_test']):.2f}",
            f"{row['agreements']:,} of {row['n_test']:,}",
            f"{percent(row['relu_correct_first_1000'], 1000):.1f} / "
            f"{percent(row['snn_correct_first_1000'], 1000):.1f} %",
            f"{row['spikes_per_hidden_neuron']:.2f}",
            f"{row['latency']:.1f}",
        ])  # fmt: skip
    header = ["depth", "ReLU", "spiking (95 % interval)", "drop (points)", "same label",
              "first 1,000: ReLU / spiking", "spikes a hidden neuron", "latency"]  # fmt: skip
    return markdown(header, rows)


def training(results: dict) -> str:
    """Return the table of trained networks."""
    return markdown(
        ["depth", "network", "epochs", "validation", "test", "seconds"],
        [
            [
                f"{row['depth']}", "-".join(map(str, row["architecture"])),
                f"{row['epochs']}",
                f"{percent(row['validation_correct'], row['n_validation']):.2f} %",
                f"{percent(row['test_correct'], row['n_test']):.2f} %", f"{row['seconds']:.0f}",
            ] for row in results["rows"]
        ],
    )  # fmt: skip


def exactness(results: dict) -> str:
    """Return the table of logit errors and equal labels, by depth, precision and engine."""
    columns = {  # heading: precision, engines
        "float64, closed form": ("float64", ["window"]),
        "float64, spike by spike": ("float64", ["events"]),
        "float32, closed form": ("float32", ["window"]),
        "float32, spike by spike": ("float32", ["events"]),
        "float16, worst of all": ("float16", ["window", "absolute", "events"]),
        "bfloat16, worst of all": ("bfloat16", ["window", "absolute", "events"]),
    }
    outputs = [row for row in results["rows"] if row["output"]]
    rows = []
    for depth in sorted({row["depth"] for row in outputs}):
        cells = [f"{depth}"]
        for dtype, engines in columns.values():
            found = [row for row in outputs if row["depth"] == depth and row["dtype"] == dtype
                     and row["engine"] in engines]  # fmt: skip
            error = max((row["relative_error"] for row in found), default=0)
            labels = f"{min(row['agreements'] for row in found):,}" if found else "-"
            cells.append(f"{error:.0e}, {labels}" if error else labels)
        rows.append(cells)
    return markdown(["depth", *columns], rows)


def causes(results: dict) -> str:
    """Return the table of points lost by cause and depth, means over training seeds."""
    depths = (2, 4, 6, 8)
    rows = [
        [switch_label(label), *(two_places(np.mean(lost[depth])) for depth in depths)]
        for label, lost in summary(results["rows"])
    ]
    return markdown(["points lost at depth", *map(str, depths)], rows, text_columns=1)


def adaptive_windows(results: dict) -> str:
    """Return the table of latencies, with calibrated and with automatic windows."""
    by_policy = {(row["depth"], row["policy"]): row for row in results["rows"]}
    rows = []
    for depth in sorted({depth for depth, _ in by_policy}):
        long, short = by_policy[depth, "calibrated"], by_policy[depth, "automatic"]
        rows.append([
            f"{depth}", f"{long['latency']:.1f}", f"{100 * short['parameter']:g} %",
            f"{short['latency']:.1f}", f"{long['latency'] / short['latency']:.1f}",
            two_places(points_lost(short)), f"{short['agreements']:,} of {short['n_test']:,}",
            f"{short['mcnemar_p']:.2g}", f"{by_policy[depth, 'normalised']['latency']:.0f}",
        ])  # fmt: skip
    header = ["depth", "latency, 1.5 x largest", "automatic quantile", "latency", "times shorter",
              "lost (points)", "same label", "McNemar p", "latency, normalised"]  # fmt: skip
    return markdown(header, rows)


def time_resolution(results: dict) -> str:
    """Return the table of points lost by the clock's bits, with and without the remedies."""
    bits = (1, 2, 3, 4, 5)
    policies = {
        ("calibrated", False): "1.5 x largest; at ticks",
        ("calibrated", True): "1.5 x largest; half a tick low",
        ("all layers", True): "best quantile for all; half a tick low",
        ("each layer", True): "each layer's own; half a tick low",
    }  # fmt: skip
    lost = {(row["depth"], row["policy"], row["half_tick"], row["bits"]): points_lost(row)
            for row in results["rows"]}  # fmt: skip
    rows = [
        [f"{depth}", name, *(two_places(lost[depth, *policy, b]) for b in bits)]
        for depth in sorted({key[0] for key in lost}) for policy, name in policies.items()
    ]  # fmt: skip
    header = ["depth", "windows; threshold", *(f"{2**b} ticks" for b in bits)]
    return markdown(header, rows, text_columns=2)


def robustness(results: dict) -> str:
    """Return the table of points lost by fault and window policy, means of the noise seeds."""
    chosen = [
        ("jitter of 1 % of the window", "jitter", 0.01), ("jitter of 10 %", "jitter", 0.1),
        ("1 % of the spikes lost", "loss", 0.01), ("10 % lost", "loss", 0.1),
        ("thresholds off by 1 % of the window", "mismatch", 0.01),
        ("thresholds off by 10 %", "mismatch", 0.1),
        ("weights of 4 bits, a scale a neuron", "weights of a neuron", 4),
        ("weights of 3 bits", "weights of a neuron", 3),
    ]  # fmt: skip
    depths, rows = (2, 4, 6, 8), []
    for name, fault, level in chosen:
        for policy, windows in (("calibrated", "1.5 x largest"), ("automatic", "automatic")):
            entries = []
            for depth in depths:
                found = [
                    points_lost(row) for row in results["rows"]
                    if (row["depth"], row["windows"], row["fault"], row["level"])
                    == (depth, policy, fault, level)
                ]  # fmt: skip
                entries.append(two_places(np.mean(found)) if found else "")
            if all(entries):
                rows.append([name, windows, *entries])
    return markdown(["points lost at depth", "windows", *map(str, depths)], rows, text_columns=2)


TABLES = {
    "training": training, "conversion": conversion, "exactness": exactness,
    "degradation_causes": causes, "adaptive_windows": adaptive_windows,
    "time_resolution": time_resolution, "robustness": robustness,
}  # fmt: skip


def with_tables(text: str, folder: Path) -> str:
    """Return the README's text with every table between markers made anew from the results."""
    for name, table in TABLES.items():
        results = load_results(folder / f"{name}.json", "make reproduce")
        block = re.compile(f"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not block.search(text):
            raise InputError(f"README.md has no place for the table `{name}`")
        body = table(results) + "\n"
        text = block.sub(lambda match, body=body: match[1] + body + match[2], text)
    return text


@command_line.one_line_errors
def main(argv=None) -> None:
    """Rewrite the README."""
    command_line.Parser(__doc__).parse_args(argv)
    readme = ROOT / "README.md"
    text = with_tables(readme.read_text(), ROOT / "results")
    with written_atomically(readme) as temporary:
        temporary.write_text(text)
    print(f"wrote {readme}")


if __name__ == "__main__":
    main()
