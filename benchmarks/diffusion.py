"""What diffusion costs: sampling digits, and a step of training DDPM's U-Net beside diffusers.

    python benchmarks/diffusion.py            # both
    python benchmarks/diffusion.py sampling   # 64 digits: 1,000 ancestral steps, and 50 of DDIM
    python benchmarks/diffusion.py training   # 4 images of 32×32, float32; needs torch, diffusers

Weights are random: time does not depend on them. Each sampler is one compiled scan. A step of
training is the loss of predicted noise, its gradient with dropout, and Adam; both networks have the
same weights, and take their steps in turn.

On two cores of an AMD EPYC (AVX2) without other work: 148 s (146–150) for 64 digits, and 7.8 s
(6.9–8.3) by DDIM, 1.05 times 1/20 of it; 1.90 s (1.69–2.13) for a step, diffusers' 2.20 s
(1.88–2.72), which is 0.86 (0.77–1.01) of its time.
"""

import os
import statistics
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jdl import create_model
from jdl.diffusion.denoisers import bounded, denoiser
from jdl.diffusion.losses import denoising_loss
from jdl.diffusion.processes import Discrete
from jdl.diffusion.samplers import ancestral, ddim
from jdl.diffusion.schedules import cosine_schedule, linear_schedule
from jdl.explore.bench import in_turn
from jdl.launch import keep_freed_memory
from jdl.layers.patches import Patched
from jdl.weights import from_names

DIGITS, ROUNDS = 64, 3
BATCH, SIZE, STEPS = 4, 32, 7


def sampling() -> None:
    """Times both samplers of the network of `ddpm_mnist`, in turn."""
    unet = create_model(
        "ddpm_cifar10",
        channels=64,
        channel_multipliers=(1, 1),
        num_res_blocks=1,
        num_groups=8,
        dropout=0.0,
    )
    model, process = Patched(unet, 2), Discrete(cosine_schedule(1000))
    images, t = jnp.zeros((1, 28, 28, 1)), jnp.zeros(1)
    variables = jax.jit(model.init)(jax.random.key(0), images, t)
    keys = jax.random.split(jax.random.key(1), DIGITS)

    def run(sampler, variables, keys):
        denoise = bounded(denoiser(partial(model.apply, variables), process, "velocity"))
        return sampler(denoise, process, process.prior(keys, images.shape[1:]), keys)[0]

    def compiled(sampler):
        function = jax.jit(partial(run, sampler)).lower(variables, keys).compile()
        return lambda: jax.block_until_ready(function(variables, keys))

    samplers = [partial(ancestral, steps=1000), partial(ddim, steps=50)]
    full, strided = in_turn([compiled(sampler) for sampler in samplers], ROUNDS)
    print(f"{DIGITS} digits, 1,000 ancestral steps: {_seconds(full)}")
    print(f"{DIGITS} digits, 50 steps of DDIM:      {_seconds(strided)}")
    shares = [20 * few / whole for few, whole in zip(strided, full)]
    print(f"DDIM over 1/20 of the ancestral time: {statistics.median(shares):.2f}")


def training() -> None:
    """Times a step of both networks, in turn."""
    import torch

    from jdl.models.references import torch_network

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    network = torch_network("diffusers:google/ddpm-cifar10-32").train()
    for block in network.modules():  # the published configuration drops a tenth
        if isinstance(block, torch.nn.Dropout):
            block.p = 0.1
    model, process = create_model("ddpm_cifar10"), Discrete(linear_schedule())
    state = {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}
    params = from_names(model, state)["params"]
    optimizer = optax.adam(1e-4)
    random = np.random.default_rng(0)
    shape = (BATCH, SIZE, SIZE, 3)
    images, noise = (random.standard_normal(shape, dtype=np.float32) for _ in range(2))
    t = random.integers(0, 1000, BATCH).astype(np.int32)

    def update(params, state, images, noise, t, key):
        def loss(params):
            rngs = {"dropout": key}
            predict = partial(model.apply, {"params": params}, train=True, rngs=rngs)
            return denoising_loss(predict, process, images, noise, t).mean()

        value, gradients = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradients, state)
        return value, optax.apply_updates(params, updates), state

    carry = params, jax.jit(optimizer.init)(params)
    inputs = jnp.asarray(images), jnp.asarray(noise), jnp.asarray(t), jax.random.key(0)
    function = jax.jit(update, donate_argnums=(0, 1)).lower(*carry, *inputs).compile()
    losses: list[list[float]] = [[], []]

    def ours():
        nonlocal carry
        value, *carry = function(*carry, *inputs)
        jax.block_until_ready(carry)
        losses[0].append(float(value))

    adam = torch.optim.Adam(network.parameters(), 1e-4)
    scales = process.scales(jnp.asarray(t)).over(jnp.asarray(images))
    noisy = scales.signal * images + scales.noise * noise
    x, wanted = (torch.from_numpy(np.array(a).transpose(0, 3, 1, 2).copy()) for a in (noisy, noise))
    times = torch.from_numpy(t)

    def theirs():
        adam.zero_grad()
        value = torch.nn.functional.mse_loss(network(x, times).sample, wanted)
        value.backward()
        adam.step()
        losses[1].append(value.item())

    mine, others = in_turn([ours, theirs], STEPS)
    print(f"losses of the first step: {losses[0][0]:.4f} here, {losses[1][0]:.4f} there")
    print(f"jdl, a step of {BATCH}×{SIZE}×{SIZE}×3:  {_seconds(mine)}")
    print(f"diffusers, the same:     {_seconds(others)}")
    ratios = [a / b for a, b in zip(mine, others)]
    print(
        f"jdl takes {statistics.median(ratios):.2f} times as long "
        f"({min(ratios):.2f}–{max(ratios):.2f})"
    )


def _seconds(times) -> str:
    return f"{statistics.median(times):.3f} s ({min(times):.3f}–{max(times):.3f})"


def main() -> None:
    """Runs what is asked for, or both."""
    keep_freed_memory()
    parts = {"sampling": sampling, "training": training}
    for name in sys.argv[1:] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
