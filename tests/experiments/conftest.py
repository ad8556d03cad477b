"""What tests of experiments share."""

import pytest

from jdl.data import load


@pytest.fixture
def a_fifth(monkeypatch):
    """Lets a module see a fifth of its data: all texts take seconds to be cut into tokens."""

    def load_a_fifth(name, split):
        return load(name, "+".join(f"{part}[:20%]" for part in split.split("+")))

    return lambda module: monkeypatch.setattr(module, "load", load_a_fifth)
