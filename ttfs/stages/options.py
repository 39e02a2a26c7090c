"""The command line: options and what they may be, progress."""

import argparse
import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from ttfs import lenet
from ttfs.datasets import DATASETS
from ttfs.stages.ending import ROOT, last_line

DEPTHS = [2, 4, 6, 8]
DEEPEST = 1000  # weight layers that can be asked for
NETWORKS = ("mlp", "lenet")
DTYPES = {name: getattr(torch, name) for name in ("float64", "float32", "float16", "bfloat16")}
FORMATS = ("png", "pdf", "svg", "eps")
# Options that say where and how, not what: results files do not keep them.
NOT_SETTINGS = ("dataset", "network", "data_dir", "models", "results", "figures", "start")
NOT_SETTINGS += ("device", "formats", "redraw", "jobs", "cluster")
WITH_REDRAW = ("dataset", "network", "results", "figures", "formats", "redraw", "quick")


def whole(smallest: int, largest: int | None = None) -> Callable[[str], int]:
    """Return the argparse type of whole numbers from ``smallest`` on, up to ``largest``."""
    limits = f"{smallest} or more" if largest is None else f"{smallest} to {largest}"

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = smallest - 1
        if value < smallest or (largest is not None and value > largest):
            raise argparse.ArgumentTypeError(f"{text[:50]!r} is not a whole number, {limits}")
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
            raise argparse.ArgumentTypeError(f"{text[:50]!r} is not a number above 0{limits}")
        return value

    return number


def _device(text: str) -> str:
    """Return the name of a torch device that works here; for argparse."""
    if text == "auto":
        return text
    try:
        torch.ones(1, device=text).item()
    except Exception as error:  # whatever a device raises that is not there
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise argparse.ArgumentTypeError(f"{text!r} is unusable; try cpu ({reason})") from error
    return text


COMMON = {  # options that several scripts have
    "dataset": {"choices": DATASETS, "default": "auto"}
    | {"help": "auto: MNIST if on disk or downloadable, else scikit-learn's digits"},
    "data-dir": {"type": Path, "default": os.environ.get("TTFS_DATA_DIR") or ROOT / "data"}
    | {"help": "folder with MNIST/raw/*-ubyte; TTFS_DATA_DIR changes the default"},
    "depths": {"type": whole(1, DEEPEST), "nargs": "+", "default": list(DEPTHS), "metavar": "N"}
    | {"help": "depths: number of weight layers, hidden + output"},
    "network": {"choices": NETWORKS, "default": "mlp"}
    | {"help": "mlp: fully connected, of --depths; lenet: convolutional, of 4 layers"},
    "samples": {"type": whole(1), "metavar": "N"}
    | {"help": "test on N images drawn with --seed (None: all, in order)"},
    "seed": {"type": whole(0, 2**63 - 1), "default": 0, "help": "random seed"},
    "device": {"type": _device, "default": "auto", "metavar": "NAME"}
    | {"help": "where it is computed: cpu, cuda, mps; auto: cuda if there is one, else cpu"},
    "formats": {"choices": FORMATS, "nargs": "+", "default": ["png"], "help": "of the figure"},
    "redraw": {"action": "store_true"}
    | {"help": "draw from the results file alone: needs neither images nor models"},
}


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keep the description as written, and show defaults."""


class Parser(argparse.ArgumentParser):
    """A parser whose help is the script's docstring and whose errors take one line.

    What is made with other settings than the committed ones never lands beside them: by default it
    goes to the folder ``look`` in ``models``, ``results`` and ``figures``, which git ignores.
    """

    def __init__(self, docstring: str, **options) -> None:
        super().__init__(description=docstring, formatter_class=_Formatter, **options)
        self.outputs = []

    def add(self, *names: str, **changes) -> None:
        """Add options of COMMON, with changes to how they are described."""
        for name in names:
            self.add_argument(f"--{name}", **(COMMON[name] | changes))

    def add_inputs(self, *names: str) -> None:
        """Add ``--name DIR``, where files of that name are; by default beside the scripts."""
        for name in names:
            what = {"default": ROOT / name, "help": f"folder with {name}"}
            self.add_argument(f"--{name}", type=Path, metavar="DIR", **what)

    def add_outputs(self, *names: str) -> None:
        """Add ``--name DIR``, where files of that name go."""
        for name in names:
            what = (
                f"where {name} go (None: {name}/, or {name}/look/ if a setting is not the default)"
            )
            self.add_argument(f"--{name}", type=Path, metavar="DIR", help=what)
        self.outputs += names

    def error(self, message: str) -> None:
        """Print the fault on one line and exit with status 2."""
        self.exit(2, last_line(f"error: {message}"))

    def parse_args(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        """Return the arguments: listed values once each, and the folders that they lead to."""
        args = super().parse_args(argv)
        for option, value in vars(args).items():
            if isinstance(value, list) and len(set(value)) < len(value):
                setattr(args, option, list(dict.fromkeys(value)))
        changed = [o for o, value in vars(args).items() if self._differs(o, value)]
        if getattr(args, "network", "mlp") == "lenet" and "depths" in args:
            if "depths" in changed:
                self.error(f"--depths are of fully connected networks: lenet has {lenet.DEPTH}")
            args.depths = [lenet.DEPTH]
        if getattr(args, "redraw", False):
            useless = ", ".join(f"--{o.replace('_', '-')}" for o in changed if o not in WITH_REDRAW)
            if useless:
                self.error(f"--redraw draws what was measured: {useless} would have no effect")
        inputs = {"models", "results", "start"} - set(self.outputs)
        apart = inputs & set(changed) or settings(args).keys() & set(changed)
        for name in self.outputs:
            if getattr(args, name) is None:
                setattr(args, name, ROOT / name / ("look" if apart else ""))
        return args

    def _differs(self, option: str, value) -> bool:
        """Return whether an option has another value than its default, however a path is spelt."""
        default = self.get_default(option)
        if isinstance(value, Path) and default is not None:
            return value.resolve() != Path(default).resolve()
        return value != default


def settings(args: argparse.Namespace) -> dict:
    """Return the arguments that results depend on, for a results file."""
    return {option: value for option, value in vars(args).items() if option not in NOT_SETTINGS}


def device_of(args: argparse.Namespace) -> str:
    """Return the device that the arguments ask for."""
    if args.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return args.device


def progress(iterable: Iterable | None, description: str, **options) -> tqdm:
    """Return the iterable with a progress bar on standard error, if that is a terminal."""
    return tqdm(iterable, desc=description, disable=None, leave=False, **options)
