"""Words per second that beam search of width 5 pronounces, on CMUdict's test words.

    jdl train g2p_cmudict
    python benchmarks/beam_search.py RUN

All buckets are compiled before the clock starts. Seen on two cores of an AMD EPYC (AVX2): 936.
"""

import sys
import time

import jax

from jdl.launch import keep_freed_memory
from jdl.runs import find_run, open_run
from jdl.train.loop import restore


def main() -> None:
    """Prints words, seconds and their ratio."""
    keep_freed_memory()
    folder = find_run(sys.argv[1])
    experiment, _ = open_run(folder)
    executor, state, _ = restore(experiment, folder)
    variables = executor.local(state).average
    search = jax.jit(experiment.task._beam)
    assert experiment.test is not None
    batches = [(b["source"], b["source_length"]) for b in experiment.test.eval_batches()]
    for batch in {source.shape: (source, length) for source, length in batches}.values():
        jax.block_until_ready(search(variables, *batch))
    start = time.perf_counter()
    for batch in batches:
        jax.block_until_ready(search(variables, *batch))
    seconds = time.perf_counter() - start
    words = experiment.test.num_examples
    print(f"{words} words in {seconds:.1f} s: {words / seconds:.0f} words/s")


if __name__ == "__main__":
    main()
