"""The convolutional network that the scripts train, and what its training images go through."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ttfs.network import ReluNetwork

SHAPE = (1, 28, 28)  # of one image
DEPTH = 4  # weight layers
SETTINGS = {"epochs": 24, "batch_size": 128, "learning_rate": 2e-3}


def lenet() -> nn.Sequential:
    """Return the untrained network: 32C5-MP-64C5-MP-256-10, with normalisation and dropout."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 5, padding=2), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.5), nn.Linear(3136, 256), nn.BatchNorm1d(256), nn.ReLU()),
        *(nn.Dropout(0.5), nn.Linear(256, 10)),
    )


class AsModel:
    """The pass through a torch model, which trains with all that it has, and is then converted."""

    lengths = ()

    def __init__(self, model: nn.Module, shape: tuple[int, ...] = SHAPE) -> None:
        self.model = model.to(memory_format=torch.channels_last)  # a fifth faster
        self.shape, self.norms = shape, [model]

    @property
    def parameters(self) -> list[Tensor]:
        """What is trained: the model's numbers, in place of the network's own."""
        return list(self.model.parameters())

    def __call__(self, network: ReluNetwork, x: Tensor) -> tuple[Tensor, float]:
        """Return the model's logits in training mode, and nothing to add to the loss."""
        images = x.unflatten(1, self.shape).contiguous(memory_format=torch.channels_last)
        return self.model.train()(images), 0.0

    def delivered(self, network: ReluNetwork | None = None) -> ReluNetwork:
        """Return what the model has become, in the dtype of its numbers."""
        found = ReluNetwork.from_torch(self.model.eval(), self.shape)
        return found.changed(lambda number: number.to(self.parameters[0].dtype))

    def answer(self, network: ReluNetwork, lengths: list[float], x: Tensor) -> Tensor:
        """Return the logits."""
        return network.logits(x)

    def windows(self, network: ReluNetwork, lengths, *images: Tensor) -> list[list[float]]:
        """Return the one choice that there is: no windows."""
        return [[]]


def augmented(dataset: str) -> Callable[[Tensor], Tensor]:
    """Return what distorts a batch of training images, (n_batch, 784), each one otherwise.

    Digits are turned, moved, scaled and sheared a little; clothes are moved, and turned over.
    torch's own generator draws.
    """
    from torchvision.transforms import InterpolationMode, v2  # a second to import

    how = {"interpolation": InterpolationMode.BILINEAR}
    change = v2.RandomAffine(15, translate=(0.1, 0.1), scale=(0.85, 1.15), shear=10, **how)
    if dataset == "fashion":
        moved = v2.RandomAffine(0, translate=(0.07, 0.07), **how)
        change = v2.Compose([v2.RandomHorizontalFlip(), moved])

    def distort(x: Tensor) -> Tensor:
        return torch.stack([change(image) for image in x.unflatten(1, SHAPE)]).flatten(1)

    return distort
