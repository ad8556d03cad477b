"""What tests of experiments share."""

import pytest

from jdl.data import load


@pytest.fixture
def fewer_texts(monkeypatch):
    """Lets a module see a part of its data: all texts take seconds to be cut into tokens."""

    def see_less(module, percent=20):
        def load_less(name, split):
            return load(name, "+".join(f"{part}[:{percent}%]" for part in split.split("+")))

        monkeypatch.setattr(module, "load", load_less)

    return see_less
