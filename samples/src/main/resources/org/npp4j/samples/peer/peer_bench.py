"""Times the same jobs as ./npp bench in PyTorch:
  python3 peer_bench.py train --model GPT-B --batch 4 --patch 2 [--bf16] [--loss sparse|repeat]
  python3 peer_bench.py sample --model GPT-B --batch 4 --cfg 2.0 --tokens 64
  python3 peer_bench.py loss --batch 4 --patch 2 [--loss sparse|repeat]
  python3 peer_bench.py encode|decode --model VQ-16 --batch 2

Prints one JSON line: median and minimum seconds a step (or a position or batch), images, tokens or rows a second,
peak resident GiB.
"""
import argparse
import json
import resource
import statistics
import sys
import time

import torch

import npp_torch as npp
import vq_torch as vq

TOKENIZERS = {"VQ-16": (1, 1, 2, 2, 4), "VQ-8": (1, 2, 2, 4)}


def peak_gib():
    """Linux: of this program alone; the system's counter starts with that of the process which started it."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 2 ** 20
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 2 ** 10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2 ** 30


def report(a, seconds, unit, per_call):
    mid = statistics.median(seconds)
    print(json.dumps({"peer": f"torch {torch.__version__}", **vars(a), "threads": torch.get_num_threads(),
                      "median_s": round(mid, 4), "min_s": round(min(seconds), 4), f"{unit}_per_s": round(per_call / mid, 3),
                      "peak_rss_gib": round(peak_gib(), 2)}))


def train(a):
    torch.manual_seed(0)
    c = npp.config(a.model, block_size=a.grid ** 2, token_dropout=0.1, resid_dropout=0.1, ffn_dropout=0.1)
    c.n_layer = a.layers or c.n_layer
    model = npp.Gpt(c).train()
    optimizer = torch.optim.AdamW(npp.param_groups(model, 0.05), lr=1e-4, betas=(0.9, 0.95), fused=True)
    tokens, classes = torch.randint(0, c.vocab_size, (a.batch, c.block_size)), torch.randint(0, c.num_classes, (a.batch,))
    seconds = []
    for _ in range(a.steps + 1):
        t = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.bf16):
            loss = npp.patch_cross_entropy(model(classes, tokens, a.patch), tokens, a.patch, a.loss == "repeat")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - t)
    report(a, seconds[1:], "images", a.batch)


def sample(a):
    torch.manual_seed(0)
    c = npp.config(a.model, block_size=a.grid ** 2)
    c.n_layer = a.layers or c.n_layer
    model = npp.Gpt(c).eval()
    if a.bf16:
        model = model.bfloat16()
    stamps = [time.perf_counter()]

    class Enough(Exception):
        pass

    def pick(z):
        stamps.append(time.perf_counter())
        if len(stamps) > a.tokens + 1:
            raise Enough
        return z.argmax(-1)

    try:
        model.generate(torch.randint(0, c.num_classes, (a.batch,)), a.cfg, -1, pick)
    except Enough:
        pass
    gaps = [y - x for x, y in zip(stamps, stamps[1:])]
    report(a, gaps[2:], "tokens", a.batch)


def loss(a):
    """Loss and gradient with respect to logits."""
    torch.manual_seed(0)
    c = npp.config(a.model, block_size=a.grid ** 2)
    logits = torch.randn(a.batch, c.block_size // a.patch ** 2, c.vocab_size, requires_grad=True)
    tokens = torch.randint(0, c.vocab_size, (a.batch, c.block_size))
    seconds = []
    for _ in range(a.steps + 3):
        logits.grad = None
        t = time.perf_counter()
        npp.patch_cross_entropy(logits, tokens, a.patch, a.loss == "repeat").backward()
        seconds.append(time.perf_counter() - t)
    report(a, seconds[3:], "rows", logits.shape[0] * logits.shape[1])


@torch.inference_mode()
def tokenizer(a):
    """Images to codes, or codes to images, with random weights."""
    torch.manual_seed(0)
    c = vq.VqConfig(channel_mult=TOKENIZERS[a.model])
    side = a.grid * 2 ** (len(c.channel_mult) - 1)
    model = vq.Vq(c).eval()
    images = torch.rand(a.batch, 3, side, side) * 2 - 1
    codes = torch.randint(0, c.codebook_size, (a.batch, a.grid ** 2))
    seconds = []
    for _ in range(a.steps + 1):
        t = time.perf_counter()
        model.encode(images) if a.job == "encode" else vq.to_pixels(model.decode(codes, a.grid, a.grid))
        seconds.append(time.perf_counter() - t)
    report(a, seconds[1:], "images", a.batch)


if __name__ == "__main__":
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("job", choices=["train", "sample", "loss", "encode", "decode"])
    cli.add_argument("--model", default="GPT-B", choices=list(npp.SIZES) + list(TOKENIZERS))
    cli.add_argument("--layers", type=int, default=0, help="fewer layers than the model has, to fit a small machine")
    cli.add_argument("--batch", type=int, default=4)
    cli.add_argument("--patch", type=int, default=1)
    cli.add_argument("--grid", type=int, default=16, help="side of the token grid")
    cli.add_argument("--steps", type=int, default=4)
    cli.add_argument("--tokens", type=int, default=64)
    cli.add_argument("--cfg", type=float, default=2.0)
    cli.add_argument("--bf16", action="store_true")
    cli.add_argument("--loss", choices=["sparse", "repeat"], default="repeat")
    a = cli.parse_args()
    {"train": train, "sample": sample, "loss": loss, "encode": tokenizer, "decode": tokenizer}[a.job](a)
