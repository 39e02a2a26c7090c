"""One table, printed in the terminal and pasted into the pages."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ttfs.metrics import percent, percent_interval


@dataclass(frozen=True)
class Table:
    """A header and lines of cells; the first ``text_columns`` hold text, the others numbers."""

    header: Sequence[str]
    lines: Sequence[Sequence[str]]
    text_columns: int = 0
    title: str = ""  # in the terminal alone: a page has its own words

    @classmethod
    def of(
        cls, rows: Iterable[dict], columns: dict[str, str | Callable[[dict], str]], *options
    ) -> "Table":
        """Return a line per row of results; a column is a format, or a function of the row."""
        formats = [f.format_map if isinstance(f, str) else f for f in columns.values()]
        return cls(list(columns), [[cell(row) for cell in formats] for row in rows], *options)

    def __str__(self) -> str:
        """Return it aligned: every column as wide as its widest cell, numbers to the right."""
        columns = []
        for k, column in enumerate(zip(self.header, *self.lines, strict=True)):
            justify = str.ljust if k < self.text_columns else str.rjust
            columns.append([justify(cell, max(map(len, column))) for cell in column])
        lines = ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
        rule = "-" * max(map(len, lines))
        return "\n".join([*([self.title, ""] if self.title else []), lines[0], rule, *lines[1:]])

    def markdown(self) -> str:
        """Return it as Markdown."""
        rule = ["---" if k < self.text_columns else "---:" for k in range(len(self.header))]
        return "".join(f"| {' | '.join(line)} |\n" for line in (self.header, rule, *self.lines))


def two_places(points: float) -> str:
    """Return a number with two decimals, and no minus sign on zero."""
    return f"{round(points, 2) + 0.0:.2f}"


def accuracy_and_interval(row: dict) -> str:
    """Return a spiking network's accuracy with its 95 % interval, from ``paired_counts``."""
    low, high = percent_interval(row["snn_correct"], row["n_test"])
    return f"{percent(row['snn_correct'], row['n_test']):.2f} % ({low:.2f} to {high:.2f})"
