"""Makes the golden files of KL autoencoders beside it: python3 kl.py. Needs torch and numpy.

The statement of the published autoencoder in plain torch functions over a dictionary of weights under latent-diffusion's
names, and the names that diffusers gives to the same weights. Sizes are small, and the group norms have 4 groups, so that
the files are; the weights are rounded to float16, in which they are stored. All is computed in float64.
"""
import json

import numpy as np
import torch
import torch.nn.functional as F

GROUPS, EPS = 4, 1e-6


def sizes(ch, mult, res, z, embed, enc_attn, dec_attn):
    """Shapes of all tensors under latent-diffusion's names."""
    s = {}

    def conv(name, i, o, k=3):
        s[name + ".weight"], s[name + ".bias"] = (o, i, k, k), (o,)

    def norm(name, c):
        s[name + ".weight"], s[name + ".bias"] = (c,), (c,)

    def block(name, i, o):
        norm(name + ".norm1", i)
        conv(name + ".conv1", i, o)
        norm(name + ".norm2", o)
        conv(name + ".conv2", o, o)
        if i != o:
            conv(name + ".nin_shortcut", i, o, 1)

    def attn(name, c):
        norm(name + ".norm", c)
        for part in ("q", "k", "v", "proj_out"):
            conv(name + "." + part, c, c, 1)

    def mid(name, c):
        block(name + ".block_1", c, c)
        attn(name + ".attn_1", c)
        block(name + ".block_2", c, c)

    last = len(mult) - 1
    conv("encoder.conv_in", 3, ch)
    c = ch
    for level, m in enumerate(mult):
        for i in range(res):
            block(f"encoder.down.{level}.block.{i}", c, ch * m)
            c = ch * m
            if level in enc_attn:
                attn(f"encoder.down.{level}.attn.{i}", c)
        if level < last:
            conv(f"encoder.down.{level}.downsample.conv", c, c)
    mid("encoder.mid", c)
    norm("encoder.norm_out", c)
    conv("encoder.conv_out", c, 2 * z)
    conv("quant_conv", 2 * z, 2 * embed, 1)
    conv("post_quant_conv", embed, z, 1)
    conv("decoder.conv_in", z, c)
    mid("decoder.mid", c)
    for level in range(last, -1, -1):
        for i in range(res + 1):
            block(f"decoder.up.{level}.block.{i}", c, ch * mult[level])
            c = ch * mult[level]
            if level in dec_attn:
                attn(f"decoder.up.{level}.attn.{i}", c)
        if level > 0:
            conv(f"decoder.up.{level}.upsample.conv", c, c)
    norm("decoder.norm_out", c)
    conv("decoder.conv_out", c, 3)
    return s


