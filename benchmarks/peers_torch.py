"""The paper's U-Net in PyTorch, in every form that a user could pick for speed: the fastest is "PyTorch's best".

Channels last throughout. Inference: as it is, with batch normalisation fused into the convolutions (torch.fx), traced and
frozen by TorchScript, compiled by Inductor with frozen weights; in bfloat16 each by autocast and with the weights cast. MC
dropout: only dropout is live, T passes, their mean and its entropy. Needs no TensorFlow.
"""

from __future__ import annotations

import contextlib
import functools
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

FOLDED_ROWS = 64  # of a batch that samples are folded into


def unit(cin, cout):
    """Convolution, channel dropout, batch normalisation, ReLU: the order of the paper's code."""
    return nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1), nn.Dropout2d(0.05), nn.BatchNorm2d(cout), nn.ReLU())


class UNet(nn.Module):
    """Images [batch, channels, height, width] -> logits [batch, 2, height, width]."""

    def __init__(self, channels=3, filters=32, depth=4):
        super().__init__()
        widths = [filters * 2**level for level in range(depth + 1)]
        pairs = zip([channels, *widths], widths, strict=False)
        self.down = nn.ModuleList(nn.Sequential(unit(a, b), unit(b, b)) for a, b in pairs)
        self.rise = nn.ModuleList(nn.Conv2d(2 * w, w, 3, padding=1) for w in widths[:depth])
        self.up = nn.ModuleList(nn.Sequential(unit(2 * w, w), unit(w, w)) for w in widths[:depth])
        self.head = nn.Sequential(unit(filters, filters), nn.Conv2d(filters, 2, 1))
        self.depth = depth

    def forward(self, x):
        skips = []
        for level in range(self.depth):
            x = self.down[level](x)
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.down[self.depth](x)
        for level in reversed(range(self.depth)):
            x = self.rise[level](functional.interpolate(x, scale_factor=2.0, mode="nearest"))
            x = self.up[level](torch.cat([x, skips[level]], 1))
        return self.head(x)


class Foreground(nn.Module):
    """A network's probability of the foreground, float32 [batch, height, width]: the sigmoid of the logits' difference."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        logits = self.network(x).float()
        return torch.sigmoid(logits[:, 1] - logits[:, 0])


def network(size, device="cpu"):
    """An untrained network of a `size` (batch, height, width, filters, depth, channels), channels last."""
    torch.manual_seed(20)
    made = UNet(size.channels, size.filters, size.depth)
    return made.to(device, memory_format=torch.channels_last)


def fused(model):
    """The same for inference, dropout taken out and batch normalisation fused into the convolutions."""
    from torch.fx.experimental import optimization

    return optimization.fuse(optimization.remove_dropout(model.eval()))


def images(size, dtype=torch.float32, device="cpu"):
    """Slices as a tensor of channels last, made from NumPy's without a copy where nothing has to change."""
    shape = size.batch, size.height, size.width, size.channels
    array = np.random.default_rng(1).standard_normal(shape, np.float32)
    return torch.from_numpy(array).permute(0, 3, 1, 2).to(device, dtype)


