"""A small text-conditional LlamaGen GPT in PyTorch, and what it computes: writes gpt-text.json, gpt-text-weights.npz and
gpt-text.npz into the current folder. Made with torch 2.13: python3 gpt_text.py

Parameter names are those of a published checkpoint. Dropout is 0; the captions that training would replace at random are
replaced by choice.
"""
import json
import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

CONFIG = {"model_type": "t2i", "dim": 32, "n_layer": 2, "n_head": 4, "multiple_of": 16, "vocab_size": 48,
          "block_size": 16, "cls_token_num": 6, "caption_dim": 24, "rope_base": 10000.0, "norm_eps": 1e-5,
          "class_dropout": 0.1, "token_dropout": 0.0, "resid_dropout": 0.0, "ffn_dropout": 0.0}
DIM, HEADS, COND = CONFIG["dim"], CONFIG["n_head"], CONFIG["cls_token_num"]
SIDE = math.isqrt(CONFIG["block_size"])


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(DIM))

    def forward(self, x):
        return x / torch.sqrt(x.square().mean(-1, keepdim=True) + CONFIG["norm_eps"]) * self.weight


class Captions(nn.Module):
    def __init__(self):
        super().__init__()
        self.cap_proj = nn.ModuleDict({"fc1": linear(CONFIG["caption_dim"], DIM), "fc2": linear(DIM, DIM)})
        self.uncond_embedding = nn.Parameter(torch.zeros(COND, CONFIG["caption_dim"]))

    def forward(self, captions):
        hidden = F.gelu(self.cap_proj["fc1"](captions), approximate="tanh")
        return self.cap_proj["fc2"](hidden)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        width = CONFIG["multiple_of"] * math.ceil(int(8 * DIM / 3) / CONFIG["multiple_of"])
        self.attention = nn.ModuleDict({"wqkv": linear(DIM, 3 * DIM), "wo": linear(DIM, DIM)})
        self.feed_forward = nn.ModuleDict({"w1": linear(DIM, width), "w3": linear(DIM, width), "w2": linear(width, DIM)})
        self.attention_norm, self.ffn_norm = Norm(), Norm()

    def forward(self, x, turns, visible):
        b, t, _ = x.shape
        q, k, v = self.attention["wqkv"](self.attention_norm(x)).view(b, t, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(rotated(q, turns), rotated(k, turns), v, attn_mask=visible)
        x = x + self.attention["wo"](y.transpose(1, 2).reshape(b, t, DIM))
        y = self.ffn_norm(x)
        f = self.feed_forward
        return x + f["w2"](F.silu(f["w1"](y)) * f["w3"](y))


def rotated(x, turns):
    """Pairs (2i, 2i + 1) as complex numbers times turns [positions, pairs], which are 0 for condition tokens."""
    pairs = torch.view_as_complex(x.contiguous().view(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turns).flatten(-2)


def turns(side, dtype):
    half = DIM // HEADS // 2
    frequencies = CONFIG["rope_base"] ** (-torch.arange(0, half, 2, dtype=dtype) / half)
    angles = torch.arange(side, dtype=dtype)[:, None] * frequencies
    rows = angles.repeat_interleave(side, 0)
    columns = angles.repeat(side, 1)
    unit = torch.polar(torch.ones(side * side, half, dtype=dtype), torch.cat([rows, columns], 1))
    return torch.cat([torch.zeros(COND, half, dtype=unit.dtype), unit])


def patches(x, p):
    """[batch, n, ..] -> [batch, n / p^2, p^2, ..], both in raster order."""
    x = x.unflatten(1, (SIDE // p, p, SIDE // p, p)).transpose(2, 3)
    return x.flatten(3, 4).flatten(1, 2)


class Gpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.cls_embedding = Captions()
        self.tok_embeddings = nn.Embedding(CONFIG["vocab_size"], DIM)
        self.layers = nn.ModuleList(Block() for _ in range(CONFIG["n_layer"]))
        self.norm = Norm()
        self.output = linear(DIM, CONFIG["vocab_size"])

    def captions(self, captions, mask=None, replaced=None):
        """Masked vectors are zero; a replaced caption is the unconditional one as a whole."""
        if mask is not None:
            captions = captions * mask[:, :, None]
        if replaced is not None:
            captions = torch.where(replaced[:, None, None], self.cls_embedding.uncond_embedding, captions)
        return captions

    def trunk(self, captions, x, p, mask=None):
        """Logits of the positions that predict the next of x, and of the first."""
        h = torch.cat([self.cls_embedding(captions), x], 1)
        t = h.shape[1]
        visible = torch.ones(t, t, dtype=torch.bool).tril().expand(len(h), t, t)
        if mask is not None:
            seen = torch.cat([mask.bool(), torch.ones(len(h), t - COND, dtype=torch.bool)], 1)
            visible = visible & seen[:, None] | torch.eye(t, dtype=torch.bool)
        for layer in self.layers:
            h = layer(h, turns(SIDE // p, h.dtype)[:t], visible[:, None])
        return self.output(self.norm(h[:, COND - 1:]))

    def forward(self, captions, tokens, p, mask=None, replaced=None):
        x = patches(self.tok_embeddings(tokens), p).mean(2)[:, :-1]
        return self.trunk(self.captions(captions, mask, replaced), x, p, mask)

    @torch.no_grad()
    def greedy(self, captions, scale, interval, mask, margins):
        """Without a cache: the whole sequence for every token."""
        captions = self.captions(captions, mask)
        if scale > 1:
            captions = torch.cat([captions, self.cls_embedding.uncond_embedding.expand_as(captions)])
            mask = None if mask is None else torch.cat([mask, mask])
        tokens = torch.zeros(len(captions), 0, dtype=torch.long)
        for i in range(CONFIG["block_size"]):
            z = self.trunk(captions, self.tok_embeddings(tokens), 1, mask)[:, -1]
            if scale > 1:
                given, free = z.chunk(2)
                z = given if -1 < interval < i - 1 else free + (given - free) * scale
            best = z.topk(2)[0]
            margins.append(float((best[:, 0] - best[:, 1]).min()))
            chosen = z.argmax(-1)
            tokens = torch.cat([tokens, chosen.repeat(2 if scale > 1 else 1)[:, None]], 1)
        return tokens[:len(tokens) // 2 if scale > 1 else len(tokens)]


def loss(logits, tokens, p):
    target = patches(tokens, p)
    return (logits.logsumexp(-1) - logits.gather(-1, target).mean(-1)).mean()


def main():
    draw = torch.Generator().manual_seed(4)
    model = Gpt()
    for q in model.parameters():
        q.data = torch.randn(q.shape, generator=draw) * (0.2 if q.dim() > 1 else 0.1) + (q.dim() == 1)
    tokens = torch.randint(0, CONFIG["vocab_size"], (3, CONFIG["block_size"]), generator=draw)
    captions = torch.randn(3, COND, CONFIG["caption_dim"], generator=draw)
    mask = (torch.arange(COND) >= torch.tensor([[0], [2], [5]])).float()      # texts of 6, 4 and 1 tokens, padded in front
    replaced = torch.tensor([False, True, False])
    data = {"tokens": tokens, "captions": captions, "mask": mask, "replaced": replaced.float()}

    def run(name, p, gradients, **condition):
        model.zero_grad()
        logits = model(captions, tokens, p, **condition)
        data[name + ".logits"], data[name + ".loss"] = logits, loss(logits, tokens, p)
        data[name + ".loss"].backward()
        for key, q in model.named_parameters():
            if gradients:
                data[f"{name}.grad.{key}"] = torch.zeros_like(q) if q.grad is None else q.grad.clone()

    run("p1", 1, True)
    run("p2", 2, True)
    run("p4", 4, False)
    run("changed.p1", 1, True, mask=mask, replaced=replaced)
    run("masked.p2", 2, False, mask=mask)
    margins = []
    for scale, interval in ((1, -1), (3, -1), (3, 5)):
        data[f"greedy.cfg{scale}.interval{interval}"] = model.greedy(captions, scale, interval, None, margins)
        data[f"greedy.masked.cfg{scale}.interval{interval}"] = model.greedy(captions, scale, interval, mask, margins)
    weights = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    model.double()
    for p in (1, 2, 4):
        data[f"p{p}.logits_f64"] = model(captions.double(), tokens, p)
    np.savez("gpt-text-weights.npz", **weights)
    np.savez("gpt-text.npz", **{k: v.detach().numpy() for k, v in data.items()})
    with open("gpt-text.json", "w") as file:
        json.dump({"config": CONFIG, "greedy_smallest_margin": min(margins)}, file, indent=1)
    print("smallest margin", min(margins))


if __name__ == "__main__":
    main()
