"""Training as tutorials do it: images one by one from a DataLoader, ``ToTensor``, and Adam."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.functional import to_tensor

from ttfs.datasets import Split


class Pictures(Dataset):
    """Images and labels one by one, as torchvision's data sets give them with ``ToTensor``."""

    def __init__(self, split: Split) -> None:
        pixels = (split.images * 255).round().to(torch.uint8).numpy()
        self.pixels, self.labels = pixels.reshape(-1, 28, 28), split.labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return to_tensor(Image.fromarray(self.pixels[place])), int(self.labels[place])


def usual_epoch(
    model: nn.Module, split: Split, batch_size: int, learning_rate: float, workers: int, device: str
) -> Callable[[], None]:
    """Return what trains a torch model for an epoch."""
    model = nn.Sequential(nn.Flatten(), *model).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    loading = {"num_workers": workers, "persistent_workers": workers > 0}
    batches = DataLoader(Pictures(split), batch_size, shuffle=True, **loading)

    def epoch() -> None:
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(x.to(device)), y.to(device)).backward()
            optimizer.step()

    return epoch
