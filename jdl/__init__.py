"""jdl: the deep-learning canon as pure functions in JAX."""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jdl.data import load
    from jdl.explore.features import features
    from jdl.explore.summary import summary
    from jdl.models.registry import create_model, list_models, model_info
    from jdl.train import evaluate, fit
    from jdl.weights import load_pretrained, load_weights, save_weights

__all__ = [
    "create_model",
    "evaluate",
    "features",
    "fit",
    "list_models",
    "load",
    "load_pretrained",
    "load_weights",
    "model_info",
    "save_weights",
    "summary",
]

# Resolved on first use (PEP 562), so that `import jdl` costs nothing and starts no device.
_ROOMS = {
    "create_model": "jdl.models.registry",
    "evaluate": "jdl.train",
    "features": "jdl.explore.features",
    "fit": "jdl.train",
    "list_models": "jdl.models.registry",
    "load": "jdl.data",
    "load_pretrained": "jdl.weights",
    "load_weights": "jdl.weights",
    "model_info": "jdl.models.registry",
    "save_weights": "jdl.weights",
    "summary": "jdl.explore.summary",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("jdl")
    if name not in _ROOMS:
        raise AttributeError(f"module 'jdl' has no attribute {name!r}")
    return getattr(import_module(_ROOMS[name]), name)


def __dir__() -> list[str]:
    return [*globals(), "__version__", *__all__]
