"""Exact conversion of ReLU networks to time-to-first-spike (TTFS) networks.

Each name of ``__all__`` is looked up in its module when it is used: ``import ttfs`` alone does not
load torch.

Conventions, the same in every file
-----------------------------------
* A layer is ``x @ weight + bias`` with ``weight`` of shape ``(n_in, n_out)``.
* *Depth* is the number of weight layers: hidden layers + output layer.
* Time is dimensionless: one unit is the membrane constant tau_c = 1. The input window is [0, 1].
* Layer n has the window ``[t_min, t_max)``, and windows are chained: t_min(n) = t_max(n-1).
* A neuron that fires at t has the *time left* u = t_max - t: the activation that it carries. A
  neuron that never reaches its threshold is *silent*: its spike time is ``inf``, and u = 0.
* The output layer does not fire. Its potential is read when the last hidden window ends.

References
----------
[1] A. Stanojevic, S. Wozniak, G. Bellec, G. Cherubini, A. Pantazi, W. Gerstner, "An exact mapping
    from ReLU networks to spiking neural networks", Neural Networks 168, 2023 (arXiv 2212.12522).
    The alpha neuron, and windows 1.5 times the largest training activation.
[2] A. Stanojevic, S. Wozniak, G. Bellec, G. Cherubini, A. Pantazi, W. Gerstner, "High-performance
    deep spiking neural networks with 0.3 spikes per neuron", Nature Communications 15:6793, 2024
    (arXiv 2306.08744). The B1 neuron.
[3] N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., SIAM, 2002. The bound
    on the rounding error of a scalar product (section 3.1).
[4] S. K. Esser, J. L. McKinstry, D. Bablani, R. Appuswamy, D. S. Modha, "Learned step size
    quantization", ICLR 2020 (arXiv 1902.08153). The scale of coarse weights, before it is learned.
"""

import importlib

__version__ = "0.1.0"

_MODULE_OF = {
    "load_network": "storage",
    "save_network": "storage",
    "ModelFileError": "storage",
    "check": "torch_model",
    "ReluNetwork": "network",
    "fixed": "windows",
    "calibrated": "windows",
    "quantile": "windows",
    "safe": "windows",
    "normalise_layers": "windows",
    "convert": "conversion",
    "SpikingNetwork": "conversion",
    "encode": "coding",
    "decode": "coding",
    "closed_form": "simulation",
    "clock_driven": "simulation",
    "event_driven": "events",
    "load_dataset": "datasets",
}
__all__ = ["InputError", *_MODULE_OF]


def __getattr__(name: str) -> object:
    """Return what one of the modules offers under this name."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class InputError(ValueError):
    """An argument or a file is unusable; the message says what, where and what to do.

    Scripts turn it into one line on standard error and exit status 2. Any other exception is a
    defect of this project and keeps its traceback.
    """
