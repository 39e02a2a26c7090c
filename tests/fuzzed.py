"""Loads thousands of pickles whose opcodes were moved, repeated, lost, mixed or changed.

``python tests/fuzzed.py N SEED FOLDER``: prints how many loaded and how many were refused, and the
most memory that one took; ends at the first that does something else. Every pickle is a file in
FOLDER while it is read, so that one that kills the process is left there.
"""

import collections
import faulthandler
import itertools
import json
import pickle
import pickletools
import random
import sys
from pathlib import Path

import crafted
import torch
from judged import memory

from ttfs.storage import ModelFileError, load_network

GOOD = Path(__file__).parent / "model_files"
NUMBERS = [0, 1, 2, 3, 7, 10, 200, 255, 2**8, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1]
OPCODES = [bytes([opcode]) for opcode in range(256)]
GLOBALS = [crafted.named(place) for place in (crafted.RECONSTRUCT, crafted.FROM_BUFFER)]
GLOBALS += [
    crafted.named(f"numpy.{name}") for name in ("dtype", "ndarray", "core.multiarray.scalar")
]
GLOBALS += [
    crafted.named(name) for name in ("_codecs.encode", "builtins.eval", "numpy.ndarray.tofile")
]


def pieces(data: bytes) -> list[bytes]:
    """Return a pickle's opcodes, each with what follows it; what no opcode begins is left out."""
    starts = []
    try:
        starts += (place for _, _, place in pickletools.genops(data))
    except ValueError:
        pass
    return [data[a:b] for a, b in itertools.pairwise([*starts, len(data)])]


def mutated(rng: random.Random, streams: list[list[bytes]]) -> bytes:
    """Return one of the streams with up to six changes."""
    stream = list(rng.choice(streams))
    for _ in range(rng.choice([1, 1, 2, 3, 6])):
        a, b = sorted(rng.randrange(len(stream) + 1) for _ in range(2))
        b = min(b, a + rng.choice([1, 1, 2, 5, 20]))
        other = rng.choice(streams)
        c = rng.randrange(len(other))
        match rng.randrange(9):
            case 0:
                del stream[a:b]
            case 1:
                stream[a:a] = stream[a:b]
            case 2:
                stream[a:b] = reversed(stream[a:b])
            case 3:
                stream[a:b] = other[c : c + rng.choice([1, 3, 10, 40])]
            case 4:
                stream[a:a] = stream[a:b] * rng.choice([2, 10, 500])
            case 5:
                stream.insert(a, rng.choice(OPCODES) + rng.randbytes(rng.randrange(6)))
            case 6:
                stream.insert(a, rng.choice(GLOBALS + [pickle.REDUCE, pickle.BUILD, pickle.MARK]))
            case 7:
                key = rng.choice(NUMBERS)
                stream.insert(a, crafted.put(key) if rng.random() < 0.5 else crafted.get(key % 40))
            case 8 if a < len(stream):
                stream[a] = stream[a][:1] + rng.randbytes(len(stream[a]) - 1)
        stream = stream[:20_000] or [pickle.STOP]
    return b"".join(stream)


def streams() -> list[list[bytes]]:
    """Return the opcodes of good files of every protocol, and of small crafted ones."""
    files = [path.read_bytes() for path in sorted(GOOD.glob("*.pkl"))]
    bad = [made() for name, made in crafted.SMALL.items() if not name.startswith("archive")]
    return [stream for stream in map(pieces, files * 4 + bad) if stream]


def main(n: int, seed: int, folder: Path) -> None:
    faulthandler.enable()
    rng, counts, good = random.Random(seed), collections.Counter(), streams()
    before = memory()
    path = folder / "fuzzed.pkl"
    for _ in range(n):
        path.write_bytes(mutated(rng, good))
        try:
            network = load_network(path)
            network.logits(torch.zeros(1, network.architecture[0]))
            counts["loaded"] += 1
        except ModelFileError as error:
            assert len(str(error)) < 300 and str(error).isprintable(), error
            counts["refused"] += 1
    print(json.dumps(counts | {"bytes": memory() - before}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
