"""Checkpoint files: safetensors, and torch's own format without its arbitrary pickles."""

from pathlib import Path

import numpy as np

from jdl.errors import UserError

SAFETENSORS = (".safetensors",)
TORCH = (".pth", ".pt", ".bin")


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a checkpoint by name.

    Args:
        path: of a `.safetensors`, `.pth`, `.pt` or `.bin` file; the last three need torch, which
            is asked for tensors only and runs no code from the file.

    Returns:
        Arrays in the file's own layout; bfloat16 as float32.

    Raises:
        UserError: no such file, another ending, a damaged file, something else than named tensors,
            or no torch where it is needed.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "one.safetensors"
        >>> write(file, {"a": np.ones(2, np.float32)})
        >>> read(file)
        {'a': array([1., 1.], dtype=float32)}
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    if path.suffix in SAFETENSORS:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            arrays = load_file(path)
        except SafetensorError as error:
            raise UserError(f"{path} is not a whole safetensors file: {error}") from error
    elif path.suffix in TORCH:
        arrays = _read_torch(path)
    else:
        endings = ", ".join(SAFETENSORS + TORCH)
        raise UserError(
            f"{path} is not a checkpoint that is known: its ending is none of {endings}"
        )
    return {name: _plain(array) for name, array in arrays.items()}


def write(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes named arrays.

    Args:
        path: ends in `.safetensors`, or `.pth`, `.pt`, `.bin` when torch is there.
        arrays: in the layout of the file.

    Raises:
        UserError: another ending, a folder that cannot be written, or no torch where it is needed.
    """
    path = Path(path)
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in SAFETENSORS:
            from safetensors.numpy import save_file

            save_file(arrays, path, metadata={"format": "pt"})
        elif path.suffix in TORCH:
            torch = _torch(path)
            # Arrays of JAX are read-only, which torch has no notion of.
            torch.save({n: torch.from_numpy(np.array(a)) for n, a in arrays.items()}, path)
        else:
            endings = ", ".join(SAFETENSORS + TORCH)
            raise UserError(f"{path} must end in one of {endings}")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    torch = _torch(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises errors of many kinds here.
        raise UserError(f"{path} does not hold tensors only, or is damaged") from error
    # Training scripts wrap the tensors: {"state_dict": …, "epoch": …}.
    for wrapper in ("state_dict", "model", "params"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(map(torch.is_tensor, content.values())):
        raise UserError(f"{path} holds no tensors by name")
    return {name: tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy()
            for name, tensor in content.items()}  # fmt: skip


def _plain(array: np.ndarray) -> np.ndarray:
    """Widens what NumPy has no type of its own for (bfloat16, float16) to float32."""
    return (
        array.astype(np.float32)
        if array.dtype.itemsize == 2 and array.dtype.kind in "Vf"
        else array
    )


def _torch(path: Path):
    try:
        import torch
    except ImportError:
        raise UserError(
            f"{path.name} is in torch's format: `pip install 'jdl[torch]'`, or use .safetensors"
        ) from None
    return torch
