"""Small GANs with weights that anyone can make again, and what the same answer in torch.

python -m tests.weights.gan_reference    # writes golden_gans.json; needs torch

No package holds pix2pix or the DCGAN of PyTorch's examples; here they are put together from torch's
layers, in the order that the names of their parameters give.
"""

import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import jdl
from jdl.weights import to_names

from . import reference

FILE = Path(__file__).parent / "golden_gans.json"
GENERATOR = {"num_downs": 6, "base_features": 2, "channels": 1, "dropout": 0.0}
DISCRIMINATOR = {"base_features": 2}
DCGAN = {"image_size": 32, "base_features": 2}
MODELS = {
    "pix2pix_generator": jdl.create_model("pix2pix_generator", **GENERATOR),
    "patchgan": jdl.create_model("patchgan", **DISCRIMINATOR),
    "dcgan_generator": jdl.create_model("dcgan_generator", **DCGAN),
    "dcgan_discriminator": jdl.create_model("dcgan_discriminator", **DCGAN),
}
# At two sizes each; a DCGAN's is its own, so there it is two batches, as BatchNorm sees them.
INPUTS = {
    "pix2pix_generator": [np.tanh(reference.random_images(*s, 3)) for s in ((64, 64), (64, 128))],
    "patchgan": [np.tanh(reference.random_images(*s, 6)) for s in ((64, 64), (48, 72))],
    "dcgan_generator": [reference.random_images(1, 1, 100, batch=n)[:, 0, 0] for n in (4, 7)],
    "dcgan_discriminator": [np.tanh(reference.random_images(32, 32, 3, batch=n)) for n in (4, 7)],
}


def random_state(name: str) -> dict[str, np.ndarray]:
    """Weights drawn by name."""
    inputs = jnp.zeros(INPUTS[name][0].shape)
    variables = jax.eval_shape(MODELS[name].init, jax.random.key(0), inputs)
    empty = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), variables)
    return reference.random_state({key: a.shape for key, a in to_names(empty).items()})


def answer(name: str, train: bool, which: int) -> np.ndarray:
    """What the network says in torch, with these weights, NHWC."""
    import torch

    network = {
        "pix2pix_generator": unet_generator,
        "patchgan": patch_discriminator,
        "dcgan_generator": dcgan_generator,
        "dcgan_discriminator": dcgan_discriminator,
    }[name]().train(train)
    reference.fill(network, random_state(name))
    inputs = torch.from_numpy(INPUTS[name][which])
    inputs = inputs[..., None, None] if inputs.ndim == 2 else inputs.permute(0, 3, 1, 2)
    with torch.no_grad():
        (first,) = network.values()
        return first(inputs).permute(0, 2, 3, 1).numpy()


def unet_generator():
    from torch import cat, nn

    class Block(nn.Module):
        def __init__(self, outer, inner, below=None, outermost=False):
            super().__init__()
            self.outermost = outermost
            down = nn.Conv2d(3 if outermost else outer, inner, 4, 2, 1, bias=False)
            inputs = inner if below is None else 2 * inner
            up = nn.ConvTranspose2d(inputs, outer, 4, 2, 1, bias=outermost)
            if outermost:
                layers = [down, below, nn.ReLU(), up, nn.Tanh()]
            elif below is None:
                layers = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, nn.BatchNorm2d(outer)]
            else:
                layers = [nn.LeakyReLU(0.2), down, nn.BatchNorm2d(inner), below]
                layers += [nn.ReLU(), up, nn.BatchNorm2d(outer)]
            self.model = nn.Sequential(*layers)

        def forward(self, x):
            return self.model(x) if self.outermost else cat([x, self.model(x)], 1)

    features, downs = GENERATOR["base_features"], GENERATOR["num_downs"]
    widths = [features * min(2**i, 8) for i in range(downs)]
    block = Block(widths[-2], widths[-1])
    for i in range(downs - 2, 0, -1):
        block = Block(widths[i - 1], widths[i], block)
    return nn.ModuleDict({"model": Block(GENERATOR["channels"], features, block, outermost=True)})


def patch_discriminator():
    from torch import nn

    widths = [DISCRIMINATOR["base_features"] * min(2**i, 8) for i in range(4)]
    layers = [nn.Conv2d(6, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        layers.append(nn.Conv2d(inputs, outputs, 4, 2 if i < 2 else 1, 1, bias=False))
        layers += [nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
    layers.append(nn.Conv2d(widths[-1], 1, 4, 1, 1))
    return nn.ModuleDict({"model": nn.Sequential(*layers)})


def dcgan_generator():
    from torch import nn

    layers, inputs = [], 100
    for i, outputs in enumerate([8, 4, 2]):
        stride, padding = (2, 1) if i else (1, 0)
        layers.append(nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False))
        layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
        inputs = outputs
    layers += [nn.ConvTranspose2d(inputs, 3, 4, 2, 1, bias=False), nn.Tanh()]
    return nn.ModuleDict({"main": nn.Sequential(*layers)})


def dcgan_discriminator():
    from torch import nn

    layers = [nn.Conv2d(3, 2, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for inputs, outputs in ((2, 4), (4, 8)):
        layers.append(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False))
        layers += [nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
    layers.append(nn.Conv2d(8, 1, 4, 1, 0, bias=False))
    return nn.ModuleDict({"main": nn.Sequential(*layers)})


def main() -> None:
    golden = {}
    for name in MODELS:
        for train in (False, True):
            for which in range(2):
                row = answer(name, train, which)[:, -1].ravel()[:32]
                golden[f"{name} {train} {which}"] = [float(f"{v:.7g}") for v in row]
    FILE.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
