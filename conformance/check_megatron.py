#!/usr/bin/env python3
"""What torch finds in rank files that `ckpt-convert to-megatron` and `reshard` wrote: conformance/check_megatron.py [NODE]

Random weights become a Hugging Face folder, that a checkpoint, and that a checkpoint of another grid. Every element of both is
looked up by the index formulas of fixtures/checkpoints/generate.py, in files that `torch.load(weights_only=True)` accepted.
Build first: pnpm build.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import save_file

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "fixtures/checkpoints"))
import generate

NODE = sys.argv[1] if len(sys.argv) > 1 else "node"
PROGRAM = os.path.join(ROOT, "packages/ckpt-convert/bin/ckpt-convert.js")
# A model, the grid that is written, and the one it is resharded to.
CASES = [
    ("", "", "--tp 2"),
    ("--tied", "--tp 2 --pp 2", "--pp 4"),
    ("--layers 8 --tied", "--tp 2 --pp 2 --vpp 2", None),
    ("--dtype fp32", "--pp 4 --spec local", "--tp 2 --spec local"),
    ("--layers 5", "--tp 2 --pp 2 --first 2", "--pp 3 --first 2 --last 1"),
    ("--layers 6", "--pp 3 --first 1 --last 1 --tp 2", "--pp 2 --vpp 3"),
    ("--qk-norm --no-qkv-bias --head-dim 6 --iteration 1000", "--tp 2", "--pp 2"),
    ("--groups 4 --dtype fp16", "--tp 4", "--tp 2 --pp 2"),
    ("--no-qkv-bias --reference llama", "--tp 2", "--spec local"),
]
# None and 1 there, the resulting number here: Megatron takes both.
SPELT_DIFFERENTLY = {"kv_channels", "num_query_groups"}


def grid_flags(c):
    flags = ["--tp", c.tp, "--pp", c.pp, "--spec", c.spec, "--make-vocab-size-divisible-by", c.pad_to, "--json"]
    for name in ("first", "last"):
        if getattr(c, name):
            flags += [f"--{name}", getattr(c, name)]
    return [*map(str, flags), *(["--vpp", str(c.vpp)] if c.vpp > 1 else [])]


def run(*arguments):
    subprocess.run([NODE, PROGRAM, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def check(c, weights):
    """Elements by formula, and `args` against those that Megatron itself would have saved."""
    elements = generate.verify(c, weights)
    with torch.serialization.safe_globals([argparse.Namespace]):
        files = [torch.load(generate.rank_path(c, t, p), weights_only=True) for t in range(c.tp) for p in range(c.pp)]
    expected = vars(generate.namespace(c))
    for state in files:
        found = vars(state["args"])
        for key in (expected.keys() & found.keys()) - SPELT_DIFFERENTLY:
            same = found[key] == expected[key] and type(found[key]) is type(expected[key])
            assert same, f"args.{key}: {found[key]!r}, expected {expected[key]!r}"
        assert state["checkpoint_version"] == 3.0 and state["iteration"] == c.iteration_number
    return elements


def convert(command, source, c, weights, *more):
    run(command, source, os.path.join(c.out, "megatron"), *more, *grid_flags(c))
    return check(c, weights)


with tempfile.TemporaryDirectory() as work:
    for number, (model, grid, other) in enumerate(CASES):
        c = generate.parse("", f"{model} {grid} --seed {number}")
        c.out = os.path.join(work, f"{number}-a")
        hf = os.path.join(work, f"{number}-hf")
        os.makedirs(hf)
        weights = generate.make_hf(c)
        save_file(weights, os.path.join(hf, "model.safetensors"), metadata={"format": "pt"})
        with open(os.path.join(hf, "config.json"), "w", encoding="utf8") as file:
            json.dump(generate.hf_config(c), file)
        count = convert("to-megatron", hf, c, weights, "--iteration", c.iteration)
        print(f"ok   to-megatron {model} {grid}: {count} tensors")
        if other is None:
            continue
        d = generate.parse("", f"{model} {other}")
        d.out = os.path.join(work, f"{number}-b")
        count = convert("reshard", os.path.join(c.out, "megatron"), d, weights)
        print(f"ok   reshard {other}: {count} tensors")
