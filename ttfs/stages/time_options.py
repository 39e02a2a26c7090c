"""The options of training in the time domain, and the pass that they ask for."""

from argparse import Namespace
from dataclasses import fields
from pathlib import Path

import torch

from ttfs.datasets import Split
from ttfs.hardware import TICKS, WEIGHT_BITS, Hardware
from ttfs.network import ReluNetwork
from ttfs.stages.options import positive
from ttfs.time_domain import AsRelu, TimeDomain

# All of them; a model's settings keep all but the first.
NAMES = ("start", "ticks", "weight_bits", "jitter", "loss", "mismatch", "sparsity", "quantile")
NAMES += ("pixel_noise", "normalise")


def add_time_options(parser) -> None:
    """Add the options, --from first."""
    option = parser.add_argument_group("training in the time domain").add_argument
    option("--from", dest="start", type=Path, metavar="PATH", help="folder of models, or a model")
    option("--ticks", type=int, choices=TICKS, metavar="N", help="of a clock, per window")
    option("--weight-bits", type=float, choices=WEIGHT_BITS, metavar="N", help="1.6: ternary")
    option("--jitter", type=positive(1), default=0.0, help="of spike times, deviation in windows")
    option("--loss", type=positive(1), default=0.0, help="probability that a spike is lost")
    option("--mismatch", type=positive(1), default=0.0, help="of thresholds, deviation in windows")
    option("--sparsity", type=positive(), default=0.0, help="weight of the penalty on activity")
    held = "of the spikes, held by windows that follow (None: all; or windows chosen for --ticks)"
    option("--quantile", type=positive(1), help=held)
    option(
        "--pixel-noise", type=positive(), default=0.0, help="added to inputs in training, deviation"
    )
    option("--normalise", action="store_true", help="batch normalisation while training")


def in_time(args: Namespace) -> bool:
    """Return whether an option asks for training in the time domain."""
    return any(getattr(args, key) for key in NAMES)


def time_settings(args: Namespace) -> dict:
    """Return what a model's settings keep of the options."""
    return {key: getattr(args, key) for key in NAMES[1:]}


def chosen_pass(
    args: Namespace,
    start: ReluNetwork,
    training: Split,
    validation: Split,
    generator: torch.Generator,
) -> AsRelu | TimeDomain:
    """Return the pass that the options ask for: as ReLU, if none of them is given.

    A trained network that meets a clock does so in the windows that suit best. They stay, unless a
    quantile is to be followed, or activations are normalised and have no size yet.
    """
    if not in_time(args):
        return AsRelu()
    hardware = Hardware(**{field.name: getattr(args, field.name) for field in fields(Hardware)})
    how = {"sparsity": args.sparsity, "pixel_noise": args.pixel_noise, "hardware": hardware}
    if args.ticks and args.start and not (args.quantile or args.normalise):
        images = training.images, validation.images
        return TimeDomain.on_clock(start, *images, generator, **how)
    q = args.quantile or 1.0
    return TimeDomain.starting(
        start, training.images, generator, q=q, normalise=args.normalise, **how
    )
