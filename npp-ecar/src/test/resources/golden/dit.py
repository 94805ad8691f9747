"""Writes dit.{pt,npz}: a small diffusion transformer, in plain functions of PyTorch.

Run as: python3 dit.py
"""
import json
import math

import numpy as np
import torch
import torch.nn.functional as F

CONFIG = {"channels": 3, "grid": 8, "patch": 2, "dim": 24, "n_layer": 2, "n_head": 3, "num_classes": 5, "class_dropout": 0.1}
C, G, P, D, H = (CONFIG[k] for k in ("channels", "grid", "patch", "dim", "n_head"))
SIDE, WIDTH = G // P, P * P * C


def shapes():
    def linear(name, out, inp):
        return {f"{name}.weight": (out, inp), f"{name}.bias": (out,)}

    all_ = linear("x_embedder.proj", D, WIDTH) | linear("t_embedder.mlp.0", D, 256) | linear("t_embedder.mlp.2", D, D)
    all_ |= {"y_embedder.embedding_table.weight": (CONFIG["num_classes"] + 1, D)}
    for i in range(CONFIG["n_layer"]):
        b = f"blocks.{i}."
        all_ |= linear(b + "attn.qkv", 3 * D, D) | linear(b + "attn.proj", D, D) | linear(b + "mlp.fc1", 4 * D, D)
        all_ |= linear(b + "mlp.fc2", D, 4 * D) | linear(b + "adaLN_modulation.1", 6 * D, D)
    return all_ | linear("final_layer.adaLN_modulation.1", 2 * D, D) | linear("final_layer.linear", WIDTH, D)


def linear(p, name, x):
    return F.linear(x, p[name + ".weight"], p[name + ".bias"])


def tokens(x):
    b = x.shape[0]
    return x.view(b, C, SIDE, P, SIDE, P).permute(0, 2, 4, 3, 5, 1).reshape(b, SIDE * SIDE, WIDTH)


def latents(t):
    return t.view(-1, SIDE, SIDE, P, P, C).permute(0, 5, 1, 3, 2, 4).reshape(-1, C, G, G)


def positions():
    w = 10000 ** (-torch.arange(D // 4) / (D // 4))
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    parts = [f(axis.reshape(-1, 1) * w) for axis in (x, y) for f in (torch.sin, torch.cos)]
    return torch.cat(parts, 1)


def modulated(x, shift, scale):
    return F.layer_norm(x, (D,), eps=1e-6) * (1 + scale[:, None]) + shift[:, None]


def velocity(p, state, t, classes):
    """state [b, T, P P C], t [b] in 0..1 -> [b, T, P P C]."""
    a = 1000 * t[:, None] * torch.exp(-math.log(10000) * torch.arange(128) / 128)
    c = linear(p, "t_embedder.mlp.2", F.silu(linear(p, "t_embedder.mlp.0", torch.cat([a.cos(), a.sin()], -1))))
    c = F.silu(c + p["y_embedder.embedding_table.weight"][classes])
    x = linear(p, "x_embedder.proj", state) + positions()
    for i in range(CONFIG["n_layer"]):
        b = f"blocks.{i}."
        s1, k1, g1, s2, k2, g2 = linear(p, b + "adaLN_modulation.1", c).chunk(6, -1)
        q, k, v = linear(p, b + "attn.qkv", modulated(x, s1, k1)).view(len(x), -1, 3, H, D // H).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        x = x + g1[:, None] * linear(p, b + "attn.proj", mixed)
        hidden = F.gelu(linear(p, b + "mlp.fc1", modulated(x, s2, k2)), approximate="tanh")
        x = x + g2[:, None] * linear(p, b + "mlp.fc2", hidden)
    shift, scale = linear(p, "final_layer.adaLN_modulation.1", c).chunk(2, -1)
    return linear(p, "final_layer.linear", modulated(x, shift, scale))


def main():
    g = torch.Generator().manual_seed(11)
    p = {k: (torch.randn(s, generator=g) * 0.2).requires_grad_() for k, s in shapes().items()}
    x, noise = (torch.randn(3, C, G, G, generator=g) for _ in range(2))
    t, classes = torch.rand(3, generator=g), torch.tensor([1, CONFIG["num_classes"], 3])
    state = (1 - t).view(3, 1, 1, 1) * noise + t.view(3, 1, 1, 1) * x
    v = velocity(p, tokens(state), t, classes)
    loss = ((v - tokens(x - noise)) ** 2).mean()
    loss.backward()
    arrays = {"x": x, "noise": noise, "t": t, "classes": classes, "velocity": v, "loss": loss, "positions": positions()}
    arrays |= {"grad." + k: q.grad for k, q in p.items()}
    with torch.no_grad():
        ids, free = torch.tensor([1, 2, 3]), torch.full((3,), CONFIG["num_classes"])
        for cfg in (1, 2):
            z = tokens(noise)
            for i in range(4):
                at = torch.full((3,), i / 4)
                u = velocity(p, z, at, ids)
                w = velocity(p, z, at, free)
                z = z + (w + cfg * (u - w)) / 4
            arrays[f"generated.steps4.cfg{cfg}"] = latents(z)
    np.savez("dit.npz", **{k: a.detach().numpy() for k, a in arrays.items()})
    torch.save({"model": {k: a.detach() for k, a in p.items()}, "dit_config": json.dumps(CONFIG)}, "dit.pt")


main()
