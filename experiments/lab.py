"""What experiments work with: networks, images to choose by, and a judge.

Training and validation images are handed out, to choose by. Test images are not: they go to the
simulator that is being judged, and its answers to what counts them (or, one image, to a drawing).
In one place alone they choose something: ``trained_as_published``.
"""

import json
import multiprocessing
import re
from collections.abc import Callable
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ttfs import InputError, tuning, windows
from ttfs.datasets import Split, load_dataset
from ttfs.lenet import DEPTH
from ttfs.metrics import Comparison, comparison
from ttfs.network import ReluNetwork
from ttfs.outcome import Simulation
from ttfs.stages.inputs import Model, load_models, load_networks, note_trainings
from ttfs.training import SETTINGS, TARGETS, Trained, architecture, initial_network, train

QUICK_IMAGES = (5000, 2000, 500)  # of the training, validation and test split


class Setting(NamedTuple):
    """What a lab is made from; a worker makes its own from the same."""

    dataset: str
    data_dir: str
    models: str
    depths: tuple[int, ...]
    quick: bool
    options: tuple[tuple[str, int | None], ...] = ()  # of one experiment alone
    device: str = "cpu"


class Lab:
    """The networks and images of a data set; what is worked out once is kept while a lab lives."""

    def __init__(self, setting: Setting) -> None:
        self.dataset, self.depths, self.quick = setting.dataset, setting.depths, setting.quick
        self.options, self.setting = dict(setting.options), setting
        self._trainings = {}  # by depth, of the networks that are asked for

    @cached_property
    def _splits(self) -> list[Split]:
        splits = load_dataset(self.dataset, self.setting.data_dir)
        if not self.quick:
            return splits
        return [Split(*(v[:n] for v in s)) for s, n in zip(splits, QUICK_IMAGES, strict=True)]

    @property
    def training(self) -> Split:
        """The training images and labels."""
        return self._splits[0]

    @property
    def validation(self) -> Split:
        """The validation images and labels."""
        return self._splits[1]

    @cache
    def network(self, depth: int) -> ReluNetwork:
        """Return the trained network of a depth.

        When all depths are there, those that did not come from one training log a warning; workers
        leave that to the process that started them, which loads every depth first.
        """
        model = load_models(self.setting.models, self.dataset, [depth])[depth]
        if depth in self.depths and multiprocessing.parent_process() is None:
            self._trainings[depth] = model.training
            if len(self._trainings) == len(set(self.depths)):
                note_trainings(self.setting.models, self._trainings)
        return model.network

    @cached_property
    def lenet(self) -> ReluNetwork:
        """The trained convolutional network."""
        return load_networks(self.setting.models, self.dataset, [DEPTH], "lenet")[DEPTH]

    @cached_property
    def lenet_candidates(self) -> dict[float, list[float]]:
        """Its window lengths by quantile of the training images' spikes."""
        return windows.quantiles(self.lenet, self.training.images, tuning.QUANTILES)

    @cached_property
    def lenet_automatic(self) -> list[float]:
        """Its windows of the quantile that ``ttfs.tuning.automatic_quantile`` chooses."""
        subject = self.lenet, self.lenet_candidates, self.validation.images
        return self.lenet_candidates[tuning.automatic_quantile(*subject)]

    def records(self) -> list[tuple[str, int, str]]:
        """Return the names, depths and kinds of the record networks of the data set."""
        found = []
        for path in sorted(self._records.glob("*/*.pkl")):
            if match := re.fullmatch(rf"{self.dataset}_(\d+)_layer.pkl", path.name):
                found.append((path.parent.name, int(match[1]), "mlp"))
            if path.name == f"{self.dataset}_lenet.pkl":
                found.append((path.parent.name, DEPTH, "lenet"))
        return found

    def record(self, name: str, depth: int, kind: str = "mlp") -> Model:
        """Return a record network, and what it was trained for."""
        model = load_models(self._records / name, self.dataset, [depth], kind)[depth]
        if model.windows is None:
            raise InputError(f"{self._records / name}: its {depth} layers were trained as ReLU")
        return model

    @property
    def _records(self) -> Path:
        return Path(self.setting.models) / "records"

    @cache
    def candidates(self, depth: int) -> dict[float, list[float]]:
        """Return window lengths by quantile of the training images' spikes."""
        return windows.quantiles(self.network(depth), self.training.images, tuning.QUANTILES)

    @cache
    def clock_lengths(self, depth: int, bits: int) -> list[float]:
        """Return the windows that ``ttfs.tuning.clock_quantiles`` chooses for a clock."""
        subject = self.network(depth), self.candidates(depth), self.validation.images, bits
        return tuning.own_lengths(self.candidates(depth), tuning.clock_quantiles(*subject))

    @cache
    def automatic_quantile(self, depth: int) -> float:
        """Return the quantile that ``ttfs.tuning.automatic_quantile`` chooses."""
        subject = self.network(depth), self.candidates(depth)
        return tuning.automatic_quantile(*subject, self.validation.images)

    @cache
    def windows(self, depth: int, policy: str) -> list[float]:
        """Return the window lengths of a policy, in the command line's words."""
        name, _, number = policy.partition(":")
        q = self.automatic_quantile(depth) if name == "automatic" else number
        if name in ("automatic", "quantile") and float(q) in tuning.QUANTILES:
            return self.candidates(depth)[float(q)]
        images = self.training.images, self.validation.images
        return tuning.window_policy(policy)(self.network(depth), *images)

    def trained(
        self, depth: int, seed: int, prepare: Callable[[Split], Split] = lambda split: split
    ) -> tuple[ReluNetwork, list[int]]:
        """Return a network trained as the committed ones are, and its validation history."""
        splits = prepare(self.training), prepare(self.validation)
        return self._trained(splits, depth, seed=seed, target=TARGETS[self.dataset])

    def trained_as_published(
        self, depth: int, seed: int, batch_size: int, prepare: Callable[[Split], Split]
    ) -> tuple[ReluNetwork, int]:
        """Return a network trained as the original write-up trained, and its number of epochs.

        It learns all training images, and stops after the first epoch with 98 % of the *test*
        images right: test images choose here, because they did there.
        """
        everything = Split(*map(torch.cat, zip(self.training, self.validation, strict=True)))
        splits, own = (prepare(everything), prepare(self._splits[2])), {"batch_size": batch_size}
        network, history = self._trained(splits, depth, seed=seed, target=98.0, **own)
        return network, len(history)

    def _trained(
        self, splits: tuple, depth: int, seed: int, **changes
    ) -> tuple[ReluNetwork, list[int]]:
        settings = SETTINGS | ({"epochs": 1} if self.quick else {}) | changes
        generator = torch.Generator().manual_seed(seed)
        start = self.untrained(depth, generator)
        found = train(start, *splits, **settings, generator=generator, device=self.setting.device)
        return found.network, found.history

    def untrained(self, depth: int, generator: torch.Generator) -> ReluNetwork:
        """Return the network of a depth before it learns anything."""
        return initial_network(architecture(depth, 400), generator)

    def retrained(
        self, start: ReluNetwork, through, generator: torch.Generator, epochs: int, **settings
    ) -> Trained:
        """Return a network trained from ``start`` on through a pass of ``ttfs.time_domain``."""
        settings |= {"through": through, "generator": generator, "device": self.setting.device}
        epochs = 1 if self.quick else epochs
        return train(start, self.training, self.validation, epochs=epochs, **settings)

    def validate(
        self, network: ReluNetwork, simulate: Callable[[Tensor], Simulation]
    ) -> Comparison:
        """Return what a simulator does with the validation images, beside the ReLU network."""
        images, labels = self.validation
        relu_logits = network.logits(images.double())
        return comparison(relu_logits, labels, images, simulate, self.setting.device)

    def judge(
        self,
        network: ReluNetwork,
        simulate: Callable[[Tensor], Simulation],
        dtype: torch.dtype = torch.float32,
        n_images: int | None = None,
    ) -> Comparison:
        """Return what a simulator does with the test images, or with the first so many.

        It is set beside the float64 ReLU network. The logits stay here.
        """
        images, labels = (part[:n_images] for part in self._splits[2])
        relu_logits = self._relu_logits(network)[:n_images]
        found = comparison(relu_logits, labels, images.to(dtype), simulate, self.setting.device)
        return found._replace(logits=None)

    @lru_cache(maxsize=4)  # experiments that train make many networks
    def _relu_logits(self, network: ReluNetwork) -> Tensor:
        return network.logits(self._splits[2].images.double())

    def tally(self, simulate: Callable, count: Callable) -> list[dict]:
        """Return ``count(simulate(test images), their labels)``: rows that are no comparison.

        They are plain numbers and words: no tensor leaves.
        """
        images, labels = self._splits[2]
        return json.loads(json.dumps(count(simulate(images.double()), labels)))

    def shown(self, image: int) -> Tensor:
        """Return the pixels of one test image, (1, 784) float64, to draw what a network does."""
        images = self._splits[2].images
        if not 0 <= image < len(images):
            which = "first test images" if self.quick else "test images"
            raise InputError(f"--image {image}: the {which} are 0 to {len(images) - 1}")
        return images[image : image + 1].double()
