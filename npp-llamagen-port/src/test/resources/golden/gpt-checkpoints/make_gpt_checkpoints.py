"""A class-conditional LlamaGen GPT in PyTorch: writes what the other files in this folder are. Made with torch 2.13:
python3 make_gpt_checkpoints.py FOLDER

Parameter names and order are those of a published checkpoint. No dropout.
"""
import argparse
import collections
import json
import math
import os
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))


class Norm(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(c["dim"])), c["norm_eps"]

    def forward(self, x):
        return x / torch.sqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.kv = c["n_head"], c["n_kv_head"] or c["n_head"]
        d, head = c["dim"], c["dim"] // c["n_head"]
        wide = c["multiple_of"] * math.ceil(int(8 * d / 3) / c["multiple_of"])
        self.attention = nn.ModuleDict({"wqkv": nn.Linear(d, (self.heads + 2 * self.kv) * head, bias=False),
                                        "wo": nn.Linear(d, d, bias=False)})
        self.feed_forward = nn.ModuleDict({"w1": nn.Linear(d, wide, bias=False), "w3": nn.Linear(d, wide, bias=False),
                                           "w2": nn.Linear(wide, d, bias=False)})
        self.attention_norm, self.ffn_norm = Norm(c), Norm(c)

    def forward(self, x, turns):
        b, t, d = x.shape
        parts = self.attention["wqkv"](self.attention_norm(x)).view(b, t, self.heads + 2 * self.kv, -1).transpose(1, 2)
        q, k, v = parts.split([self.heads, self.kv, self.kv], 1)
        k, v = (y.repeat_interleave(self.heads // self.kv, 1) for y in (turned(k, turns), v))
        y = F.scaled_dot_product_attention(turned(q, turns), k, v, is_causal=True)
        x = x + self.attention["wo"](y.transpose(1, 2).reshape(b, t, d))
        y = self.ffn_norm(x)
        return x + self.feed_forward["w2"](F.silu(self.feed_forward["w1"](y)) * self.feed_forward["w3"](y))


def turned(x, turns):
    return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous()) * turns).flatten(-2)


