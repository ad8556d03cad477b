"""Which of several ways to compute the same numbers is taken: by the platform, or XLA's own."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import jax

_plain = ContextVar("plain", default=False)


@contextlib.contextmanager
def plain_lowerings() -> Iterator[None]:
    """Has what is traced, such as convolutions, pooling and `tanh`, compute as `lax` does.

    What `jax.jit` compiled before stays as it is.

    Example:
        >>> with plain_lowerings():
        ...     is_plain()
        True
        >>> is_plain()
        False
    """
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def is_plain() -> bool:
    """Tells whether `lax`'s own ways are asked for."""
    return _plain.get()


def is_for_cpu() -> bool:
    """Tells whether to take the ways that were measured to be the fastest on a CPU."""
    return not _plain.get() and jax.default_backend() == "cpu"
