"""Reading the output before the last window has ended: early, and early with certainty."""

import torch
from torch import Tensor

from ttfs.conversion import SpikingNetwork


def output_potentials(snn: SpikingNetwork, spike_times: Tensor, t: float) -> Tensor:
    """Return the output neurons' potentials at time t, (n_batch, n_classes)::

        V_k(t) = b_k + sum of W_jk (t - t_j) over the neurons j that have fired by t

    At t = t_read these are the logits. ``spike_times`` are the last hidden layer's, (n_batch, n).
    """
    return snn.readout.drive((t - spike_times).clamp(min=0))


def promised_logits(snn: SpikingNetwork, spike_times: Tensor, t: float) -> Tensor:
    """Return what the spikes up to time t will have contributed at t_read, (n_batch, n_classes).

    A neuron that fired at t_j contributes W_jk (t_read - t_j), known from t_j on.
    """
    fired = spike_times <= t
    return snn.readout.drive(torch.where(fired, snn.t_read - spike_times, 0))


def is_certain(snn: SpikingNetwork, spike_times: Tensor, t: float) -> Tensor:
    """Return whether no spike that may still come can change the promised winner, (n_batch,) bool.

    A neuron j that has not fired by t carries at most t_read - t. Against the winner w, class k can
    still gain at most (t_read - t) times the sum of max(0, W_jk - W_jw) over those neurons; the
    winner is certain if its lead over every k is larger.
    """
    promised = promised_logits(snn, spike_times, t)
    weight = snn.readout.synapses.matrix().to(promised)
    waiting = (spike_times > t).to(promised)
    winner = promised.argmax(1)
    # (n, winner, k): what a unit of neuron j can gain k on the winner
    gain = (weight[:, None, :] - weight[:, :, None]).clamp(min=0)
    n_classes = weight.shape[1]
    gains = (waiting @ gain.flatten(1)).unflatten(1, (n_classes, n_classes))
    gains = gains[torch.arange(len(winner)), winner] * max(0.0, snn.t_read - t)
    lead = promised.gather(1, winner[:, None]) - promised
    lead.scatter_(1, winner[:, None], torch.inf)
    return (lead > gains).all(1)
