"""Strict numerics, eight virtual devices, checked shapes, compiled programs kept between runs."""

import ctypes
import os
import tempfile
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# What tests compute is small: most of their time is the compiler's. Without LLVM's last touches it
# takes half of it, and with loops that do not go through MLIR half of that.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8"
    + " --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    + " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
).strip()

import jax
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

install_import_hook("jdl", "beartype.beartype")

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_nans", True)
CACHE = os.environ.get("JDL_TEST_CACHE", Path(tempfile.gettempdir()) / "jdl-test-cache")
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

PROCESS = Path("/proc/self")

# The first example of a property compiles.
settings.register_profile("jdl", deadline=None, max_examples=40)
settings.load_profile("jdl")


@pytest.fixture
def refused(capsys):
    """Runs a command that must be refused, and gives the sentence."""
    from jdl.cli import main

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(list(map(str, arguments)))
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return error

    return run


@pytest.fixture(autouse=True)
def freed_memory_is_given_back(monkeypatch):
    """What a training keeps for its next step would add up over a thousand tests."""
    for module in ("jdl.launch", "jdl.commands"):
        monkeypatch.setattr(f"{module}.keep_freed_memory", lambda: None)


@pytest.fixture(autouse=True)
def what_tests_leave_behind_is_let_go():
    """A process has 65,530 mappings, of which each program takes several, and LLVM dies without.

    And what large networks freed, glibc keeps: a dozen gigabytes in the end.
    """
    yield
    if PROCESS.exists():
        if (PROCESS / "maps").read_bytes().count(b"\n") > 20_000:
            jax.clear_caches()
        if int((PROCESS / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") > 2e9:
            ctypes.CDLL(None).malloc_trim(0)


def pytest_collection_modifyitems(config, items):
    """Where several processes share the tests, files of minutes come first, notebooks before all.

    Otherwise one process would go on with them alone, when the others have ended.
    """
    if hasattr(config, "workerinput"):
        longest = ("tests/notebooks/", "tests/experiments/", "tests/weights/", "tests/train/")
        items.sort(key=lambda item: [not item.nodeid.startswith(part) for part in longest])
