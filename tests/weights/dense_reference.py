"""Small dense networks with weights that anyone can make again, and the same in torch.

python -m tests.weights.dense_reference    # writes golden_dense.json; needs torch

No package holds the FCNs of the paper, DeconvNet or SwinIR; here they are put together from torch's
operations, under the names of their authors' files.
"""

import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import jdl
from jdl.models.dense.deconvnet import DeconvNet
from jdl.models.dense.fcn import FCN
from jdl.weights import to_names

from . import reference

FILE = Path(__file__).parent / "golden_dense.json"
VGG = {"widths": (3, 4, 5, 6, 7), "hidden": 8, "num_classes": 4}
SWINIR = {"depths": (2, 3), "width": 12, "num_heads": 2}
MODELS = {
    **{name: jdl.create_model(name, **VGG) for name in ("fcn32s", "fcn16s", "fcn8s", "deconvnet")},
    **{name: jdl.create_model(name, **SWINIR) for name in jdl.list_models("swinir_*")},
}


def sizes(name: str) -> list[tuple[int, int]]:
    """Two sizes of images, one of them odd."""
    if name.startswith("fcn"):
        return [(64, 96), (33, 75)]
    if name == "deconvnet":
        return [(224, 224), (225, 227)]
    # A map of a single window is moved as well.
    return [(24, 16), (13, 6)]


def images(name: str, which: int) -> np.ndarray:
    channels = MODELS[name].in_channels
    if name.startswith("swinir"):
        return reference.random_images(*sizes(name)[which], channels) / 4 + 0.5
    return reference.random_images(*sizes(name)[which], channels)


def shapes(model) -> dict[str, tuple[int, ...]]:
    """Names and shapes as torch would have them, from the model here."""
    size = (1, 224, 224, model.in_channels)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(size))
    empty = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), variables)
    return {name: array.shape for name, array in to_names(empty).items()}


def random_state(name: str) -> dict[str, np.ndarray]:
    """Weights drawn by name."""
    return reference.random_state(shapes(MODELS[name]))


def answer(name: str, which: int) -> np.ndarray:
    """What the network says in torch, with these weights, NHWC."""
    network = network_of(MODELS[name]).eval()
    reference.fill(network, random_state(name))
    return reference.answer(network, images(name, which))


def network_of(model):
    """The same network in torch."""
    if isinstance(model, FCN):
        return fcn(model)
    return deconvnet(model) if isinstance(model, DeconvNet) else swinir(model)


