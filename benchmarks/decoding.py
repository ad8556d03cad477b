"""Tokens per second of cached GPT-2 decoding, here and in transformers, in turn.

    python benchmarks/decoding.py            # batch 1, the smallest GPT-2, float32
    python benchmarks/decoding.py gpt2_medium

Both have the same random weights, read the same 32 tokens and write the likeliest 128 that follow.
Here the whole text is one compiled program. transformers is timed twice: by `generate`, and by a
bare loop over its cached forward pass.

Seen on one core of an AMD EPYC (AVX2) that other programs shared, with 32 tokens and 3 rounds: 25.1
tokens/s, 1.12 times the loop's and 1.21 times generate's. On two cores of an Intel Xeon (Ice
Lake, AVX-512), with these rounds: 30.9 tokens/s, 1.06 times the loop's and 1.12 times generate's.
On two cores of an AMD EPYC (Zen 4, AVX-512): 48.7 tokens/s, 1.89 and 1.92 times.
"""

import os
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import torch

from jdl import create_model
from jdl.models.references import declare_operators
from jdl.ops.search import greedy_search
from jdl.weights import from_names

PROMPT, LENGTH, ROUNDS = 32, 128, 5


def theirs_of(model):
    """Builds the same network in transformers."""
    declare_operators()
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(n_embd=model.width, n_layer=model.num_layers, n_head=model.num_heads)
    network = GPT2LMHeadModel(config).eval()
    # Else every token is the one before it: the head is the embedding.
    torch.nn.init.normal_(network.transformer.wpe.weight, std=0.2)
    return network


def main() -> None:
    """Prints the rates and their ratios."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = create_model(sys.argv[1] if len(sys.argv) > 1 else "gpt2")
    network = theirs_of(model)
    variables = from_names(model, {k: v.numpy() for k, v in network.state_dict().items()})
    prompt = np.random.default_rng(0).integers(0, model.vocabulary_size, (1, PROMPT))

    @jax.jit
    def generate(variables, prompt):
        def step(carry, tokens):
            logits, carry = model.apply(variables, carry, tokens[:, None], method="extend")
            return logits[:, 0], carry

        carry = model.initial_carry(1, PROMPT + LENGTH)
        _, carry = model.apply(variables, carry, prompt[:, :-1], method="extend")
        return greedy_search(step, carry, prompt[:, -1], end=-1, length=LENGTH)  # it never ends

    def jdl():
        return np.asarray(generate(variables, jnp.asarray(prompt, jnp.int32)))[0]

    tokens = torch.from_numpy(prompt)

    @torch.inference_mode()
    def loop():
        written, token, cache = [], tokens, None
        for _ in range(LENGTH):
            answer = network(token, past_key_values=cache, use_cache=True)
            token, cache = answer.logits[:, -1:].argmax(-1), answer.past_key_values
            written.append(int(token))
        return np.array(written)

    def transformers():
        options = {"do_sample": False, "pad_token_id": 0, "eos_token_id": None}
        return network.generate(tokens, max_new_tokens=LENGTH, **options)[0, PROMPT:].numpy()

    functions = [jdl, loop, transformers]
    ours, bare, _ = (function() for function in functions)
    agreed = int((ours == bare).sum())
    print(f"{agreed} of {LENGTH} tokens agree, {len(set(ours.tolist()))} of them different")
    rounds = []
    for _ in range(ROUNDS):
        rounds.append([])
        for function in functions:
            start = time.perf_counter()
            function()
            rounds[-1].append(LENGTH / (time.perf_counter() - start))
    for name, rates in zip(("jdl", "transformers, a loop", "transformers, generate"), zip(*rounds)):
        ratio = statistics.median(row[0] / rate for row, rate in zip(rounds, rates))
        median, low, high = statistics.median(rates), min(rates), max(rates)
        print(
            f"{name:>22}: median {median:5.1f} tokens/s ({low:.1f}–{high:.1f}); jdl is {ratio:.2f}×"
        )


if __name__ == "__main__":
    main()
