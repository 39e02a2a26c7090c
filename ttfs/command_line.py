"""What the scripts share on the command line: options, errors, progress, tables."""

import argparse
import functools
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from ttfs.datasets import DATASETS
from ttfs.errors import InputError
from ttfs.figures import FORMATS

ROOT = Path(__file__).resolve().parent.parent
DEPTHS = [2, 4, 6, 8]
QUICK = {  # so that a short look never replaces what a whole run found
    "depths": [2, 4],
    "seeds": [0],
    "results": ROOT / "results" / "quick",
    "figures": ROOT / "figures" / "quick",
}
DTYPES = {name: getattr(torch, name) for name in ("float64", "float32", "float16", "bfloat16")}


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keep the description as written, and show defaults."""


class Parser(argparse.ArgumentParser):
    """A parser whose help is the script's docstring and whose errors take one line."""

    def __init__(self, docstring: str) -> None:
        super().__init__(description=docstring, formatter_class=_Formatter)

    def error(self, message: str) -> None:
        """Print the fault on one line and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {message}\n")

    def parse_args(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        """Return the arguments: listed values once each, and what ``--quick`` leaves open."""
        args = super().parse_args(argv)
        if getattr(args, "quick", False):
            for option, value in QUICK.items():
                if hasattr(args, option) and getattr(args, option) is self.get_default(option):
                    setattr(args, option, value)
        for option, value in vars(args).items():
            if isinstance(value, list):
                setattr(args, option, list(dict.fromkeys(value)))
        return args

    def add_data(self) -> None:
        """Add the options that choose the data set and where it lies."""
        self.add_argument(
            "--dataset", choices=DATASETS, default="auto",
            help="auto: MNIST if on disk or downloadable, else scikit-learn's digits",
        )  # fmt: skip
        self.add_argument(
            "--data-dir", type=Path, default=os.environ.get("TTFS_DATA_DIR", ROOT / "data"),
            metavar="DIR", help="folder with MNIST/raw/*-ubyte; TTFS_DATA_DIR changes the default",
        )  # fmt: skip

    def add_depths(self, smallest: int = 1) -> None:
        """Add the option that lists depths; from 2 on there is a hidden layer that can fire."""
        self.add_argument(
            "--depths", type=whole(smallest), nargs="+", default=list(DEPTHS), metavar="N",
            help="depths: number of weight layers, hidden + output",
        )  # fmt: skip

    def add_samples(self) -> None:
        """Add the options that test on fewer images."""
        self.add_argument(
            "--samples", type=whole(1), metavar="N",
            help="test on N images drawn with --seed (None: all, in order)",
        )  # fmt: skip
        self.add_seed("random seed")

    def add_seed(self, what: str) -> None:
        """Add ``--seed``; ``what`` says what it draws."""
        self.add_argument("--seed", type=seed_number, default=0, help=what)

    def add_figure(self) -> None:
        """Add the options of a script that draws from a results file it may have to make."""
        self.add_argument(
            "--formats", choices=FORMATS, nargs="+", default=["png"], help="of the figure"
        )
        self.add_folder("results", "where results files are")
        self.add_folder("figures", "where figures go")

    def add_redraw(self) -> None:
        """Add the options of a script that measures on models, then draws."""
        self.add_argument(
            "--redraw", action="store_true",
            help="draw from the results file alone: needs neither images nor models",
        )  # fmt: skip
        self.add_folder("models", "where the trained networks are")
        self.add_figure()

    def add_experiment(self, quick: str = "500 test and 5,000 training images") -> None:
        """Add the options of an experiment on the networks of all depths."""
        self.add_data()
        self.add_depths(smallest=2)
        self.add_argument(
            "--quick", action="store_true",
            help=f"a short look, written to quick/ in the folders of results and figures: depths "
            f"2 and 4, {quick}",
        )  # fmt: skip
        self.add_redraw()

    def add_folder(self, name: str, what: str) -> None:
        """Add ``--name DIR``, by default the folder of that name beside the scripts."""
        self.add_argument(f"--{name}", type=Path, default=ROOT / name, metavar="DIR", help=what)


def whole(smallest: int, largest: int | None = None) -> Callable[[str], int]:
    """Return the argparse type of whole numbers from ``smallest`` on, up to ``largest``."""
    limits = f"{smallest} or more" if largest is None else f"{smallest} to {largest}"

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = smallest - 1
        if value < smallest or (largest is not None and value > largest):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, {limits}")
        return value

    return number


def positive(largest: float = math.inf) -> Callable[[str], float]:
    """Return the argparse type of positive finite numbers, up to ``largest``."""
    limits = "" if largest == math.inf else f" and at most {largest:g}"

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (0 < value <= largest and value < math.inf):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0{limits}")
        return value

    return number


seed_number = whole(0, 2**63 - 1)  # what NumPy and torch take as a seed


def usable_device(text: str) -> str:
    """Return a torch device name after trying it; for argparse."""
    try:
        torch.ones(1, device=text).item()
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(f"{text!r} is unusable; try cpu ({reason})") from error
    return text


def one_line_errors(main: Callable) -> Callable:
    """Make unusable input end a script with one line on standard error and exit status 2."""

    @functools.wraps(main)
    def wrapped(argv: Sequence[str] | None = None) -> int | None:
        try:
            return main(argv)
        except InputError as error:
            message = str(error)
        except OSError as error:
            place = error.filename2 or error.filename or "input or output"
            message = f"{place}: {error.strerror or error}"
        sys.stderr.write(f"{Path(sys.argv[0]).name}: error: {' '.join(message.split())}\n")
        raise SystemExit(2)

    return wrapped


def progress(iterable: Iterable, description: str, **options) -> tqdm:
    """Return the iterable with a progress bar on standard error, if that is a terminal."""
    return tqdm(iterable, desc=description, disable=None, leave=False, **options)


def text_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return an aligned table: every column as wide as its widest entry, numbers to the right."""
    table = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[k]) for row in table) for k in range(len(header))]
    lines = ["  ".join(e.rjust(w) for e, w in zip(row, widths, strict=True)) for row in table]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def two_places(points: float) -> str:
    """Return a number with two decimals, and no minus sign on zero."""
    return f"{round(points, 2) + 0.0:.2f}"
