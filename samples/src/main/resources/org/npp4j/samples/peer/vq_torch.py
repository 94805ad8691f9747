"""The VQ image tokenizer (downsampling 8 or 16) that LlamaGen models read and write, in PyTorch. Needs only torch.

Parameter names and shapes match the published checkpoints (`{"model": state_dict}`).
"""
from dataclasses import dataclass
from typing import Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass
class VqConfig:
    channel_mult: Tuple[int, ...] = (1, 1, 2, 2, 4)   # VQ-16; VQ-8 is (1, 2, 2, 4)
    channels: int = 128
    z_channels: int = 256
    codebook_size: int = 16384
    codebook_dim: int = 8


def norm(c):
    return nn.GroupNorm(32, c, eps=1e-6)


class ResnetBlock(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.norm1, self.conv1 = norm(cin), nn.Conv2d(cin, cout, 3, padding=1)
        self.norm2, self.conv2 = norm(cout), nn.Conv2d(cout, cout, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(cin, cout, 1) if cin != cout else None

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (x if self.nin_shortcut is None else self.nin_shortcut(x))


class AttnBlock(nn.Module):
    """Single-head self-attention over the pixels, with 1x1 convolutions."""

    def __init__(self, c):
        super().__init__()
        self.norm = norm(c)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(c, c, 1) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (f(h).flatten(2).transpose(1, 2) for f in (self.q, self.k, self.v))
        w = (q @ k.transpose(1, 2) * q.shape[-1] ** -0.5).softmax(-1)
        return x + self.proj_out((w @ v).transpose(1, 2).reshape(x.shape))


def conv_block(cin, cout, n_res, attention):
    block = nn.Module()
    block.res = nn.ModuleList(ResnetBlock(cin if i == 0 else cout, cout) for i in range(n_res))
    block.attn = nn.ModuleList(AttnBlock(cout) for _ in range(n_res if attention else 0))
    return block


def run_block(block, h):
    for i, res in enumerate(block.res):
        h = res(h)
        if len(block.attn):
            h = block.attn[i](h)
    return h


def middle(c):
    return nn.ModuleList([ResnetBlock(c, c), AttnBlock(c), ResnetBlock(c, c)])


class Resample(nn.Module):
    def __init__(self, c, down):
        super().__init__()
        self.down = down
        self.conv = nn.Conv2d(c, c, 3, stride=2 if down else 1, padding=0 if down else 1)

    def forward(self, x):
        if self.down:  # pads one row below and one column right only
            return self.conv(F.pad(x, (0, 1, 0, 1)))
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Encoder(nn.Module):
    def __init__(self, c: VqConfig):
        super().__init__()
        self.conv_in = nn.Conv2d(3, c.channels, 3, padding=1)
        self.conv_blocks, cin, last = nn.ModuleList(), c.channels, len(c.channel_mult) - 1
        for i, mult in enumerate(c.channel_mult):
            block = conv_block(cin, c.channels * mult, 2, i == last)
            cin = c.channels * mult
            if i != last:
                block.downsample = Resample(cin, True)
            self.conv_blocks.append(block)
        self.mid, self.norm_out = middle(cin), norm(cin)
        self.conv_out = nn.Conv2d(cin, c.z_channels, 3, padding=1)

    def forward(self, x):
        h = self.conv_in(x)
        for block in self.conv_blocks:
            h = run_block(block, h)
            if hasattr(block, "downsample"):
                h = block.downsample(h)
        for m in self.mid:
            h = m(h)
        return self.conv_out(F.silu(self.norm_out(h)))


class Decoder(nn.Module):
    def __init__(self, c: VqConfig):
        super().__init__()
        last = len(c.channel_mult) - 1
        cin = c.channels * c.channel_mult[last]
        self.conv_in, self.mid = nn.Conv2d(c.z_channels, cin, 3, padding=1), middle(cin)
        self.conv_blocks = nn.ModuleList()
        for i in reversed(range(last + 1)):
            block = conv_block(cin, c.channels * c.channel_mult[i], 3, i == last)
            cin = c.channels * c.channel_mult[i]
            if i != 0:
                block.upsample = Resample(cin, False)
            self.conv_blocks.append(block)
        self.norm_out, self.conv_out = norm(cin), nn.Conv2d(cin, 3, 3, padding=1)

    def forward(self, z):
        h = self.conv_in(z)
        for m in self.mid:
            h = m(h)
        for block in self.conv_blocks:
            h = run_block(block, h)
            if hasattr(block, "upsample"):
                h = block.upsample(h)
        return self.conv_out(F.silu(self.norm_out(h)))


class Codebook(nn.Module):
    def __init__(self, c: VqConfig):
        super().__init__()
        self.embedding = nn.Embedding(c.codebook_size, c.codebook_dim)
        self.register_buffer("codebook_used", torch.zeros(65536))


class Vq(nn.Module):
    """Images are [batch, 3, height, width] in [-1, 1]; codes are [batch, height/f * width/f] in raster order."""

    def __init__(self, c: VqConfig):
        super().__init__()
        self.encoder, self.decoder, self.quantize = Encoder(c), Decoder(c), Codebook(c)
        self.quant_conv = nn.Conv2d(c.z_channels, c.codebook_dim, 1)
        self.post_quant_conv = nn.Conv2d(c.codebook_dim, c.z_channels, 1)

    def entries(self):
        return F.normalize(self.quantize.embedding.weight, p=2, dim=-1)

    def latents(self, x):
        """Unit-length latents [batch, h*w, codebook_dim]."""
        return F.normalize(self.quant_conv(self.encoder(x)).flatten(2).transpose(1, 2), p=2, dim=-1)

    def encode(self, x):
        return (self.latents(x) @ self.entries().T).argmax(-1)

    def decode(self, codes, h, w):
        z = self.entries()[codes].transpose(1, 2).reshape(codes.shape[0], -1, h, w)
        return self.decoder(self.post_quant_conv(z))


def to_pixels(x):
    """[-1, 1] floats -> uint8, truncating, as published samplers do."""
    return torch.clamp(127.5 * x + 128.0, 0, 255).to(torch.uint8)
