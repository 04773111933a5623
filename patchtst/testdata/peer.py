"""What transformers makes of the models in a folder: peer.py FOLDER

Each subfolder holds a model that this package saved, and input.safetensors.
The answers go to answer.safetensors beside them: forecasts in eval mode, and a
step in train mode with the very dropout masks that this package draws. A fresh
model of the same config goes to the subfolder "peer", with its forecast.
"""
import pathlib
import sys

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import PatchTSTConfig, PatchTSTForPrediction

MASK64 = (1 << 64) - 1


def mix(x):  # splitmix64, as in dropout.go
    x = (x + 0x9E3779B97F4A7C15) & MASK64
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & MASK64
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & MASK64
    return x ^ x >> 31


def kept(n, rate, key):
    """Which of n numbers drop() keeps."""
    with np.errstate(over="ignore"):
        x = np.arange(n, dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(key & 0xFFFFFFFF)
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x85EBCA6B)
        x ^= x >> np.uint32(13)
        x *= np.uint32(0xC2B2AE35)
        x ^= x >> np.uint32(16)
    return (x ^ np.uint32(key >> 32)) >= np.uint32(int(rate * (1 << 32)))


class Dropout:
    """Stands in for torch's dropout: the calls of one forward pass, in order."""

    def __init__(self, config, seed, step, samples):
        self.noise = [mix((mix((mix(seed) + step) & MASK64) + i) & MASK64) for i in range(samples)]
        self.sites, block = ["positional"], 0
        self.keys = [0]
        for _ in range(config.num_hidden_layers):
            kinds = ["patches", "feed"]
            if config.channel_attention:
                kinds.insert(1, "channels")
            for kind in kinds:
                self.sites += [kind + " inside", kind + " path"]
                inside = 2 + 3 * block + (1 if kind == "feed" else 0)
                self.keys += [inside, 2 + 3 * block + 2]
                block += 1
        self.sites.append("head")
        self.keys.append(1)
        self.channels, self.heads, self.calls = config.num_input_channels, config.num_attention_heads, 0

    def __call__(self, x, p=0.5, training=True, inplace=False):
        if not training or p == 0:
            return x
        site, place = self.sites[self.calls], self.keys[self.calls]
        self.calls += 1
        samples = len(self.noise)
        shares = site in ("patches inside", "channels inside")
        row = x.shape[-1] + x.shape[-1] % 2 if shares else x.shape[-1]
        count = x.numel() // x.shape[-1] * row // samples
        masks = np.stack([kept(count, p, mix((n + place) & MASK64)) for n in self.noise])
        mask = torch.from_numpy(masks.astype(np.float32))
        if site == "channels path":  # transformers has the patches before the channels
            mask = mask.reshape(samples, self.channels, -1, row).transpose(1, 2)
        if shares:  # (keys, heads, queries up to an even number), see dropShares
            length = x.shape[-1]
            mask = mask.reshape(-1, length, self.heads, row)[..., :length].permute(0, 2, 3, 1)
        return x * mask.reshape(x.shape) / (1 - p)


def look_at(folder):
    model, info = PatchTSTForPrediction.from_pretrained(folder, output_loading_info=True)
    wrong = {what: names for what, names in info.items() if names}
    if wrong:
        sys.exit(f"{folder.name}: {wrong}")
    inputs = load_file(folder / "input.safetensors")
    with safe_open(folder / "input.safetensors", "pt") as file:
        seed, step = (int(file.metadata()[name]) for name in ("seed", "step"))
    given = {"past_values": inputs["past"], "past_observed_mask": inputs["observed"] > 0}

    model.eval()
    with torch.no_grad():
        answer = {"eval": model(**given).prediction_outputs}
    model.train()
    stand_in = Dropout(model.config, seed, step, len(inputs["past"]))
    torch.nn.functional.dropout, original = stand_in, torch.nn.functional.dropout
    out = model(**given, future_values=inputs["future"])
    torch.nn.functional.dropout = original
    if stand_in.calls not in (0, len(stand_in.sites)):
        sys.exit(f"{folder.name}: {stand_in.calls} dropouts; expected {len(stand_in.sites)}")
    out.loss.backward()
    answer["loss"], answer["train"] = out.loss.reshape(1), out.prediction_outputs
    for name, p in model.named_parameters():
        if p.grad is not None:
            answer["grad." + name] = p.grad
    for name, b in model.named_buffers():
        if "running" in name:
            answer["after." + name] = b
    save_file({k: v.detach().contiguous() for k, v in answer.items()}, folder / "answer.safetensors")

    torch.manual_seed(7)
    fresh = PatchTSTForPrediction(PatchTSTConfig.from_pretrained(folder)).eval()
    with torch.no_grad():
        for p in fresh.parameters():
            p += 0.1 * torch.randn_like(p)
        fresh.save_pretrained(folder / "peer")
        save_file({"eval": fresh(**given).prediction_outputs.contiguous()}, folder / "peer" / "answer.safetensors")


torch.set_num_threads(1)
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    look_at(folder)
