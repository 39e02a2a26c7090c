"""Train many networks side by side: one process a network, one thread a process.

Small batches leave a second thread little to do, so two networks on two cores take about as long as
one. A network depends on its seed and settings alone, not on how many are trained at once.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import NamedTuple

import torch

from ttfs import published
from ttfs.datasets import load_dataset
from ttfs.network import ReluNetwork
from ttfs.training import architecture, train

_data: dict[bool, tuple] = {}  # a worker's training and validation split, standardised or not


class Job(NamedTuple):
    """A network to train."""

    depth: int
    seed: int
    standardised: bool


def trained(jobs: list[Job], dataset: str, data_dir, settings: dict) -> Iterator[tuple]:
    """Yield (job, network) as each is done; the deepest are begun first.

    ``settings`` are the keyword arguments of ``ttfs.training.train`` but for the seed.
    """
    workers = min(len(jobs), len(os.sched_getaffinity(0)))
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start, (dataset, data_dir)) as pool:
        deepest_first = sorted(jobs, key=lambda job: -job.depth)
        futures = {pool.submit(_train, job, settings): job for job in deepest_first}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _start(dataset: str, data_dir) -> None:
    """Load a worker's data."""
    torch.set_num_threads(1)
    training, validation, _ = load_dataset(dataset, data_dir)
    mean, deviation = published.pixel_statistics(training.images)
    _data[False] = training, validation
    _data[True] = tuple(
        published.standardised(split, mean, deviation) for split in (training, validation)
    )


def _train(job: Job, settings: dict) -> ReluNetwork:
    """Return the network of a job, in a worker."""
    sizes = architecture(job.depth, 400)
    return train(*_data[job.standardised], sizes, **settings, seed=job.seed)[0]
