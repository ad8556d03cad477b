"""Trains the same small GPT here and in torch, in turn, and compares loss and time.

    python benchmarks/gpt_char.py            # pairs of 200 steps
    python benchmarks/gpt_char.py --whole    # 2,000 steps each: the losses of nanoGPT's recipe

Both take the batches, the schedule and the initial weights of the experiment gpt_char, and AdamW;
torch runs eagerly, as nanoGPT does on a CPU with compile=False, with its fused attention. `--whole`
then trains half as many steps by the experiment's own optimiser, Muon.

Seen on tiny_shakespeare, on two cores of an AMD EPYC (AVX2), with `--whole`, while tests took some
of their time: torch 189.5 seconds, jdl with compilation 177.8; losses on nanoGPT's validation split
of 1.746 and 1.755. Muon, in 1,000 steps: 141.1 seconds and 1.730. In pairs, 80.0 ms a step, torch
100.8. On two cores of an AMD EPYC (Zen 5, AVX-512) with `--whole` 51.6 seconds, torch 77.5; in
pairs, 20.9 ms, torch 36.8. On an Intel Xeon (Ice Lake, AVX-512) AdamW is as fast in both, and that
machine's hours differ by more: in two runs 116.8 and 111.4 seconds, torch 115.8 and 102.7; in
pairs, in two runs, 55.1 and 61.4 ms a step, torch 50.5 and 69.4.
"""

import os
import statistics
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "experiments"))

import gpt_char

from jdl.data import TokenWindowLoader
from jdl.launch import keep_freed_memory
from jdl.train.loop import measure
from jdl.train.options import Options
from jdl.train.parallel import make_executor
from jdl.weights import to_names

CONFIG = gpt_char.Config(optimizer="adamw", learning_rate=4e-3)
BY_MUON = gpt_char.Config(steps=1000)
STEPS, ROUNDS = 200, 5


class Block(nn.Module):
    """One layer, normed before each part."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.ModuleDict(
            {"c_attn": nn.Linear(width, 3 * width), "c_proj": nn.Linear(width, width)}
        )
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)}
        )

    def forward(self, x):
        """Applies both parts."""
        shape = (*x.shape[:2], self.heads, -1)
        q, k, v = (
            part.view(shape).transpose(1, 2)
            for part in self.attn["c_attn"](self.ln_1(x)).chunk(3, dim=-1)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn["c_proj"](y.transpose(1, 2).reshape(x.shape))
        y = F.gelu(self.mlp["c_fc"](self.ln_2(x)), approximate="tanh")
        return x + self.mlp["c_proj"](y)


class GPT(nn.Module):
    """GPT-2 in torch."""

    def __init__(self, vocabulary: int, c: gpt_char.Config):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, c.width), nn.Embedding(c.window, c.width)
        self.h = nn.ModuleList(Block(c.width, c.num_heads) for _ in range(c.num_layers))
        self.ln_f = nn.LayerNorm(c.width)

    def forward(self, tokens):
        """Returns logits."""
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
        for block in self.h:
            x = block(x)
        return self.ln_f(x) @ self.wte.weight.T


class Torch:
    """The training loop in torch."""

    def __init__(self, experiment, params):
        self.experiment, self.steps = experiment, 0
        self.model = GPT(experiment.task.tokenizer.vocabulary_size, CONFIG)
        state = {}
        for name, array in to_names({"params": params}).items():
            dense = name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))
            state[name] = torch.from_numpy(np.array(array.T if dense else array))
        self.model.load_state_dict(state)
        groups = [
            {"params": [p for p in self.model.parameters() if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in self.model.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=CONFIG.learning_rate, betas=(0.9, 0.99))

    def rate(self, step: int) -> float:
        """The schedule."""
        peak, warm_up = CONFIG.learning_rate, 100
        if step < warm_up:
            return peak * (step + 1) / (warm_up + 1)
        progress = min(1, (step - warm_up) / (CONFIG.steps - warm_up))
        return peak * (0.1 + 0.45 * (1 + np.cos(np.pi * progress)))

    def train(self, count: int) -> None:
        """Makes so many updates."""
        batches = self.experiment.train.train_batches(self.steps)
        for step in range(self.steps, self.steps + count):
            loss = self.loss(next(batches)["tokens"]).mean()
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate(step)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
        self.steps += count

    def loss(self, tokens):
        """Returns the loss of each token."""
        tokens = torch.from_numpy(tokens).long()
        logits = self.model(tokens[:, :-1])
        return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")

    @torch.no_grad()
    def validate(self, split) -> float:
        """Returns the loss of a whole split."""
        total = count = 0.0
        for batch in split.eval_batches():
            total += float((self.loss(batch["tokens"]).numpy() * batch["token_mask"]).sum())
            count += batch["token_mask"].sum()
        return total / count


class Jdl:
    """The same here, by the engine's compiled step."""

    def __init__(self, experiment):
        self.experiment, self.steps = experiment, 0
        self.executor = make_executor(experiment.task, experiment.seed, Options(devices=1))
        self.state = self.executor.init(self.executor.put(experiment.train.batch(0)))

    def train(self, count: int) -> None:
        """Makes so many updates."""
        batches = self.experiment.train.train_batches(self.steps)
        for step in range(self.steps, self.steps + count):
            batch = self.executor.put(next(batches))
            self.state, _ = self.executor.train_step(self.state, batch, step)
        jax.block_until_ready(self.state)
        self.steps += count

    def validate(self, split) -> float:
        """Returns the loss of a whole split."""
        return measure(self.executor.eval_step, self.executor, self.state, split)["loss"]


