"""Next Patch Prediction on a LlamaGen GPT in PyTorch. Needs only torch.

It computes the same function as the published PyTorch code (parameter names and shapes match its
checkpoints). `peer_bench.py` times it beside the Java code.
"""
import math
from dataclasses import dataclass
from typing import Optional

import torch
import torch.nn as nn
import torch.nn.functional as F


def round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


@dataclass
class GptConfig:
    dim: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_kv_head: Optional[int] = None
    vocab_size: int = 16384
    num_classes: int = 1000
    block_size: int = 256          # tokens per image, a square grid
    multiple_of: int = 256         # the SwiGLU width is rounded up to this
    rope_base: float = 10000.0
    norm_eps: float = 1e-5
    token_dropout: float = 0.0
    resid_dropout: float = 0.0
    ffn_dropout: float = 0.0
    class_dropout: float = 0.1     # > 0 adds the 'no class' row used by classifier-free guidance

    @property
    def ffn_dim(self) -> int:
        return round_up(int(2 * (4 * self.dim) / 3), self.multiple_of)

    @property
    def kv_heads(self) -> int:
        return self.n_kv_head or self.n_head


SIZES = {  # name: (layers, heads, width)
    "GPT-B": (12, 12, 768), "GPT-L": (24, 16, 1024), "GPT-XL": (36, 20, 1280),
    "GPT-XXL": (48, 24, 1536), "GPT-XXXL": (48, 40, 2560),
    "GPT-1B": (22, 32, 2048), "GPT-3B": (24, 32, 3200), "GPT-7B": (32, 32, 4096),
}


def config(name: str, **overrides) -> GptConfig:
    layers, heads, width = SIZES[name]
    return GptConfig(dim=width, n_layer=layers, n_head=heads, **overrides)


