"""The six scripts, by short names, and what each reads and writes."""

import convert_all_models
import create_plot
import numerical_exactness_test
import spike_distribution_plot
import time_axis_schematic
import train_mnist_pytorch

TRAIN, CONVERT, EXACTNESS = train_mnist_pytorch, convert_all_models, numerical_exactness_test
PLOT, SPIKES, AXIS = create_plot, spike_distribution_plot, time_axis_schematic
FOLDERS = {
    TRAIN: ["models", "results"],
    CONVERT: ["models", "results"],
    EXACTNESS: ["models", "results"],
    PLOT: ["results", "figures"],
    SPIKES: ["models", "results", "figures"],
    AXIS: ["models", "results", "figures"],
}
READ_MODELS = [CONVERT, EXACTNESS, SPIKES, AXIS]
RESULTS = {PLOT: "conversion", SPIKES: "spike_time_distributions", AXIS: "time_axis_schematic"}


def name_of(value):
    """Return what a script is called in a test's name."""
    return getattr(value, "__name__", None)
