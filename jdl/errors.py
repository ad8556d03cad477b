"""What a user can mend: one clear sentence, and the nearest names."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """An error in what the user asked for; the `jdl` command prints it and exits with 2.

    Example:
        >>> raise UserError("no such model")
        Traceback (most recent call last):
        ...
        jdl.errors.UserError: no such model
    """


def nearest(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """Returns the `count` names closest to a misspelt one, best first.

    Args:
        name: what the user wrote.
        names: what exists.
        count: how many to return at most.

    Example:
        >>> nearest("lennet5", ["lenet5", "unet", "vae"], count=1)
        ['lenet5']
    """
    return difflib.get_close_matches(name, list(names), n=count, cutoff=0.0)


def unknown(kind: str, name: str, names: Iterable[str]) -> UserError:
    """Builds the error for a name that does not exist, with the three closest that do.

    Example:
        >>> str(unknown("model", "lennet5", ["lenet5", "vae"]))
        "unknown model 'lennet5'; the closest names are lenet5, vae"
    """
    return UserError(
        f"unknown {kind} {name!r}; the closest names are {', '.join(nearest(name, names))}"
    )
