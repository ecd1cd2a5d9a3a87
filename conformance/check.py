#!/usr/bin/env python3
"""What the reference programs say of our files: conformance/check.py WORKDIR NODE (started by conformance/run.mjs)."""
import glob
import json
import os
import subprocess
import sys

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

WORK, NODE = sys.argv[1:3]
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEMO = os.path.join(ROOT, ".cpt/demo")
results = []
compared = {"cases": 0, "bytes": 0, "differences": 0}
sys.path.insert(0, os.path.join(ROOT, "fixtures/checkpoints"))
import generate
import generate_dist

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


def fixture_options():
    """Name → the options of generate.py that its random weights follow from."""
    return {**generate.CASES, **{name: options for name, (options, _) in generate_dist.CASES.items()}}


def original_model(c, weights, folder):
    """The model that the checkpoint was cut from, as a Hugging Face folder: our converter has no part in it."""
    os.makedirs(folder)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    json.dump(generate.hf_config(c), open(os.path.join(folder, "config.json"), "w", encoding="utf8"))
    return folder


def logits_of(folder):
    """Float32 logits over 24 positions of two sequences, and what transformers complained about."""
    model, complaints = load_model(folder)
    ids = torch.arange(48).reshape(2, 24) * 7 % model.config.vocab_size
    with torch.no_grad():
        return model(ids).logits, complaints


def compare(case, out, weights, expected):
    """The converted folder has the original's tensors to the bit, and transformers computes the original's logits from it."""
    found = load_weights(out)
    wrong = [name for name, tensor in weights.items() if name not in found or found[name].dtype != tensor.dtype or raw(found[name]) != raw(tensor)]
    wrong += sorted(set(found) - set(weights))
    compared["cases"] += 1
    compared["bytes"] += sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    compared["differences"] += len(wrong)
    logits, complaints = logits_of(out)
    if not all(torch.isfinite(weight).all() for weight in weights.values()):  # one case keeps NaN and infinities
        same, distance = True, "not compared, for its weights are not finite"
    else:
        distance = (logits - expected).abs().max().item()
        same = distance <= 1e-5
    detail = [*wrong, *complaints, f"logits differ by {distance}" if not same else ""]
    check(f"{case}: {len(found)} tensors to the bit, logits {distance if isinstance(distance, str) else f'within {distance:.0e}'}",
          not wrong and not complaints and same, " ".join(filter(None, detail)))


def converted_fixtures():
    """Every committed checkpoint, converted with the original's config.json and, where the files tell enough, with one made up."""
    missing = {os.path.basename(os.path.dirname(path)) for path in glob.glob(os.path.join(ROOT, "fixtures/checkpoints/*/expected.json"))}
    for case, options in sorted(fixture_options().items()):
        missing.discard(case)
        torch.manual_seed(0)
        c = generate.parse(case, options)
        weights = generate.make_hf(c)
        original = original_model(c, weights, os.path.join(WORK, f"{case}-original"))
        expected, _ = logits_of(original)
        source = os.path.join(ROOT, "fixtures/checkpoints", case, "megatron")
        out = os.path.join(WORK, case)
        ckpt_convert("to-hf", source, out, "--reference", original)
        compare(case, out, weights, expected)
        if c.reference or c.no_args:
            continue
        ckpt_convert("to-hf", source, out + "-synthesised", "--vocab-size", str(c.vocab))
        compare(f"{case}, config.json made up", out + "-synthesised", weights, expected)
    check("every committed checkpoint was compared", not missing, " ".join(sorted(missing)))


def grid_options():
    """Shapes of grids that are not committed: every tensor and pipeline size, both specs, all families and dtypes, in turn."""
    families = ["", "--tied", "--qk-norm --no-qkv-bias --head-dim 6", "--no-qkv-bias --reference llama", "--no-qkv-bias --reference mistral --tied",
                "--no-qkv-bias --reference llama --rope-factor 8", "--groups 8", "--groups 1", "--groups 2"]
    layouts = ["--layers 4", "--layers 5 --first 2", "--layers 6 --first 1 --last 1", "--layers 3 --last 1", "--layers 8 --vpp 2",
               "--layers 6 --account-embedding --account-loss", "--layers 7 --account-embedding --vpp 2"]
    extras = ["", "--spec local", "--dtype fp32", "--dtype fp16 --fp32-norms", "--legacy-zip", "--views", "--wrapper module.",
              "--legacy-names encoder", "--dtype fp32 --spec local --vocab 32"]
    number = 0
    for tp in (1, 2, 4, 8):
        for pp in (1, 2, 3, 4):
            for layout in layouts:
                number += 1
                options = f"--tp {tp} --pp {pp} --hidden 16 --heads 8 --groups 4 --ffn 16 --head-dim 4 {layout} {families[number % len(families)]} {extras[(number // 3) % len(extras)]} --seed {number}"
                c = generate.parse(f"grid-{number}", options)
                try:
                    generate.layers_of_stages(c)
                except AssertionError:  # these layers do not divide so
                    continue
                is_split = (c.first or c.last or c.vpp > 1 or c.account_embedding) and pp == 1
                is_legacy_group = c.legacy_names and c.qk_norm
                is_strided_norm = c.views and (c.fp32_norms or pp > 1)
                if is_split or is_legacy_group or is_strided_norm or min(map(len, generate.layers_of_stages(c))) < 1:
                    continue
                yield c


def grid():
    """Checkpoints of many grids, written by torch now, with the same two comparisons."""
    cases = list(grid_options())
    for c in cases:
        torch.manual_seed(0)
        weights = generate.make_hf(c)
        c.out = os.path.join(WORK, c.name)
        generate.write(c, weights)
        expected, _ = logits_of(original_model(c, weights, os.path.join(c.out, "original")))
        out = os.path.join(c.out, "out")
        ckpt_convert("to-hf", os.path.join(c.out, "megatron"), out, "--reference", os.path.join(c.out, "original"))
        compare(f"{c.name} TP {c.tp} PP {c.pp} VPP {c.vpp} {c.model_type} {c.dtype} {c.layers} layers", out, weights, expected)
    check(f"the grid has {len(cases)} checkpoints", len(cases) >= 40)


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
grid()
print(f"to-hf: {compared['cases']} cases, {compared['bytes']} bytes compared, {compared['differences']} tensors differ", flush=True)
if os.path.exists(os.path.join(DEMO, "report.json")):
    demo_dataset()
    demo_checkpoints()
    demo_model()
else:
    print("the demo's files are not checked: run npm run demo first")
failed = results.count(False)
print(f"{results.count(True)} passed, {failed} failed")
sys.exit(1 if failed else 0)