def cast(precision, device="cpu"):
    """Autocast for a precision below float32, else nothing."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device, getattr(torch, precision))


def compiled(model, device="cpu"):
    """Compiled by Inductor for inference, its weights frozen: laid out once for oneDNN."""
    import torch._inductor.config as inductor

    inductor.freezing = True
    mode = "max-autotune-no-cudagraphs" if device == "cuda" else None
    return torch.compile(model, mode=mode)


def scripted(model, x, context):
    """Traced, frozen and optimised by TorchScript."""
    with torch.inference_mode(False), torch.no_grad(), context:
        return torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model.eval(), x)))


def inference(size, precision, device="cpu"):
    """{candidate: call that gives the probability of one batch as NumPy}."""
    made = {"eager": Foreground(network(size, device)).eval(), "fused": Foreground(fused(network(size, device))).eval()}
    x, found = images(size, device=device), {}

    def ran(model, given, context):
        def call():
            with torch.inference_mode(), context:
                return model(given).cpu().numpy()

        return call

    def compiled_first(model, given, context):
        with torch.no_grad(), context:  # freezing needs to see that no gradient is asked for
            model = compiled(model, device)
            model(given)

        def call():
            with torch.no_grad(), context:
                return model(given).cpu().numpy()

        return call

    for name, model in made.items():
        found[f"{name}, autocast" if precision != "float32" else name] = ran(model, x, cast(precision, device))
    given = made["fused"]
    if precision != "float32":
        dtype = getattr(torch, precision)
        given, x = Foreground(fused(network(size, device)).to(dtype)).eval(), x.to(dtype)
        found["fused, cast"] = ran(given, x, contextlib.nullcontext())
    found["TorchScript"] = lazily(
        lambda: ran(scripted(given, x, contextlib.nullcontext()), x, contextlib.nullcontext())
    )
    found["compiled"] = lazily(lambda: compiled_first(given, x, contextlib.nullcontext()))
    return found


def lazily(make):
    """A call that is made when it is first called, so that one that cannot be made fails by itself."""
    made = functools.cache(make)
    return lambda: made()()


def training(size, precision, device="cpu"):
    """{candidate: call that takes one step of Adam and gives the loss}."""
    x = images(size, device=device)
    y = torch.from_numpy(np.random.default_rng(2).integers(0, 2, (size.batch, size.height, size.width))).to(device)

    def stepper(compile_it):
        model = network(size, device).train()
        optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)
        run = torch.compile(model) if compile_it else model
        scaler = torch.amp.GradScaler(device, enabled=precision == "float16")

        def call():
            optimizer.zero_grad()
            with cast(precision, device):
                logits = run(x)
            loss = functional.cross_entropy(logits.float(), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            return float(loss.detach())

        return call

    return {"eager": stepper(False), "compiled": lazily(lambda: stepper(True))}


def monte_carlo(size, precision, samples, device="cpu"):
    """{candidate: call that gives the mean probability of T passes with live dropout, and its entropy, as NumPy}."""

    def live(model):
        model.eval()
        for module in model.modules():
            if isinstance(module, nn.Dropout2d):
                module.train()
        return model

    dtype = getattr(torch, precision)
    x = images(size, device=device)
    as_autocast = live(Foreground(network(size, device)))
    as_cast = live(Foreground(network(size, device).to(dtype)))

    def loop(model, given, context):
        with torch.no_grad(), context:  # dropout that a compiler lost would be fast and say nothing
            if torch.equal(model(given), model(given)):
                raise ValueError("two passes with live dropout are the same")

        def call():
            with torch.no_grad(), context:
                mean = sum(model(given) for _ in range(samples)) / samples
                return mean.cpu().numpy(), entropy(mean).cpu().numpy()

        return call

    def folded(model, given, context):
        rows = max(1, FOLDED_ROWS // samples)

        def call():
            with torch.no_grad(), context:
                means = [
                    model(part.repeat(samples, 1, 1, 1)).unflatten(0, (samples, -1)).mean(0)
                    for part in given.split(rows)
                ]
                mean = torch.cat(means)
                return mean.cpu().numpy(), entropy(mean).cpu().numpy()

        return call

    nothing, given = contextlib.nullcontext(), x.to(dtype)
    found = {"loop": lazily(lambda: loop(as_cast, given, nothing)), "folded": folded(as_cast, given, nothing)}
    if precision != "float32":
        found["loop, autocast"] = lazily(lambda: loop(as_autocast, x, cast(precision, device)))
    found["loop, compiled"] = lazily(
        lambda: loop(torch.compile(live(Foreground(network(size, device).to(dtype)))), given, nothing)
    )
    return found


def entropy(p):
    """Binary entropy of a probability, normalised to [0, 1]."""
    p = p.clamp(1e-7, 1 - 1e-7)
    return -(p * p.log() + (1 - p) * (1 - p).log()) / math.log(2)