def few(y: np.ndarray) -> list[float]:
    """Some of the answers, spread over both images."""
    return [float(f"{v:.7g}") for v in y.ravel()[:: y.size // 48]]


def stages(model):
    """Stage, number in the stage, and channels of VGG-16's convolutions."""
    return [
        (stage, i, model.widths[stage - 1])
        for stage, size in enumerate((2, 2, 3, 3, 3), 1)
        for i in range(1, size + 1)
    ]


def fcn(model):
    import torch
    from torch import nn
    from torch.nn.functional import conv_transpose2d, max_pool2d

    def enlarged(x, stride):
        """By the dense kernel of the authors' layer: a class is made of all classes, by zeros."""
        taps = 1 - (torch.arange(2 * stride) - stride + 0.5).abs() / stride
        classes = x.shape[1]
        kernel = torch.eye(classes)[:, :, None, None] * torch.outer(taps, taps)
        return conv_transpose2d(x, kernel, stride=stride)

    def cut(x, offset, height, width):
        return x[:, :, offset : offset + height, offset : offset + width]

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            inputs = model.in_channels
            for stage, i, width in stages(model):
                padding = 100 if (stage, i) == (1, 1) else 1
                self.add_module(f"conv{stage}_{i}", nn.Conv2d(inputs, width, 3, padding=padding))
                inputs = width
            self.fc6 = nn.Conv2d(inputs, model.hidden, 7)
            self.fc7 = nn.Conv2d(model.hidden, model.hidden, 1)
            self.score_fr = nn.Conv2d(model.hidden, model.num_classes, 1)
            if model.skips > 0:
                self.score_pool4 = nn.Conv2d(model.widths[3], model.num_classes, 1)
            if model.skips > 1:
                self.score_pool3 = nn.Conv2d(model.widths[2], model.num_classes, 1)

        def forward(self, x):
            height, width = x.shape[2:]
            pools = {}
            for stage, i, _ in stages(model):
                x = self.get_submodule(f"conv{stage}_{i}")(x).relu()
                if i == (2 if stage < 3 else 3):
                    x = pools[stage] = max_pool2d(x, 2, 2, ceil_mode=True)
            x = self.score_fr(self.fc7(self.fc6(x).relu()).relu())
            if model.skips == 0:
                return cut(enlarged(x, 32), 19, height, width)
            x = enlarged(x, 2)
            x = x + cut(self.score_pool4(pools[4]), 5, *x.shape[2:])
            if model.skips == 1:
                return cut(enlarged(x, 16), 27, height, width)
            x = enlarged(x, 2)
            x = x + cut(self.score_pool3(pools[3]), 9, *x.shape[2:])
            return cut(enlarged(x, 8), 31, height, width)

    return Network()


def deconvnet(model):
    from torch import nn
    from torch.nn.functional import max_pool2d, max_unpool2d

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            inputs = model.in_channels
            for stage, i, width in stages(model):
                self.add_module(f"conv{stage}_{i}", nn.Conv2d(inputs, width, 3, padding=1))
                self.add_module(f"bn{stage}_{i}", nn.BatchNorm2d(width))
                inputs = width
            self.fc6, self.bnfc6 = nn.Conv2d(inputs, model.hidden, 7), nn.BatchNorm2d(model.hidden)
            self.fc7 = nn.Conv2d(model.hidden, model.hidden, 1)
            self.bnfc7 = nn.BatchNorm2d(model.hidden)
            self.add_module("fc6-deconv", nn.ConvTranspose2d(model.hidden, inputs, 7))
            self.add_module("fc6-deconv-bn", nn.BatchNorm2d(inputs))
            # The mirror image of what the convolutions have, but for the images at its end.
            outputs = [model.widths[0], *(width for _, _, width in stages(model)[:-1])]
            numbers = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}
            for (stage, i, width), output in reversed([*zip(stages(model), outputs)]):
                place = f"{stage}_{numbers[stage] + 1 - i}"
                self.add_module(f"deconv{place}", nn.ConvTranspose2d(width, output, 3, padding=1))
                self.add_module(f"debn{place}", nn.BatchNorm2d(output))
            self.add_module("seg-score", nn.Conv2d(model.widths[0], model.num_classes, 1))

        def apply_layer(self, x, layer, norm):
            return self.get_submodule(norm)(self.get_submodule(layer)(x)).relu()

        def forward(self, x):
            memory = {}
            for stage, i, _ in stages(model):
                x = self.apply_layer(x, f"conv{stage}_{i}", f"bn{stage}_{i}")
                if i == (2 if stage < 3 else 3):
                    before = x.shape[2:]
                    x, places = max_pool2d(x, 2, 2, return_indices=True)
                    memory[stage] = places, before
            for layer in ("fc6", "fc7"):
                x = self.apply_layer(x, layer, f"bn{layer}")
            x = self.apply_layer(x, "fc6-deconv", "fc6-deconv-bn")
            for stage in (5, 4, 3, 2, 1):
                places, before = memory[stage]
                x = max_unpool2d(x, places, 2, 2, output_size=before)
                for i in (1, 2) if stage < 3 else (1, 2, 3):
                    x = self.apply_layer(x, f"deconv{stage}_{i}", f"debn{stage}_{i}")
            return self.get_submodule("seg-score")(x)

    return Network()


def swinir(model):
    import torch
    from torch import nn
    from torch.nn.functional import pad

    window, width, heads = model.window, model.width, model.num_heads
    channels, scale = model.in_channels, model.upscale

    def conv(inputs, outputs):
        return nn.Conv2d(inputs, outputs, 3, padding=1)

    class Attention(nn.Module):
        def __init__(self, shift):
            super().__init__()
            self.shift = shift
            self.qkv = nn.Linear(width, 3 * width)
            self.proj = nn.Linear(width, width)
            table = torch.zeros((2 * window - 1) ** 2, heads)
            self.relative_position_bias_table = nn.Parameter(table)

        def biases(self):
            bias = torch.empty(heads, window**2, window**2)
            for i in range(window**2):
                for j in range(window**2):
                    down, right = i // window - j // window, i % window - j % window
                    row = (down + window - 1) * (2 * window - 1) + right + window - 1
                    bias[:, i, j] = self.relative_position_bias_table[row]
            return bias

        def forward(self, x):
            batch, height, across, _ = x.shape
            bias = self.biases()
            x = x.roll((-self.shift, -self.shift), (1, 2))
            y = torch.empty_like(x)
            # Whether the pixel at a place came there from the other side of the map.
            wrapped = [torch.arange(size) >= size - self.shift for size in (height, across)]
            for top in range(0, height, window):
                for left in range(0, across, window):
                    rows, columns = slice(top, top + window), slice(left, left + window)
                    pixels = x[:, rows, columns].reshape(batch, window**2, width)
                    kinds = (2 * wrapped[0][rows, None] + 1 * wrapped[1][columns]).flatten()
                    mask = -100.0 * (kinds[:, None] != kinds)
                    q, k, v = (
                        z.reshape(batch, -1, heads, width // heads).transpose(1, 2)
                        for z in self.qkv(pixels).chunk(3, -1)
                    )
                    scores = q @ k.transpose(2, 3) * (width // heads) ** -0.5
                    mixed = (scores + bias + mask).softmax(-1) @ v
                    mixed = self.proj(mixed.transpose(1, 2).reshape(batch, -1, width))
                    y[:, rows, columns] = mixed.reshape(batch, window, window, width)
            return y.roll((self.shift, self.shift), (1, 2))

    class Mlp(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

        def forward(self, x):
            return self.fc2(nn.functional.gelu(self.fc1(x)))

    class Block(nn.Module):
        def __init__(self, shift):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attn, self.mlp = Attention(shift), Mlp()

        def forward(self, x):
            x = x + self.attn(self.norm1(x))
            return x + self.mlp(self.norm2(x))

    class Group(nn.Module):
        def __init__(self, depth):
            super().__init__()
            blocks = nn.ModuleList(Block(window // 2 * (i % 2)) for i in range(depth))
            self.residual_group = nn.ModuleDict({"blocks": blocks})
            self.conv = conv(width, width)

        def forward(self, x):
            y = x
            for block in self.residual_group["blocks"]:
                y = block(y)
            return x + self.conv(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv_first = conv(channels, width)
            self.patch_embed = nn.ModuleDict({"norm": nn.LayerNorm(width)})
            self.layers = nn.ModuleList(map(Group, model.depths))
            self.norm = nn.LayerNorm(width)
            self.conv_after_body = conv(width, width)
            if model.upsampler == "pixelshuffle":
                self.conv_before_upsample = nn.Sequential(conv(width, 64), nn.LeakyReLU())
                steps = [3] if scale == 3 else [2] * int(math.log2(scale))
                layers = [(conv(64, 64 * s * s), nn.PixelShuffle(s)) for s in steps]
                self.upsample = nn.Sequential(*(layer for pair in layers for layer in pair))
                self.conv_last = conv(64, channels)
            elif model.upsampler == "pixelshuffledirect":
                layers = conv(width, channels * scale**2), nn.PixelShuffle(scale)
                self.upsample = nn.Sequential(*layers)
            else:
                self.conv_last = conv(width, channels)

        def forward(self, x):
            height, across = x.shape[2:]
            mean = (0.4488, 0.4371, 0.4040) if channels == 3 else (0.0,)
            mean = torch.tensor(mean)[:, None, None]
            x = pad(x, (0, -across % window, 0, -height % window), mode="reflect")
            x = (x - mean) * model.value_range
            first = self.conv_first(x)
            y = self.patch_embed["norm"](first.permute(0, 2, 3, 1))
            for group in self.layers:
                y = group(y)
            y = first + self.conv_after_body(self.norm(y).permute(0, 3, 1, 2))
            if model.upsampler == "pixelshuffle":
                y = self.conv_last(self.upsample(self.conv_before_upsample(y)))
            elif model.upsampler == "pixelshuffledirect":
                y = self.upsample(y)
            else:
                y = x + self.conv_last(y)
            return (y / model.value_range + mean)[:, :, : height * scale, : across * scale]

    return Network()


def main() -> None:
    golden = {
        name: {
            f"{height}x{width}": few(answer(name, which))
            for which, (height, width) in enumerate(sizes(name))
        }
        for name in MODELS
    }
    FILE.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
