"""What experiments work with: networks, images to choose by, and a judge.

Training and validation images are handed out. Test images go to nothing but the simulator that is
being judged, so that no experiment can choose by them.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ttfs import InputError, tuning, windows
from ttfs.datasets import Split, load_dataset
from ttfs.metrics import Comparison, comparison
from ttfs.network import ReluNetwork
from ttfs.outcome import Simulation
from ttfs.stages.inputs import load_networks
from ttfs.training import SETTINGS, TARGETS, architecture, train

QUICK_IMAGES = {"training": 5000, "validation": 2000, "test": 500}


class Setting(NamedTuple):
    """What a lab is made from; a worker makes its own from the same."""

    dataset: str
    data_dir: str
    models: str
    depths: tuple[int, ...]
    quick: bool
    options: tuple[tuple[str, int | None], ...] = ()  # of one experiment alone


class Lab:
    """The networks and images of a data set; what is worked out once is kept."""

    def __init__(self, setting: Setting) -> None:
        self.dataset, self.depths, self.quick = setting.dataset, setting.depths, setting.quick
        self.options = dict(setting.options)
        self._setting = setting
        self._splits = functools.cache(self._load_splits)
        self.network = functools.cache(self._network)
        self.candidates = functools.cache(self._candidates)
        self.automatic_quantile = functools.cache(self._automatic_quantile)
        self.windows = functools.cache(self._windows)
        self._relu_logits = functools.cache(self._network_logits)

    def training(self) -> Split:
        """Return the training images and labels."""
        return self._splits()["training"]

    def validation(self) -> Split:
        """Return the validation images and labels."""
        return self._splits()["validation"]

    def judge(
        self,
        network: ReluNetwork,
        simulate: Callable[[Tensor], Simulation],
        dtype: torch.dtype = torch.float32,
        n_images: int | None = None,
    ) -> Comparison:
        """Return what a simulator does with the test images, beside the float64 ReLU network.

        With ``n_images``, with the first so many.
        """
        images, labels = (part[:n_images] for part in self._splits()["test"])
        relu_logits = self._relu_logits(network)[:n_images]
        return comparison(relu_logits, labels, images.to(dtype), simulate)

    def tally(self, simulate: Callable, count: Callable) -> list[dict]:
        """Return ``count(simulate(test images), their labels)``: rows that are no comparison."""
        images, labels = self._splits()["test"]
        return count(simulate(images.double()), labels)

    def validate(
        self, network: ReluNetwork, simulate: Callable[[Tensor], Simulation]
    ) -> Comparison:
        """Return what a simulator does with the validation images, beside the ReLU network."""
        images, labels = self.validation()
        return comparison(network.logits(images.double()), labels, images, simulate)

    def shown(self, image: int) -> Tensor:
        """Return the pixels of one test image, (1, 784) float64, to draw what a network does."""
        images = self._splits()["test"].images
        if not 0 <= image < len(images):
            raise InputError(f"--image {image}: the test images are 0 to {len(images) - 1}")
        return images[image : image + 1].double()

    def trained(
        self, depth: int, seed: int, standardise: Callable[[Split], Split] = lambda split: split
    ) -> tuple[ReluNetwork, list[int]]:
        """Return a network trained as the committed ones are, and its validation history."""
        chosen = SETTINGS | {"target": TARGETS[self.dataset], "seed": seed}
        if self.quick:
            chosen["epochs"] = 1
        splits = standardise(self.training()), standardise(self.validation())
        return train(*splits, architecture(depth, 400), **chosen)

    def _load_splits(self) -> dict[str, Split]:
        splits = load_dataset(self.dataset, self._setting.data_dir)
        named = dict(zip(QUICK_IMAGES, splits, strict=True))
        if not self.quick:
            return named
        return {name: Split(*(v[: QUICK_IMAGES[name]] for v in s)) for name, s in named.items()}

    def _network(self, depth: int) -> ReluNetwork:
        """Return the trained network of a depth."""
        return load_networks(self._setting.models, self.dataset, [depth])[depth]

    def _candidates(self, depth: int) -> dict[float, list[float]]:
        """Return window lengths by quantile of the training images' spikes."""
        return windows.quantiles(self.network(depth), self.training().images, tuning.QUANTILES)

    def _automatic_quantile(self, depth: int) -> float:
        """Return the quantile that ``ttfs.tuning.automatic`` chooses."""
        images = self.validation().images
        return tuning.automatic(self.network(depth), self.candidates(depth), images)

    def _windows(self, depth: int, policy: str) -> list[float]:
        """Return the window lengths of a policy, in the command line's words."""
        name, _, number = policy.partition(":")
        if name == "automatic":
            return self.candidates(depth)[self.automatic_quantile(depth)]
        if name == "quantile" and float(number) in tuning.QUANTILES:
            return self.candidates(depth)[float(number)]
        images = self.training().images
        return tuning.window_policy(policy)(self.network(depth), images, self.validation().images)

    def _network_logits(self, network: ReluNetwork) -> Tensor:
        return network.logits(self._splits()["test"].images.double())
