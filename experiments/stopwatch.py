"""How long calls take and how much memory they need, and what they are set beside."""

import ctypes
import multiprocessing
import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.functional import to_tensor

from ttfs.datasets import Split

OWN_MEMORY = Path("/proc/self")  # of Linux
MMAP_THRESHOLD = -3  # the C library's number of this option
SIZE = 3000  # of the matrices whose product is timed


def medians(calls: dict[str, Callable[[], object]], repeats: int, device: str = "cpu") -> dict:
    """Return the median time of each call, s, by name; in every round each is called once.

    So a spell in which the machine is slow hits all of them. A round before is not counted.
    """
    times = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if device != "cpu":
                torch.accelerator.synchronize()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found[1:]) for name, found in times.items()}


def product_rate(device: str, repeats: int) -> float:
    """Return the floating-point operations per second in a product of two large matrices."""
    matrix = torch.ones(SIZE, SIZE, device=device)
    return 2 * SIZE**3 / medians({"product": lambda: matrix @ matrix}, repeats, device)["product"]


def peak_memory(prepare: Callable[..., Callable], *arguments) -> int | None:
    """Return the bytes that ``prepare(*arguments)()`` needs at most, in a process of its own.

    What ``prepare`` needs, and what the returned call needs for the first time, is not counted.
    None where the system does not tell: Linux does.
    """
    if not (OWN_MEMORY / "clear_refs").exists():
        return None
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as process:
        return process.submit(_peak, prepare, *arguments).result()


def _peak(prepare: Callable[..., Callable], *arguments) -> int:
    torch.set_num_threads(1)  # threads have memory of their own
    ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, 2**16)  # so that what was freed is given back
    call = prepare(*arguments)
    before = _memory("VmRSS")
    (OWN_MEMORY / "clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    call()
    return _memory("VmHWM") - before


def _memory(which: str) -> int:
    status = (OWN_MEMORY / "status").read_text(encoding="ascii")
    return 1024 * int(re.search(rf"{which}:\s+(\d+) kB", status)[1])


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
    """Return what trains a torch model for an epoch, in the way of tutorials: DataLoader, Adam."""
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