def rope_2d(grid: int, head_dim: int, base: float, n_cond: int = 1, dtype=torch.float32) -> torch.Tensor:
    """cos/sin of shape [n_cond + grid*grid, head_dim/2, 2].

    The first quarter of the head's pairs turns with the row, the second with the column.
    Rows of condition tokens are all ZERO (not identity): their queries and keys vanish.
    """
    half = head_dim // 2
    freq = 1.0 / (base ** (torch.arange(0, half, 2)[: half // 2].to(dtype) / half))
    angle = torch.outer(torch.arange(grid).to(dtype), freq)
    table = torch.cat([angle[:, None].expand(grid, grid, -1), angle[None, :].expand(grid, grid, -1)], -1)
    table = torch.stack([table.cos(), table.sin()], -1).flatten(0, 1)
    return torch.cat([torch.zeros(n_cond, half, 2, dtype=dtype), table])


def rotate(x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """x: [batch, time, heads, head_dim]; neighbours (2i, 2i+1) form the pairs."""
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = table[None, :, None].to(x.dtype).unbind(-1)
    return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)


def to_patches(x: torch.Tensor, p: int) -> torch.Tensor:
    """[batch, n, ...] in raster order -> [batch, n/p^2, p*p, ...]: each p x p neighbourhood, raster order."""
    g = math.isqrt(x.shape[1])
    rest = x.shape[2:]
    x = x.reshape(x.shape[0], g // p, p, g // p, p, *rest).transpose(2, 3)
    return x.reshape(x.shape[0], (g // p) ** 2, p * p, *rest)


class RMSNorm(nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(dim))

    def forward(self, x):
        y = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        return (y * torch.rsqrt((y * y).mean(-1, keepdim=True) + self.eps)).type_as(x) * self.weight


class Attention(nn.Module):
    def __init__(self, c: GptConfig):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = c.n_head, c.kv_heads, c.dim // c.n_head
        self.wqkv = nn.Linear(c.dim, (self.heads + 2 * self.kv_heads) * self.head_dim, bias=False)
        self.wo = nn.Linear(c.dim, c.dim, bias=False)
        self.drop, self.cache = nn.Dropout(c.resid_dropout), None

    def forward(self, x, rope):
        b, t, d = x.shape
        q, k, v = self.wqkv(x).split([d, self.kv_heads * self.head_dim, self.kv_heads * self.head_dim], -1)
        q = rotate(q.view(b, t, self.heads, self.head_dim), rope).transpose(1, 2)
        k = rotate(k.view(b, t, self.kv_heads, self.head_dim), rope).transpose(1, 2)
        v = v.view(b, t, self.kv_heads, self.head_dim).transpose(1, 2)
        first = True
        if self.cache is not None:
            first = self.cache[0] is None
            if not first:
                k, v = torch.cat([self.cache[0], k], 2), torch.cat([self.cache[1], v], 2)
            self.cache = [k, v]
        group = self.heads // self.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=first and t > 1)
        return self.drop(self.wo(y.transpose(1, 2).reshape(b, t, d)))


class FeedForward(nn.Module):
    def __init__(self, c: GptConfig):
        super().__init__()
        self.w1 = nn.Linear(c.dim, c.ffn_dim, bias=False)
        self.w3 = nn.Linear(c.dim, c.ffn_dim, bias=False)
        self.w2 = nn.Linear(c.ffn_dim, c.dim, bias=False)
        self.drop = nn.Dropout(c.ffn_dropout)

    def forward(self, x):
        return self.drop(self.w2(F.silu(self.w1(x)) * self.w3(x)))


class Block(nn.Module):
    def __init__(self, c: GptConfig):
        super().__init__()
        self.attention, self.feed_forward = Attention(c), FeedForward(c)
        self.attention_norm, self.ffn_norm = RMSNorm(c.dim, c.norm_eps), RMSNorm(c.dim, c.norm_eps)

    def forward(self, x, rope):
        x = x + self.attention(self.attention_norm(x), rope)
        return x + self.feed_forward(self.ffn_norm(x))


class ClassEmbedding(nn.Module):
    def __init__(self, c: GptConfig):
        super().__init__()
        self.embedding_table = nn.Embedding(c.num_classes + (c.class_dropout > 0), c.dim)


class Gpt(nn.Module):
    def __init__(self, c: GptConfig):
        super().__init__()
        self.c = c
        self.cls_embedding = ClassEmbedding(c)
        self.tok_embeddings = nn.Embedding(c.vocab_size, c.dim)
        self.tok_dropout = nn.Dropout(c.token_dropout)
        self.layers = nn.ModuleList(Block(c) for _ in range(c.n_layer))
        self.norm = RMSNorm(c.dim, c.norm_eps)
        self.output = nn.Linear(c.dim, c.vocab_size, bias=False)
        for m in self.modules():
            if isinstance(m, (nn.Linear, nn.Embedding)):
                nn.init.normal_(m.weight, std=0.02)
        nn.init.zeros_(self.output.weight)

    def rope(self, p: int = 1):
        wide = self.output.weight.dtype == torch.float64
        return rope_2d(math.isqrt(self.c.block_size) // p, self.c.dim // self.c.n_head, self.c.rope_base,
                       dtype=torch.float64 if wide else torch.float32)

    def trunk(self, h, rope):
        for layer in self.layers:
            h = layer(h, rope)
        return self.output(self.norm(h)).float() if h.dtype != torch.float64 else self.output(self.norm(h))

    def forward(self, classes, tokens, p: int = 1):
        """classes [batch], tokens [batch, block_size] -> logits [batch, block_size/p^2, vocab].

        Position 0 is the class, positions 1.. are patches 1..n-1; position i predicts patch i+1.
        """
        x = to_patches(self.tok_embeddings(tokens), p).mean(2) if p > 1 else self.tok_embeddings(tokens)
        x = torch.cat([self.cls_embedding.embedding_table(classes)[:, None], x[:, :-1]], 1)
        return self.trunk(self.tok_dropout(x), self.rope(p)[: x.shape[1]].to(x.device))

    @torch.no_grad()
    def generate(self, classes, cfg=1.0, cfg_interval=-1, pick=None):
        """Token by token with a KV cache; cfg > 1 runs a 'no class' twin. pick: logits -> token ids (default greedy)."""
        pick = pick or (lambda z: z.argmax(-1))
        both = torch.cat([classes, torch.full_like(classes, self.c.num_classes)]) if cfg > 1 else classes
        for layer in self.layers:
            layer.attention.cache = [None, None]
        rope, out, h = self.rope(), [], self.cls_embedding.embedding_table(both)[:, None]
        for i in range(self.c.block_size):
            z = self.trunk(h, rope[i:i + 1])[:, -1]
            if cfg > 1:
                cond, free = z.chunk(2)
                # the published loop counts decode steps from 0 after the first (prefill) token
                z = cond if -1 < cfg_interval < i - 1 else free + (cond - free) * cfg
            out.append(pick(z))
            h = self.tok_embeddings(torch.cat([out[-1], out[-1]]) if cfg > 1 else out[-1])[:, None]
        for layer in self.layers:
            layer.attention.cache = None
        return torch.stack(out, 1)


def patch_cross_entropy(logits, tokens, p: int, repeat: bool = False):
    """Mean over patches and over the p*p tokens of each. repeat=True materialises every pair, as published."""
    v = logits.shape[-1]
    if p == 1:
        return F.cross_entropy(logits.reshape(-1, v), tokens.reshape(-1))
    target = to_patches(tokens, p)
    if repeat:
        z = logits.reshape(-1, v).unsqueeze(1).repeat(1, p * p, 1)
        return F.cross_entropy(z.reshape(-1, v), target.reshape(-1))
    return (logits.logsumexp(-1) - logits.gather(-1, target).mean(-1)).mean()


def param_groups(model, weight_decay):
    """Decay matrices only (2 or more dimensions); norm scales take none."""
    params = [q for q in model.parameters() if q.requires_grad]
    return [{"params": [q for q in params if q.dim() >= 2], "weight_decay": weight_decay},
            {"params": [q for q in params if q.dim() < 2], "weight_decay": 0.0}]
