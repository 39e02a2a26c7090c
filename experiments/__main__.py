"""Ask one question of the converted networks.

    python experiments                          # the questions, and the time that each takes
    python experiments robustness
    python experiments robustness --quick       # a short look, into results/look/ and figures/look/
    python experiments robustness --redraw      # the figure, from the results alone

Works from any directory. A run that was killed goes on where it stopped.
"""

import ast
import importlib
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ttfs.stages.ending import one_line_errors  # isort: split

import torch

from experiments.lab import Setting
from experiments.running import forget, rows_of, takes_all_threads
from ttfs.datasets import choose_dataset
from ttfs.stages.options import DEEPEST, NOT_SETTINGS, Parser, device_of, whole
from ttfs.stages.report import report
from ttfs.storage import check_writable, output_folder
from ttfs.writing import alone


def questions() -> dict[str, str]:
    """Return what each experiment asks, with its time on two cores, by name.

    An experiment is a file here that defines ``cases``; its question is its docstring's first line.
    """
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "cases" for node in tree.body):
            found[path.stem] = ast.get_docstring(tree).splitlines()[0]
    return found


def parse(name: str, argv):
    """Return the experiment's module and the command line's arguments."""
    module = importlib.import_module(f"experiments.{name}")
    parser = Parser(module.__doc__, prog=f"experiments {name}")
    parser.add("dataset", "data-dir", "redraw", "formats", "device")
    parser.set_defaults(network="mlp")
    if hasattr(module, "add_options"):
        module.add_options(parser)
    else:
        parser.add("depths", type=whole(2, DEEPEST))
    option = parser.add_argument
    option("--quick", action="store_true", help="a short look: fewer depths, cases and images")
    parser.set_defaults(jobs=1, cluster=None)
    if not takes_all_threads(module):
        option = parser.add_mutually_exclusive_group().add_argument
        jobs = {"type": whole(1, 256), "default": min(8, os.cpu_count() or 1)}
        option("--jobs", **jobs, help="processes that share the cases, one thread each")
        option(
            "--cluster", metavar="ADDRESS", help="a Dask scheduler whose workers share the cases"
        )
    parser.add_inputs("models")
    parser.add_outputs("results", "figures")
    args = parser.parse_args(argv)
    if args.quick and "depths" in args and args.depths is parser.get_default("depths"):
        args.depths = [2, 4]
    return module, args


def setting_of(args, dataset: str) -> Setting:
    """Return what the experiment's lab is made from."""
    own = {
        key: value
        for key, value in vars(args).items()
        if key not in (*NOT_SETTINGS, "quick", "depths")
    }
    depths = tuple(args.depths if "depths" in args else [args.depth] if "depth" in args else [])
    folders = (str(Path(folder).resolve()) for folder in (args.data_dir, args.models))
    return Setting(dataset, *folders, depths, args.quick, tuple(own.items()), device_of(args))


@one_line_errors
def main(argv=None) -> None:
    """List the questions, or ask one."""
    argv = sys.argv[1:] if argv is None else list(argv)
    known = questions()
    if not argv or argv[0] not in known:
        parser = Parser(__doc__, prog="experiments")
        parser.add_argument("name", nargs="?", choices=known, help="an experiment")
        parser.parse_args(argv[:1])
        width = max(map(len, known))
        print("\n".join(f"{name.ljust(width)}  {question}" for name, question in known.items()))
        return
    name = argv[0]
    module, args = parse(name, argv[1:])
    if not args.redraw:
        args.dataset = choose_dataset(args.dataset, args.data_dir)
        if not takes_all_threads(module):
            torch.set_num_threads(1)  # the results say so, and so it is for every case
    path = output_folder(args.results, args.dataset) / f"{name}.json"
    check_writable(path.parent)

    def measure(dataset: str) -> list[dict]:
        return rows_of(name, setting_of(args, dataset), path, args.jobs, args.cluster)

    shown = module.COLUMNS, measure, module.table, module.draw, getattr(module, "animate", None)
    with alone(path):
        print(report(args, f"experiments {name}", name, *shown))
        if not args.redraw:
            forget(name, path)


if __name__ == "__main__":
    main()
