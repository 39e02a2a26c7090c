"""Why does accuracy fall with depth? Switch each suspected cause on alone, then remove it.

Reads   models/mnist_{2,4,6,8}_layer.pkl          (from train_mnist_pytorch.py), MNIST
Writes  results/degradation_causes.json           a row a cause, variant, depth and training seed
        figures/degradation_causes.png            (.pdf and .svg with --formats)

    python experiments/degradation_causes.py               # 20 minutes on two cores, most of it
                                                           # training 20 networks
    python experiments/degradation_causes.py --quick
    python experiments/degradation_causes.py --redraw      # from the results alone

The networks of training seed 0 are the committed ones. Those of other seeds, and those trained on
standardised pixels, are trained here with the same settings. Every row pairs a variant with the
float64 ReLU network of the same weights on the same images.
"""

import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from experiments.degradation.summary import draw_causes, failing_depths, summary_table
from experiments.degradation.training import Job, trained
from experiments.degradation.variants import (
    case_of,
    every_cause,
    preprocessing,
    untrained_window_growth,
)
from ttfs import command_line, published, stages
from ttfs.command_line import Parser
from ttfs.datasets import load_dataset
from ttfs.training import SETTINGS, TARGETS

NAME = "degradation_causes"


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add_argument(
        "--seeds", type=command_line.seed_number, nargs="+", default=[0, 1, 2], metavar="SEED",
        help="training seeds; 0 is committed",
    )  # fmt: skip
    parser.add_experiment("seed 0, 300 test images, 1 epoch of training")
    return parser.parse_args(argv)


def measure(args, dataset: str) -> list[dict]:
    """Return every row: for each seed and depth, all variants of all causes."""
    training, _, test = load_dataset(dataset, args.data_dir)
    networks = {
        Job(depth, 0, False): network
        for depth, network in stages.load_networks(args.models, dataset, args.depths).items()
    }
    jobs = [Job(*key) for key in itertools.product(args.depths, args.seeds, (False, True))]
    missing = [job for job in jobs if job not in networks]
    settings = SETTINGS | {"target": TARGETS[dataset]} | ({"epochs": 1} if args.quick else {})
    fresh = trained(missing, dataset, args.data_dir, settings)
    networks |= dict(command_line.progress(fresh, "training", total=len(missing)))
    images, labels = (part[: 300 if args.quick else None] for part in test)
    images = images.double()
    statistics = published.pixel_statistics(training.images)
    rows = [
        {"cause": "published", "variant": "as published", "depth": depth, "points_lost": points}
        for depth, points in published.POINTS_LOST.items()
        if depth in args.depths and dataset == "mnist"
    ]  # fmt: skip
    for job in command_line.progress(jobs, "testing"):
        if job.standardised:
            found = preprocessing(networks[job], *statistics, training.images, images, labels)
        else:
            found = every_cause(case_of(networks[job], training.images, images, labels))
        rows += [{"depth": job.depth, "training_seed": job.seed, **row} for row in found]
    return rows + untrained_window_growth(
        training.images[:5000], images[: 100 if args.quick else 500]
    )


@command_line.one_line_errors
def main(argv=None) -> None:
    """Measure (unless told to redraw), draw, print the summary."""
    args = parse(argv)
    script = "experiments/degradation_causes.py"
    print(stages.report(args, script, NAME, measure, draw_causes, tables))


def tables(results: dict) -> str:
    """Return what is printed: points lost by cause, and where untrained networks fail."""
    return (
        f"{results['dataset']}: mean over training seeds (smallest to largest, if several)\n\n"
        f"{summary_table(results['rows'])}\n\n"
        "Untrained networks: the first depth at which over 1 % of labels differ from ReLU's\n\n"
        f"{failing_depths(results['rows'])}"
    )


if __name__ == "__main__":
    main()
