#!/usr/bin/env python3
"""What the reference programs say of our files: conformance/check.py WORKDIR NODE (started by conformance/run.mjs)."""
import glob
import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

WORK, NODE = sys.argv[1:3]
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEMO = os.path.join(ROOT, ".cpt/demo")
results = []
logging.disable_progress_bar()


def check(name, holds, detail=""):
    results.append(bool(holds))
    print(f"{'ok  ' if holds else 'FAIL'} {name}{': ' + detail if detail else ''}", flush=True)


def ckpt_convert(*arguments):
    program = os.path.join(ROOT, "packages/ckpt-convert/bin/ckpt-convert.js")
    done = subprocess.run([NODE, program, *arguments, "--json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"ckpt-convert {' '.join(arguments)}: {done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def raw(tensor):
    flat = tensor.detach().contiguous()
    return flat.view(torch.int16 if flat.element_size() == 2 else torch.int32).numpy().tobytes()


def load_weights(folder):
    weights = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.safetensors"))):
        weights.update(load_file(path))
    return weights


def load_model(folder):
    """The folder as transformers reads it, in float32, and the names it complained about."""
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    return model.eval(), sorted([*info["missing_keys"], *info["unexpected_keys"], *map(str, info["mismatched_keys"])])


def converted_fixtures():
    """Every checkpoint that torch wrote, converted: bytes as expected, and transformers runs it."""
    for folder in sorted(glob.glob(os.path.join(ROOT, "fixtures/checkpoints/*/expected.json"))):
        case = os.path.basename(os.path.dirname(folder))
        expected = json.load(open(folder, encoding="utf8"))
        out = os.path.join(WORK, case)
        reference = os.path.join(WORK, f"{case}-reference")
        os.makedirs(reference)
        json.dump(expected["config"], open(os.path.join(reference, "config.json"), "w", encoding="utf8"))
        ckpt_convert("to-hf", os.path.join(os.path.dirname(folder), "megatron"), out, "--reference", reference)
        weights = load_weights(out)
        wrong = [name for name, want in expected["tensors"].items()
                 if name not in weights or hashlib.sha256(raw(weights[name])).hexdigest() != want["sha256"]]
        extra = sorted(set(weights) - set(expected["tensors"]))
        check(f"{case}: {len(weights)} tensors, read by safetensors, equal the originals", not wrong and not extra, " ".join(wrong + extra))
        model, complaints = load_model(out)
        check(f"{case}: transformers loads every tensor", not complaints, " ".join(complaints))
        if all(torch.isfinite(weight).all() for weight in weights.values()):  # one case keeps NaN and infinities
            with torch.no_grad():
                logits = model(torch.arange(8)[None] % model.config.vocab_size).logits
            check(f"{case}: transformers computes finite logits", torch.isfinite(logits).all())


def read_dataset(prefix):
    """Documents of a pair, by numpy and the format's description."""
    index = open(prefix + ".idx", "rb").read()
    assert index[:9] == b"MMIDIDX\0\0"
    sequences, entries = np.frombuffer(index, "<u8", 2, 18).tolist()
    lengths = np.frombuffer(index, "<i4", sequences, 34)
    pointers = np.frombuffer(index, "<i8", sequences, 34 + 4 * sequences)
    dtype = {4: "<i4", 8: "<u2"}[index[17]]
    content = open(prefix + ".bin", "rb").read()
    assert entries == sequences + 1, "one sequence a document"
    return [np.frombuffer(content, dtype, int(n), int(p)).tolist() for n, p in zip(lengths, pointers)]


def demo_dataset():
    """Each document of the corpus, encoded by the reference, is the next one of one of the two datasets."""
    tokenizer = Tokenizer.from_file(os.path.join(ROOT, "fixtures/tokenizer/tokenizer.json"))
    eod = tokenizer.token_to_id("<|endoftext|>")
    parts = [iter(read_dataset(os.path.join(DEMO, "nas/demo-nas/data", name))) for name in ("dataset", "dataset_valid")]
    heads = [next(part, None) for part in parts]
    documents = tokens = 0
    for path in sorted(glob.glob(os.path.join(ROOT, "fixtures/corpus/*.jsonl"))):
        for line in open(path, encoding="utf8"):
            ids = tokenizer.encode(json.loads(line)["text"], add_special_tokens=False).ids + [eod]
            which = next((i for i in (0, 1) if heads[i] == ids), None)
            if which is None:
                return check("demo dataset", False, f"document {documents} of {path} is in neither part")
            heads[which] = next(parts[which], None)
            documents += 1
            tokens += len(ids)
    check(f"demo dataset: {documents} documents, {tokens} ids equal those of tokenizers", heads == [None, None])


def demo_checkpoints():
    """Each rank file of the trainer loads in torch without unpickling any code, and memory-mapped."""
    files = sorted(glob.glob(os.path.join(DEMO, "nas/demo-nas/output/checkpoint/*/iter_*/mp_rank_*/model_optim_rng.pt")))
    import argparse
    torch.serialization.add_safe_globals([argparse.Namespace])
    for path in files:
        loaded = torch.load(path, weights_only=True, mmap=True)
        finite = all(torch.isfinite(t).all() for t in loaded["model"].values() if isinstance(t, torch.Tensor))
        name = os.path.join(*path.split(os.sep)[-3:-1])
        check(f"demo rank file {name}: {len(loaded['model'])} entries, args.padded_vocab_size {loaded['args'].padded_vocab_size}", finite)
    check("demo rank files: two checkpoints or more of four", len(files) >= 8 and len(files) % 4 == 0)


def demo_model():
    """The converted model in transformers has the validation loss that the report states."""
    report = json.load(open(os.path.join(DEMO, "report.json"), encoding="utf8"))
    folder = os.path.join(DEMO, "nas/demo-nas/models/qwen2-tiny-cpt")
    model, complaints = load_model(folder)
    check("demo model: transformers loads every tensor", not complaints, " ".join(complaints))
    spec = json.load(open(os.path.join(ROOT, "examples/qwen2-tiny.json"), encoding="utf8"))
    length = spec["hyperParameters"]["sequence_length"]
    stream = [token for document in read_dataset(os.path.join(DEMO, "nas/demo-nas/data/dataset_valid")) for token in document]
    windows = torch.tensor([stream[i * length:i * length + length + 1] for i in range((len(stream) - 1) // length)])
    with torch.no_grad():
        logits = model(windows[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten()).item()
    stated = report["validationLossConverted"]
    check(f"demo model: validation loss {loss:.6f} in transformers, {stated:.6f} in the report", abs(loss - stated) < 1e-4)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    reference = Tokenizer.from_file(os.path.join(ROOT, "fixtures/tokenizer/tokenizer.json"))
    text = "Call me Ishmael. 子曰：學而時習之，不亦說乎？"
    check("demo tokenizer: transformers encodes with it as tokenizers does", tokenizer.encode(text, add_special_tokens=False) == reference.encode(text, add_special_tokens=False).ids)


converted_fixtures()
if os.path.exists(os.path.join(DEMO, "report.json")):
    demo_dataset()
    demo_checkpoints()
    demo_model()
else:
    print("the demo's files are not checked: run npm run demo first")
failed = results.count(False)
print(f"{results.count(True)} passed, {failed} failed")
sys.exit(1 if failed else 0)
