"""Write the README's tables from the committed results, between their markers.

Reads   results/*.json, README.md
Writes  README.md

    python experiments/write_readme_tables.py              # a test checks that it was run
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ttfs import command_line
from ttfs.errors import InputError
from ttfs.metrics import percent, percent_interval
from ttfs.results import load_results
from ttfs.storage import written_atomically


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table with its numbers to the right."""
    lines = [header, ["---:"] * len(header), *rows]
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
    columns = [
        (dtype, engine) for dtype in ("float64", "float32") for engine in ("window", "events")
    ]
    columns += [(dtype, "window") for dtype in ("float16", "bfloat16")]
    cells = {
        (row["depth"], row["dtype"], row["engine"]):
        f"{row['relative_error']:.0e}, {row['agreements']:,}"
        for row in results["rows"] if row["output"]
    }  # fmt: skip
    depths = sorted({depth for depth, _, _ in cells})
    rows = [[f"{d}", *[cells.get((d, *column), "-") for column in columns]] for d in depths]
    names = {"window": "closed form", "events": "spike by spike"}
    return markdown(["depth", *[f"{dtype}, {names[e]}" for dtype, e in columns]], rows)


TABLES = {"training": training, "conversion": conversion, "exactness": exactness}


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
