"""One file per architecture; every variant can be imported from here by its registry name.

Example:
    >>> from jdl.models import create_model, lenet5
    >>> create_model("lenet5") == lenet5()
    True
"""

from typing import Any

from jdl.models.registry import create_model, list_models, model_info, variant

__all__ = ["create_model", "list_models", "model_info"]


def __getattr__(name: str) -> Any:
    # `import jdl.models.vision` asks for the module's own attributes first: only variants are ours.
    if name.startswith("_") or name not in list_models():
        raise AttributeError(f"module 'jdl.models' has no attribute {name!r}")
    return variant(name)


def __dir__() -> list[str]:
    return [*globals(), *list_models()]
