"""Model files of both formats with bytes changed, cut, moved, repeated and mixed, thousands."""

import random
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from ttfs.network import ReluNetwork
from ttfs.storage import ModelFileError, load_network, save_network

GOOD = Path(__file__).parent / "model_files"
MB = 2**20
SPECIAL = [b"\0", b"\xff", b"\x7f", b"\x80", b"\xff" * 4, b"\xff" * 8, b"\0" * 8, b"."]
SPECIAL += [b"cos\nsystem\n", b"(S'true'\ntR.", b"PK\1\2", b"PK\5\6", b"\x93NUMPY", b"|O", b"<f8"]


def mutated(rng: random.Random, files: list[bytes]) -> bytes:
    """Return one of the files with up to four changes of its bytes."""
    data = bytearray(rng.choice(files))
    for _ in range(rng.choice([1, 1, 2, 4])):
        a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        b = min(b, a + rng.choice([1, 4, 30, 300]))
        other = rng.choice(files)
        c = rng.randrange(len(other))
        match rng.randrange(7):
            case 0 if a < len(data):
                data[a] ^= 1 << rng.randrange(8)
            case 1:
                data[a:b] = rng.randbytes(b - a)
            case 2:
                data[a : a + 8] = rng.choice(SPECIAL)
            case 3:
                del data[a:b]
            case 4:
                data[a:a] = data[a:b] * rng.choice([1, 3, 50])
            case 5:
                data[a:b] = other[c : c + rng.choice([1, 8, 100])]
            case 6:
                del data[a:]
    return bytes(data)


def of_format(folder: Path, suffix: str) -> list[bytes]:
    """Return good files of a format: those of other NumPys, and what is saved here."""
    model = torch.nn.Sequential(
        *(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
        *(torch.nn.Flatten(), torch.nn.Linear(8, 2)),
    )
    rng = np.random.default_rng(3)
    arrays = [rng.normal(size=shape).astype("f4") for shape in [(5, 4), (4, 3), (4,), (3,)]]
    full = ReluNetwork(arrays[:2], arrays[2:])
    for name, network in (("full", full), ("pooled", ReluNetwork.from_torch(model, (1, 6, 6)))):
        save_network(folder / f"{name}{suffix}", network, accuracy=97.25, settings={"epochs": 3})
    written = [folder / f"full{suffix}", folder / f"pooled{suffix}", *sorted(GOOD.glob("*.pkl"))]
    return [path.read_bytes() for path in written if path.suffix == suffix]


WATCHED = ("exec", "compile", "import", "os.", "subprocess.", "pickle.find_class", "open")


@pytest.mark.parametrize("suffix", [".pkl", ".npz"])
def test_thousands_of_changed_files_are_networks_or_refused_and_run_nothing(
    tmp_path, monkeypatch, suffix
):
    good, rng, path = of_format(tmp_path, suffix), random.Random(16), tmp_path / f"fuzzed{suffix}"
    counts, most = {"network": 0, "refused": 0}, 0
    events, watching = set(), [False]

    def note(event: str, arguments: tuple) -> None:
        if watching[0] and event.startswith(WATCHED):
            events.add((event, str(arguments[0]) if event == "open" else ""))

    sys.addaudithook(note)  # stays for as long as the process, and then notes nothing
    for n in range(2000):
        data = good[n % len(good)] if n < 100 else mutated(rng, good)
        path.write_bytes(data)
        if n % 10 == 0:  # it takes ten times as long
            tracemalloc.start()
        watching[0] = n >= 100  # what is imported once is imported by then
        try:
            network = load_network(path)
            counts["network"] += 1
        except ModelFileError as error:
            assert len(str(error)) < 400 + len(str(path)) and str(error).isprintable()
            counts["refused"] += 1
        else:
            assert network.architecture[0] >= 1
        finally:
            watching[0] = False
        most = max(most, tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert counts["network"] > 100 and counts["refused"] > 1000  # else they show little
    assert most < 8 * MB
    assert events <= {("open", str(path))}