class Model:
    def __init__(self, w, mult, res):
        self.w, self.levels, self.res = w, len(mult), res

    def conv(self, x, name, **more):
        w = self.w[name + ".weight"]
        return F.conv2d(x, w, self.w[name + ".bias"], **{"padding": w.shape[-1] // 2, **more})

    def norm(self, x, name):
        return F.group_norm(x, GROUPS, self.w[name + ".weight"], self.w[name + ".bias"], EPS)

    def block(self, x, name):
        h = self.conv(F.silu(self.norm(x, name + ".norm1")), name + ".conv1")
        h = self.conv(F.silu(self.norm(h, name + ".norm2")), name + ".conv2")
        return h + (self.conv(x, name + ".nin_shortcut") if name + ".nin_shortcut.weight" in self.w else x)

    def attn(self, x, name):
        if name + ".q.weight" not in self.w:
            return x
        n = self.norm(x, name + ".norm")
        q, k, v = (self.conv(n, f"{name}.{part}").flatten(2) for part in "qkv")
        p = (torch.einsum("bci,bcj->bij", q, k) / q.shape[1] ** 0.5).softmax(-1)
        return x + self.conv(torch.einsum("bij,bcj->bci", p, v).view_as(x), name + ".proj_out")

    def mid(self, x, name):
        return self.block(self.attn(self.block(x, name + ".block_1"), name + ".attn_1"), name + ".block_2")

    def moments(self, x):
        h = self.conv(x, "encoder.conv_in")
        for level in range(self.levels):
            for i in range(self.res):
                h = self.attn(self.block(h, f"encoder.down.{level}.block.{i}"), f"encoder.down.{level}.attn.{i}")
            if level < self.levels - 1:
                h = self.conv(F.pad(h, (0, 1, 0, 1)), f"encoder.down.{level}.downsample.conv", stride=2, padding=0)
        h = self.mid(h, "encoder.mid")
        return self.conv(self.conv(F.silu(self.norm(h, "encoder.norm_out")), "encoder.conv_out"), "quant_conv")

    def decode(self, z):
        h = self.mid(self.conv(self.conv(z, "post_quant_conv"), "decoder.conv_in"), "decoder.mid")
        for level in range(self.levels - 1, -1, -1):
            for i in range(self.res + 1):
                h = self.attn(self.block(h, f"decoder.up.{level}.block.{i}"), f"decoder.up.{level}.attn.{i}")
            if level > 0:
                h = self.conv(h.repeat_interleave(2, -1).repeat_interleave(2, -2), f"decoder.up.{level}.upsample.conv")
        return self.conv(F.silu(self.norm(h, "decoder.norm_out")), "decoder.conv_out")


def diffusers(w, levels, early):
    """The same weights under diffusers' names: attention is linear there, and the decoder counts from the coarsest level."""
    parts = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
    if early:
        parts = {"norm": "group_norm", "q": "query", "k": "key", "v": "value", "proj_out": "proj_attn"}
    out = {}
    for name, t in w.items():
        head, _, end = name.rpartition(".")
        p = head.split(".")
        attention = "attn" in head
        if attention:
            p[-1] = parts[p[-1]]
            t = t.flatten(1) if end == "weight" and t.dim() == 4 else t
        if p[1:2] == ["mid"]:
            p[1:3] = ["mid_block", {"block_1": "resnets.0", "block_2": "resnets.1", "attn_1": "attentions.0"}[p[2]]]
        elif p[1:2] in (["down"], ["up"]):
            p[2] = p[2] if p[1] == "down" else str(levels - 1 - int(p[2]))
            if p[3] in ("downsample", "upsample"):
                p[3:4] = [p[3] + "rs", "0"]  # downsamplers.0, upsamplers.0
            else:
                p[3] = {"block": "resnets", "attn": "attentions"}[p[3]]
            p[1] += "_blocks"
            p = ["conv_shortcut" if part == "nin_shortcut" else part for part in p]
        elif p[1:2] == ["norm_out"]:
            p[1] = "conv_norm_out"
        out[".".join(p) + "." + end] = t.contiguous()
    return out


def save_safetensors(tensors, path):
    """The format by its specification: the header's length, the header, the numbers."""
    header, at = {}, 0
    for key, t in tensors.items():
        size = t.numel() * 2
        header[key] = {"dtype": "F16", "shape": list(t.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for t in tensors.values():
            f.write(t.numpy().tobytes())


def make(name, seed, images, **size):
    torch.manual_seed(seed)
    w = {}
    for key, shape in sizes(**size).items():
        fan = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        t = torch.randn(shape) / fan ** 0.5 if len(shape) > 1 else 0.1 * torch.randn(shape)
        if len(shape) == 1 and "norm" in key and key.endswith("weight"):
            t += 1
        w[key] = t.half()
    model = Model({k: v.double() for k, v in w.items()}, size["mult"], size["res"])
    x = (torch.rand(images) * 2 - 1).double()
    moments = model.moments(x)
    mean, log_variance = moments.chunk(2, 1)
    log_variance = log_variance.clamp(-30, 20)
    kl = 0.5 * (mean ** 2 + log_variance.exp() - 1 - log_variance).sum((1, 2, 3))
    noise = torch.randn(mean.shape).double()
    np.savez_compressed(
        name + ".npz", images=x.float().numpy(), moments=moments.float().numpy(), noise=noise.float().numpy(),
        sample=(mean + (0.5 * log_variance).exp() * noise).float().numpy(), divergence=kl.numpy(),
        decoded=model.decode(mean).float().numpy())
    return w


with torch.no_grad():
    w = make("kl", 7, (2, 3, 10, 6), ch=4, mult=(1, 2), res=1, z=3, embed=3, enc_attn=(1,), dec_attn=())
# as latent-diffusion's training saves it: more beside the weights, a part of the loss among them
torch.save({"state_dict": {**w, "loss.logvar": torch.zeros(())}, "epoch": 3}, "kl.ckpt")
save_safetensors(diffusers(w, 2, False), "kl-diffusers.safetensors")
torch.save(diffusers(w, 2, True), "kl-diffusers-early.bin", _use_new_zipfile_serialization=False)
json.dump({"ch": 4, "ch_mult": [1, 2], "num_res_blocks": 1, "z_channels": 3, "embed_dim": 3, "encoder_attention": [1],
           "norm_num_groups": GROUPS}, open("kl.json", "w"), indent=1)
json.dump({"_class_name": "AutoencoderKL", "act_fn": "silu", "block_out_channels": [4, 8],
           "down_block_types": ["DownEncoderBlock2D", "AttnDownEncoderBlock2D"],
           "up_block_types": ["UpDecoderBlock2D"] * 2, "in_channels": 3, "out_channels": 3, "latent_channels": 3,
           "layers_per_block": 1, "norm_num_groups": GROUPS, "sample_size": 12, "scaling_factor": 0.5},
          open("kl-diffusers.json", "w"), indent=1)