def seconds(function, *arguments) -> float:
    """Times a call."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


class RandomWindows(TokenWindowLoader):
    """What nanoGPT evaluates on: 20 batches of random windows."""

    def eval_batches(self, rows: slice = slice(None)):
        """Yields them."""
        return (self.batch(step, rows) for step in range(20))


def report(name: str, trained: Torch | Jdl, time: float) -> None:
    """Prints the losses of a trained network."""
    validation, test = trained.experiment.validation, trained.experiment.test
    # nanoGPT's validation split is TFDS's two, one after the other.
    text = np.concatenate([validation.tokens, test.tokens])
    whole = TokenWindowLoader(text, CONFIG.window, 128)
    some = RandomWindows(text, CONFIG.window, CONFIG.batch_size, seed=1)
    losses = [trained.validate(split) for split in (validation, test, whole, some)]
    print(
        f"{name:>6}: {time:6.1f} s; validation {losses[0]:.4f}, test {losses[1]:.4f}, nanoGPT's "
        f"validation split {losses[2]:.4f}, 20 batches of it {losses[3]:.4f}"
    )


def main() -> None:
    """Prints times and losses."""
    keep_freed_memory()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    experiment = gpt_char.build(CONFIG)
    ours = Jdl(experiment)
    theirs = Torch(experiment, jax.tree.map(jnp.copy, ours.state.params))
    if "--whole" in sys.argv:
        # In turn, in eighths; ours compiles in its first.
        pairs = [
            (seconds(theirs.train, CONFIG.steps // 8), seconds(ours.train, CONFIG.steps // 8))
            for _ in range(8)
        ]
        for name, trained, times in zip(("torch", "jdl"), (theirs, ours), zip(*pairs)):
            report(name, trained, sum(times))
        by_muon = Jdl(gpt_char.build(BY_MUON))
        report("Muon", by_muon, seconds(by_muon.train, BY_MUON.steps))
        return
    theirs.train(20), ours.train(20)
    pairs = [(seconds(theirs.train, STEPS), seconds(ours.train, STEPS)) for _ in range(ROUNDS)]
    for name, times in zip(("torch", "jdl"), zip(*pairs)):
        steps = [1e3 * t / STEPS for t in times]
        median, low, high = statistics.median(steps), min(steps), max(steps)
        print(f"{name:>6}: median {median:.1f} ms a step ({low:.1f}–{high:.1f})")
    ratios = [a / b for a, b in pairs]
    print(f" ratio: median {statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})")


if __name__ == "__main__":
    main()
