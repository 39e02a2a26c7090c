"""What several files of tests share and takes long to make."""

from pathlib import Path

import pytest
from studied import study


@pytest.fixture(scope="session")
def studied(tmp_path_factory) -> Path:
    """Return a folder with two networks and what every experiment says of them."""
    return study(tmp_path_factory.mktemp("studied"))
