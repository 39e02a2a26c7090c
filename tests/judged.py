"""Reads model files, each in a process of its own, and prints what came of it as a line of JSON.

``python tests/judged.py FILE ...``: the outcome (a network, a refusal, another exception, a
signal), the message, the processor's seconds and the bytes of memory beyond those at the start.
"""

import json
import os
import resource
import signal
import sys
import time

import torch

from ttfs.storage import ModelFileError, load_network

SECONDS = 10  # after which a file is given up


def memory() -> int:
    """Return the most bytes of memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def outcome(path: str) -> dict:
    try:
        network = load_network(path)
        network.logits(torch.zeros(1, network.architecture[0]))
    except ModelFileError as error:
        return {"outcome": "refused", "message": str(error)}
    except Exception as error:  # its type is the outcome, which no test expects
        return {"outcome": type(error).__name__, "message": str(error)[:300]}
    return {"outcome": "network", "message": ""}


def judged(path: str) -> dict:
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        before, started = memory(), time.process_time()
        found = outcome(path)
        found |= {"seconds": time.process_time() - started, "bytes": memory() - before}
        os.write(sender, json.dumps(found).encode())
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as answer:
        found = answer.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return {"outcome": signal.Signals(os.WTERMSIG(status)).name, "message": ""}
    return json.loads(found)


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(json.dumps({"path": path, "size": os.path.getsize(path)} | judged(path)), flush=True)
