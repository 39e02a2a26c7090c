"""What the scripts share: options, inputs, results, tables, figures, pages. No mathematics."""

import os

os.environ.pop("MPLBACKEND", None)  # figures are files: a backend for windows has no say here