class Gpt(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        rows = c["num_classes"] + (c["class_dropout"] > 0)
        self.cls_embedding = nn.ModuleDict({"embedding_table": nn.Embedding(rows, c["dim"])})
        self.tok_embeddings = nn.Embedding(c["vocab_size"], c["dim"])
        self.layers = nn.ModuleList(Block(c) for _ in range(c["n_layer"]))
        self.norm, self.output = Norm(c), nn.Linear(c["dim"], c["vocab_size"], bias=False)

    def turns(self, side):
        """One complex number for each position and pair; 0 for the class."""
        half = self.c["dim"] // self.c["n_head"] // 2
        speed = self.c["rope_base"] ** (-torch.arange(0, half, 2) / half)
        angle = torch.arange(side)[:, None] * speed
        angle = torch.cat([angle[:, None].expand(side, side, -1), angle[None].expand(side, side, -1)], -1).flatten(0, 1)
        return torch.cat([torch.zeros(1, half, dtype=torch.cfloat), torch.polar(torch.ones_like(angle), angle)])

    def forward(self, classes, tokens, p):
        x = patches(self.tok_embeddings(tokens), p).mean(2)
        return self.trunk(torch.cat([self.cls_embedding["embedding_table"](classes)[:, None], x[:, :-1]], 1), p)

    def trunk(self, x, p):
        turns = self.turns(math.isqrt(self.c["block_size"]) // p)[: x.shape[1]]
        for layer in self.layers:
            x = layer(x, turns)
        return self.output(self.norm(x))

    @torch.no_grad()
    def greedy(self, classes, scale, interval):
        """Without a cache: the whole sequence for every token. The class c["num_classes"] stands for none."""
        both = torch.cat([classes, torch.full_like(classes, self.c["num_classes"])]) if scale > 1 else classes
        x, out, margin = self.cls_embedding["embedding_table"](both)[:, None], [], math.inf
        for i in range(self.c["block_size"]):
            z = self.trunk(x, 1)[:, -1]
            if scale > 1:
                given, free = z.chunk(2)
                z = given if -1 < interval < i - 1 else free + (given - free) * scale
            best = z.topk(2)[0]
            margin = min(margin, float((best[:, 0] - best[:, 1]).min()))
            out.append(z.argmax(-1))
            x = torch.cat([x, self.tok_embeddings(out[-1].repeat(2 if scale > 1 else 1))[:, None]], 1)
        return torch.stack(out, 1), margin


def patches(x, p):
    """[b, n, ..] -> [b, n / p^2, p^2, ..]"""
    g = math.isqrt(x.shape[1])
    x = x.unflatten(1, (g // p, p, g // p, p)).transpose(2, 3)
    return x.reshape(x.shape[0], (g // p) ** 2, p * p, *x.shape[5:])


def loss_of(logits, tokens, p):
    return (logits.logsumexp(-1) - logits.gather(-1, patches(tokens, p)).mean(-1)).mean()


class Training:
    """AdamW as the published trainer sets it up: tensors of two or more dimensions decay."""

    def __init__(self, model, classes, tokens):
        self.model, self.classes, self.tokens, self.losses, self.norms = model, classes, tokens, [], []
        all_ = list(model.parameters())
        groups = [{"params": [q for q in all_ if q.dim() > 1], "weight_decay": 0.05},
                  {"params": [q for q in all_ if q.dim() < 2], "weight_decay": 0.0}]
        self.adam = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95))

    def step(self, p):
        self.adam.zero_grad()
        loss = loss_of(self.model(self.classes, self.tokens, p), self.tokens, p)
        loss.backward()
        self.norms.append(float(nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)))
        self.losses.append(loss.item())
        self.adam.step()

    def checkpoint(self, **arguments):
        return {"model": {k: v.clone() for k, v in self.model.state_dict().items()}, "optimizer": self.adam.state_dict(),
                "steps": len(self.losses), "args": argparse.Namespace(**arguments)}


def half_way(folder):
    """gpt-gqa of the folder above after two of its four training steps."""
    c = json.load(open(HERE + "/../gpt-gqa.json"))["config"]
    golden = np.load(HERE + "/../gpt-gqa.npz")
    model = Gpt(c)
    model.load_state_dict({k: torch.tensor(v) for k, v in np.load(HERE + "/../gpt-gqa-weights.npz").items()})
    training = Training(model, torch.tensor(golden["classes"]), torch.tensor(golden["tokens"]))
    training.step(3)
    training.step(3)
    torch.save(training.checkpoint(gpt_model="gpt-gqa", lr=1e-3, ema=False), folder + "/gpt-gqa-2-steps.pt")
    training.step(1)
    training.step(1)
    for k, v in model.state_dict().items():
        wanted = golden["trained." + k]
        assert np.abs(v.numpy() - wanted).max() <= 1e-4 * np.abs(wanted).max(), k


def small(folder):
    """Everything that npp parity compares, for a very small model with uncommon sizes."""
    c = {"dim": 24, "n_layer": 1, "n_head": 3, "n_kv_head": 1, "vocab_size": 17, "num_classes": 4, "block_size": 16,
         "multiple_of": 8, "rope_base": 500.0, "norm_eps": 1e-6, "class_dropout": 0.1}
    draw = torch.Generator().manual_seed(5)
    model = Gpt(c)
    for q in model.parameters():
        q.data = torch.randn(q.shape, generator=draw) * (0.15 if q.dim() > 1 else 0.1) + (q.dim() == 1)
    tokens = torch.randint(0, c["vocab_size"], (2, c["block_size"]), generator=draw)
    classes = torch.tensor([3, 4])
    data = {"tokens": tokens, "classes": classes}
    for p in (1, 2):
        model.zero_grad()
        data[f"p{p}.logits"] = model(classes, tokens, p)
        data[f"p{p}.loss"] = loss_of(data[f"p{p}.logits"], tokens, p)
        data[f"p{p}.loss"].backward()
        data |= {f"p{p}.grad.{k}": q.grad.clone() for k, q in model.named_parameters()}
    margins = {}
    for scale, interval in ((1, -1), (1.5, 0), (3, -1)):
        name = f"cfg{scale:g}.interval{interval}"
        data["greedy." + name], margins[name] = model.greedy(torch.tensor([1, 2]), scale, interval)
    start = collections.OrderedDict((k, v.clone()) for k, v in model.state_dict().items())
    training, sides = Training(model, classes, tokens), [4, 2, 2, 1]
    for p in sides:
        training.step(p)
    data |= {"trained." + k: v for k, v in model.state_dict().items()}
    torch.save(start, folder + "/small.pt")
    np.savez_compressed(folder + "/small.npz", **{k: v.detach().numpy() for k, v in data.items()})
    with open(folder + "/small.json", "w") as file:
        json.dump({"config": c, "greedy_smallest_margin": margins, "training": {
            "patch_sides": sides, "lr": 1e-3, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.05,
            "clip_global_norm": 1.0, "losses": training.losses, "gradient_norms_before_clipping": training.norms}}, file)
    print("smallest margins", margins)


if __name__ == "__main__":
    half_way(sys.argv[1])
    small(sys.argv[1])
