"""Writes ecar-grid.{json,pt,npz}: a small model with a transformer head, in plain functions of PyTorch.

Run as: python3 ecar_grid.py
"""
import json
import math

import numpy as np
import torch
import torch.nn.functional as F

CONFIG = {"channels": 3, "grid": 8, "stages": 3, "dim": 24, "n_layer": 2, "n_head": 2, "head": "transformer", "head_width": 16,
          "head_blocks": 2, "head_heads": 2, "num_classes": 5, "class_dropout": 0.1, "dropout": 0.0}
C, G, S, D, W = (CONFIG[k] for k in ("channels", "grid", "stages", "dim", "head_width"))
SIDES = [G >> (S - 1 - s) for s in range(S)]
LENGTHS = [side * side for side in SIDES]
ENDS = [1 - (s + 1) / S for s in range(S)]
STARTS = [1.0] + [2 * e / (1 + e) for e in ENDS[:-1]]


def shapes():
    def linear(name, out, inp):
        return {f"{name}.weight": (out, inp), f"{name}.bias": (out,)}

    def block(name, d):
        f = (8 * d // 3 + 31) // 32 * 32
        return {f"{name}.attention.wqkv.weight": (3 * d, d), f"{name}.attention.wo.weight": (d, d),
                f"{name}.feed_forward.w1.weight": (f, d), f"{name}.feed_forward.w3.weight": (f, d),
                f"{name}.feed_forward.w2.weight": (d, f), f"{name}.attention_norm.weight": (d,), f"{name}.ffn_norm.weight": (d,)}

    all_ = {"classes.weight": (CONFIG["num_classes"] + 1, D)} | linear("embed", D, C) | {"level.weight": (S, D)}
    all_ |= {f"position.{s}": (n, D) for s, n in enumerate(LENGTHS)}
    for i in range(CONFIG["n_layer"]):
        all_ |= block(f"layers.{i}", D)
    all_ |= {"norm.weight": (D,)} | linear("head.inp", W, C) | linear("head.cond", W, D) | {"head.level.weight": (S, W)}
    all_ |= linear("head.time.0", W, 256) | linear("head.time.2", W, W)
    for i in range(CONFIG["head_blocks"]):
        all_ |= block(f"head.blocks.{i}", W)
    return all_ | {"head.norm.weight": (W,)} | linear("head.out", C, W)


def rms(x, gain):
    return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * gain


def block(p, name, x, heads, mask=None):
    b, t, d = x.shape
    q, k, v = (rms(x, p[f"{name}.attention_norm.weight"]) @ p[f"{name}.attention.wqkv.weight"].T).view(b, t, 3, heads, d // heads).unbind(2)
    scores = torch.einsum("bihe,bjhe->bhij", q, k) / math.sqrt(d // heads)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    mixed = torch.einsum("bhij,bjhe->bihe", scores.softmax(-1), v).reshape(b, t, d)
    x = x + mixed @ p[f"{name}.attention.wo.weight"].T
    n = rms(x, p[f"{name}.ffn_norm.weight"])
    gated = F.silu(n @ p[f"{name}.feed_forward.w1.weight"].T) * (n @ p[f"{name}.feed_forward.w3.weight"].T)
    return x + gated @ p[f"{name}.feed_forward.w2.weight"].T


def linear(p, name, x):
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def up(x):
    return x.repeat_interleave(2, -1).repeat_interleave(2, -2)


def pool(x):
    return x.view(*x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2).mean((3, 5))


def next_start(end, e, z):
    return up(end) / (1 + e) + math.sqrt(3) * e / (1 + e) * math.sqrt(4 / 3) * (z - up(pool(z)))


def tokens(x):
    return x.flatten(2).transpose(1, 2)


def conditions(p, classes, ends):
    parts = []
    for s in range(len(ends) + 1):
        part = (p[f"position.{s}"] + p["level.weight"][s])[None] + p["classes.weight"][classes][:, None]
        parts.append(part if s == 0 else part + linear(p, "embed", tokens(up(ends[s - 1]))))
    x = torch.cat(parts, 1)
    stage = torch.cat([torch.full((n,), s) for s, n in enumerate(LENGTHS)])[: x.shape[1]]
    for i in range(CONFIG["n_layer"]):
        x = block(p, f"layers.{i}", x, CONFIG["n_head"], stage[:, None] >= stage[None])
    return rms(x, p["norm.weight"]).split([q.shape[1] for q in parts], 1)


def velocity(p, s, state, tau, z):
    angle = 1000 * tau * 10000 ** (-torch.arange(128) / 128)
    time = linear(p, "head.time.2", F.silu(linear(p, "head.time.0", torch.cat([angle.cos(), angle.sin()], -1))))
    x = linear(p, "head.inp", state) + linear(p, "head.cond", z) + (time + p["head.level.weight"][s])[:, None]
    for i in range(CONFIG["head_blocks"]):
        x = block(p, f"head.blocks.{i}", x, CONFIG["head_heads"])
    return linear(p, "head.out", rms(x, p["head.norm.weight"]))


def generate(p, classes, steps, scale, noise):
    free, ends = torch.full_like(classes, CONFIG["num_classes"]), []
    for s in range(S):
        x = tokens(noise[0] if s == 0 else next_start(ends[-1], ENDS[s - 1], noise[s]))
        z, z_free = conditions(p, classes, ends)[s], conditions(p, free, ends)[s]
        for i in range(steps):
            tau = torch.full((len(classes), 1), i / steps)
            v = velocity(p, s, x, tau, z)
            if scale != 1:
                v_free = velocity(p, s, x, tau, z_free)
                v = v_free + scale * (v - v_free)
            x = x + v / steps
        ends.append(x.transpose(1, 2).reshape(len(classes), C, SIDES[s], SIDES[s]))
    return ends[-1]


def main():
    gen = torch.Generator().manual_seed(9)
    p = {k: torch.randn(v, generator=gen) * (0.2 if len(v) > 1 else 0.1) + (len(v) == 1 and k.endswith("norm.weight"))
         for k, v in shapes().items()}
    for q in p.values():
        q.requires_grad_()
    x = torch.randn(3, C, G, G, generator=gen)
    classes = torch.tensor([0, CONFIG["num_classes"], 3])
    noise = [torch.randn(3, C, side, side, generator=gen) for side in SIDES]
    taus = [torch.rand(3, 1, generator=gen) for _ in range(S)]
    maps = [x]
    while len(maps) < S:
        maps.insert(0, pool(maps[0]))
    starts, ends = [], []
    for s in range(S):
        start = noise[0] if s == 0 else next_start(ends[-1], ENDS[s - 1], noise[s])
        own = start if s == 0 else (start - (1 - STARTS[s]) * up(maps[s - 1])) / STARTS[s]
        starts.append(start)
        ends.append(ENDS[s] * own + (1 - ENDS[s]) * maps[s])
    zs, total, count = conditions(p, classes, ends[:-1]), 0.0, 0
    data = {"x": x, "classes": classes}
    for s in range(S):
        a, e = tokens(starts[s]), tokens(ends[s])
        v = velocity(p, s, a + taus[s][..., None] * (e - a), taus[s], zs[s])
        total, count = total + ((v - (e - a)) ** 2).sum(), count + v.numel()
        data |= {f"noise{s}": noise[s], f"tau{s}": taus[s], f"start{s}": starts[s], f"end{s}": ends[s],
                 f"conditions{s}": zs[s], f"velocity{s}": v}
    loss = total / count
    loss.backward()
    data |= {"loss": loss} | {f"grad.{k}": q.grad for k, q in p.items()}
    with torch.no_grad():
        for scale in (1.0, 2.0):
            data[f"generated.steps4.cfg{scale:g}"] = generate(p, torch.tensor([1, 2, 3]), 4, scale, noise)
    np.savez("ecar-grid.npz", **{k: v.detach().numpy() for k, v in data.items()})
    torch.save({"model": {k: q.detach() for k, q in p.items()}}, "ecar-grid.pt")
    json.dump({"config": CONFIG}, open("ecar-grid.json", "w"), indent=1)


main()
