"""Networks and independent neurons that the tests compare with."""

from fractions import Fraction

import numpy as np
import torch

from ttfs.network import ReluNetwork


def random_network(sizes, seed=0, scale=1.0):
    """Return a He-initialised network with biases of either sign."""
    generator = torch.Generator().manual_seed(seed)
    weights, biases = [], []
    for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True):
        weight = torch.randn(n_in, n_out, generator=generator, dtype=torch.float64)
        weights.append(scale * weight * (2 / n_in) ** 0.5)
        biases.append(0.3 * torch.randn(n_out, generator=generator, dtype=torch.float64))
    return ReluNetwork(weights, biases)


def random_pixels(n_batch, n_in, seed=0):
    """Return pixels in [0, 1], about half of them exactly 0 and a few exactly 1."""
    generator = torch.Generator().manual_seed(1000 + seed)
    pixels = torch.rand(n_batch, n_in, generator=generator, dtype=torch.float64)
    return ((pixels - 0.5).clamp(min=0) * 2.2).clamp(max=1)


def stepped_layer(t_in, layer, dt):
    """Return a layer's spike times from explicit Euler steps of the differential equation.

    dV_i/dt = slope_before_i + sum over fired inputs of W_ji until t_min, and 1 from t_min on; the
    threshold counts from t_min. Inputs that are silent for an alpha neuron are forced at t_min.
    One image: ``t_in`` is (n_in,), NumPy.
    """
    weight, threshold = layer.synapses.matrix().numpy(), layer.threshold.numpy()
    potential = np.zeros(weight.shape[1])
    t_out = np.full(weight.shape[1], np.inf)
    for t in np.arange(layer.t_start, layer.t_max, dt):
        if t < layer.t_min:
            potential += dt * (layer.slope_before.numpy() + (t_in <= t) @ weight)
            continue
        reached = (potential >= threshold) & np.isinf(t_out)
        t_out[reached] = t
        potential += dt
    return t_out


def rational_layer(t_in, weight, bias, t_start, t_min, t_max, alpha, guard=True):
    """Return one layer's spike times (None: silent) in exact arithmetic, spike by spike.

    Walks through the inputs in order of time, and finds the first crossing: of any segment without
    the guard, of the last one, from t_min on, with it. All arguments are Fractions; ``t_in`` holds
    None for silent inputs.
    """
    t_out = []
    for i in range(len(bias)):
        column = [row[i] for row in weight]
        before = Fraction(1) - sum(column) if alpha else Fraction(0)
        threshold = t_max - t_min - bias[i] + before * (t_min - t_start)
        now, potential, slope, early = t_start, Fraction(0), before, None
        events = sorted((t, j) for j, t in enumerate(t_in) if t is not None)
        for t, j in [*events, (t_min, None)]:
            end = potential + slope * (t - now)
            if early is None and max(potential, end) >= threshold and t > now:
                below = potential < threshold
                early = now + (threshold - potential) / slope if below else now
            now, potential = t, end
            slope += column[j] if j is not None else 0
        crossing = max(t_min, t_min + threshold - potential)
        if not guard and early is not None and early < t_min:
            crossing = early
        t_out.append(crossing if crossing < t_max else None)
    return t_out
