"""B1 neurons in Brian2, from equations alone: it knows thresholds, weights and windows."""

from types import ModuleType
from typing import NamedTuple

import numpy as np

from experiments.tools import needed
from ttfs.conversion import SpikingLayer, SpikingNetwork

HIDDEN = """
dv/dt = (int(t < t_min) * slope + int(t >= t_min)) / unit : 1
slope : 1
theta : 1 (constant)
silent : boolean
"""
FIRES = "silent and t >= t_min and v >= theta and t < t_max"
READOUT = """
dv/dt = slope / unit : 1
slope : 1
"""


class Witnessed(NamedTuple):
    """What Brian2 saw while one image passed through a network."""

    spike_times: list[np.ndarray]  # of each hidden layer, (n,), model time; inf for no spike
    logits: np.ndarray  # (n_classes,)


def witnessed(snn: SpikingNetwork, input_times: np.ndarray, step: float) -> Witnessed:
    """Return the spikes of a B1 network for the input spikes of one image.

    A unit of model time is a second. Potentials are integrated step by step (Euler's method, exact
    for slopes that are constant in a step), and a neuron fires at the first step at which its
    threshold is met.

    Parameters
    ----------
    snn : SpikingNetwork
    input_times : (n_in,) array, model time
        ``inf`` for an input that stays silent.
    step : float
        Length of a time step, model time.

    """
    brian = needed("brian2")
    brian.prefs.codegen.target = "numpy"  # needs no compiler
    dt = step * brian.second
    (fired,) = np.isfinite(input_times).nonzero()
    times = input_times[fired] * brian.second
    before = brian.SpikeGeneratorGroup(len(input_times), fired, times, dt=dt)
    objects, monitors = [before], []
    for layer in snn.layers:
        if layer is snn.readout:
            group = _readout(brian, layer, dt)
        else:
            group = _hidden(brian, layer, dt)
            monitors.append(brian.SpikeMonitor(group))
        synapses = brian.Synapses(before, group, "w : 1", on_pre="slope_post += w", dt=dt)
        synapses.connect()
        weights = layer.synapses.matrix().double().numpy()
        synapses.w = weights[synapses.i[:], synapses.j[:]]
        objects += [group, synapses]
        before = group
    brian.Network(*objects, *monitors).run(snn.t_read * brian.second)
    times = []
    for monitor in monitors:
        times.append(np.full(len(monitor.source), np.inf))
        times[-1][monitor.i[:]] = monitor.t[:] / brian.second
    return Witnessed(times, before.v[:] + snn.readout.synapses.bias().double().numpy())


def _hidden(brian: ModuleType, layer: SpikingLayer, dt):
    """Return the neurons of a layer that spikes."""
    ends = {"t_min": layer.t_min * brian.second, "t_max": layer.t_max * brian.second}
    own = {"method": "euler", "dt": dt, "namespace": ends | {"unit": brian.second}}
    size = len(layer.threshold)
    group = brian.NeuronGroup(size, HIDDEN, threshold=FIRES, reset="silent = False", **own)
    group.theta, group.silent = layer.threshold.numpy(), True
    return group


def _readout(brian: ModuleType, layer: SpikingLayer, dt):
    """Return the neurons of the layer whose potential is the answer."""
    own = {"method": "euler", "dt": dt, "namespace": {"unit": brian.second}}
    return brian.NeuronGroup(len(layer.threshold), READOUT, **own)
