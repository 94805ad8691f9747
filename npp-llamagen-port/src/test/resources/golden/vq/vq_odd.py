"""Makes vq-odd.pt, .json and .npz: python3 vq_odd.py FOLDER_OF_VQ_TORCH. Needs torch and numpy.

A tokenizer that is published nowhere: fewer channels at the coarse level than at the fine one, one residual block a level
(two in the decoder), 50 codes of 5 values, images higher than wide. Stored in float16.
"""
import json
import sys

import numpy as np
import torch

sys.path.insert(0, sys.argv[1])
import vq_torch as vq

BLOCKS = 1
original = vq.conv_block
vq.conv_block = lambda cin, cout, n_res, attention: original(cin, cout, n_res - 2 + BLOCKS, attention)

torch.manual_seed(5)
config = vq.VqConfig(channel_mult=(2, 1), channels=32, z_channels=24, codebook_size=50, codebook_dim=5)
model = vq.Vq(config).eval()
with torch.no_grad():
    for name, p in model.named_parameters():
        if p.dim() == 1:  # lively norms
            p += 0.1 * torch.randn(p.shape)
    model.quantize.embedding.weight.copy_(torch.randn(50, 5))
    for p in model.parameters():
        p.copy_(p.half().float())
    images = torch.rand(3, 3, 20, 12) * 2 - 1
    latents, codes = model.latents(images), model.encode(images)
    decoded = model.decode(codes, 10, 6)
    best = (latents @ model.entries().T).topk(2, -1)[0]
np.savez("vq-odd.npz", images=images.numpy(), latents=latents.numpy(), codes=codes.numpy(), decoded=decoded.numpy(),
         pixels=vq.to_pixels(decoded).numpy())
torch.save({"model": {k: v.half() for k, v in model.state_dict().items()}}, "vq-odd.pt")
json.dump({"config": {"channel_mult": [2, 1], "channels": 32, "z_channels": 24, "codebook_size": 50,
                      "codebook_embed_dim": 5, "num_res_blocks": BLOCKS},
           "smallest_code_margin": float((best[..., 0] - best[..., 1]).min())}, open("vq-odd.json", "w"), indent=1)
