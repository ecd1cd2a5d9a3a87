#!/usr/bin/env python3
"""What torch and Megatron-Core find in checkpoints that `ckpt-convert` wrote, and what it finds in theirs: conformance/check_dist.py [NODE]

Random weights become a Hugging Face folder and that a checkpoint in both formats. Four gloo processes on the CPU then build the
real GPTModel (local layer spec, no GPU is needed) of each grid by the `args` in the checkpoint and, for every case,
  - torch.distributed.checkpoint, `load_tensors_metadata` and `load_plain_tensors` read the torch_dist one whole;
  - `dist_checkpointing.load` fills the model's own sharded state dict from it, `load_state_dict(strict=True)` takes the result;
  - the model so loaded gives the logits that transformers gives (float32, no pipeline);
  - `torch.load` and `load_state_dict(strict=True)` take each rank file of the torch one;
  - `dist_checkpointing.save` saves the model again, stacked and layer by layer, in the chunks that ours has, and `dcp.save` the whole
    tensors, without a word of Megatron; `ckpt-convert to-hf` gives the first folder back.
Tensors are held against the shards that fixtures/checkpoints/generate.py cuts with torch, bit by bit. Build first: pnpm build.
"""
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import warnings

os.environ["OMP_NUM_THREADS"] = "1"  # Megatron-Core forks while it saves; a thread pool would not survive that
warnings.filterwarnings("ignore")
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp
from safetensors.torch import load_file, save_file

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "fixtures/checkpoints"))
import generate

WORLD = 4
PROGRAM = os.path.join(ROOT, "packages/ckpt-convert/bin/ckpt-convert.js")
# A model and the grid that is written; the grids of 1 and 2 ranks run with data parallel replicas.
CASES = [
    "",
    "--tp 2 --tied",
    "--tp 4 --groups 4",
    "--pp 2 --dtype fp32",
    "--tp 2 --pp 2 --iteration 1000",
    "--tp 2 --pp 2 --vpp 2 --layers 8 --tied",
    "--pp 4 --first 1 --last 1 --layers 6",
    "--tp 2 --pp 2 --first 2 --layers 5 --tied",
    "--tp 2 --qk-norm --no-qkv-bias --head-dim 6",
    "--tp 2 --dtype fp32",
    "--tp 4 --groups 4 --qk-norm --no-qkv-bias --head-dim 6 --dtype fp32 --tied",
    "--no-qkv-bias --reference llama --dtype fp32",
    "--pp 2 --vpp 2 --no-qkv-bias --reference llama --dtype fp16",
]
VOCABULARY = ("embedding.word_embeddings.weight", "output_layer.weight")


def parse(options, number, work):
    c = generate.parse("", f"{options} --spec local --seed {number}")
    c.out = os.path.join(work, str(number))
    c.directory = os.path.join(c.out, "dist", "release" if c.iteration == "release" else f"iter_{int(c.iteration):07d}")
    return c


def same(found, expected, what):
    """Bits, so that a NaN equals itself. @returns the bytes compared."""
    assert found.dtype == expected.dtype and found.shape == expected.shape, f"{what}: {found.dtype} {list(found.shape)}"
    assert generate.raw(found) == generate.raw(expected), f"{what}: values differ"
    return found.numel() * found.element_size()


def without_padding(c, tensor, rank=None):
    """Rows of a table that are tokens: of one rank, or of all."""
    first = 0 if rank is None else rank * tensor.shape[0]
    return tensor[: max(0, min(tensor.shape[0], c.vocab - first))]


# --- in each process ----------------------------------------------------------------------------------------------------


def build_models(c, args):
    """This rank's chunks of the real model, by the `args` that ckpt-convert wrote."""
    from megatron.core import parallel_state as ps
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
    from megatron.core.models.gpt.gpt_model import GPTModel
    from megatron.core.transformer.transformer_config import TransformerConfig

    uneven = {f"num_layers_in_{end}_pipeline_stage": getattr(args, f"decoder_{end}_pipeline_num_layers") for end in ("first", "last")}
    config = TransformerConfig(
        num_layers=args.num_layers, hidden_size=args.hidden_size, num_attention_heads=args.num_attention_heads,
        num_query_groups=args.num_query_groups, kv_channels=args.kv_channels, ffn_hidden_size=args.ffn_hidden_size,
        gated_linear_unit=args.swiglu, activation_func=torch.nn.functional.silu, normalization=args.normalization,
        layernorm_epsilon=args.norm_epsilon, add_bias_linear=args.add_bias_linear, add_qkv_bias=args.add_qkv_bias,
        qk_layernorm=args.qk_layernorm, tensor_model_parallel_size=args.tensor_model_parallel_size,
        pipeline_model_parallel_size=args.pipeline_model_parallel_size,
        virtual_pipeline_model_parallel_size=args.virtual_pipeline_model_parallel_size,
        bf16=args.bf16, fp16=args.fp16, params_dtype=args.params_dtype, pipeline_dtype=args.params_dtype,
        use_cpu_initialization=True, bias_activation_fusion=False, masked_softmax_fusion=False, bias_dropout_fusion=False,
        gradient_accumulation_fusion=False, apply_rope_fusion=False, persist_layer_norm=False, hidden_dropout=0, attention_dropout=0, **uneven,
    )  # fmt: skip
    spec = get_gpt_layer_local_spec(normalization=args.normalization, qk_layernorm=args.qk_layernorm)
    stage = ps.get_pipeline_model_parallel_rank()
    models = []
    for chunk in range(c.vpp):
        number = chunk * c.pp + stage
        model = GPTModel(
            config, spec, vocab_size=args.padded_vocab_size, max_sequence_length=args.max_position_embeddings,
            position_embedding_type=args.position_embedding_type, rotary_base=args.rotary_base, rotary_percent=args.rotary_percent,
            pre_process=number == 0, post_process=number == c.pp * c.vpp - 1, parallel_output=False,
            share_embeddings_and_output_weights=not args.untie_embeddings_and_output_weights, vp_stage=chunk if c.vpp > 1 else None,
        )  # fmt: skip
        models.append(model.to(args.params_dtype))
    return models


def compare_logits(c, model, counts):
    """The model runs, and says what transformers says with the folder that all began with."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokens = torch.randint(c.vocab, (2, 16), generator=torch.Generator().manual_seed(c.seed))
    future = torch.triu(torch.ones(1, 1, 16, 16, dtype=torch.bool), 1)
    with torch.no_grad():
        found = model.eval()(tokens, torch.arange(16).expand(2, 16), future)[..., : c.vocab]
        expected = AutoModelForCausalLM.from_pretrained(os.path.join(c.out, "hf"), dtype=torch.float32)(tokens).logits
    worst = float((found - expected).abs().max() / expected.abs().max())
    # Weights of size 1 amplify the rounding of sums in another order; one wrong row would show as more than a tenth.
    assert worst < 1e-4, f"logits differ by {worst}"
    counts["cases"] = counts.get("cases", 0) + 1
    counts["logits"] = counts.get("logits", 0) + found.numel()
    counts["worst relative difference"] = max(counts.get("worst relative difference", 0), worst)


def fill_with_nan(models):
    for model in models:
        for parameter in model.parameters():
            parameter.data.fill_(float("nan"))


def compare_models(c, hf, models, counts):
    """Every parameter against the shard that generate.py cuts for this rank."""
    from megatron.core import parallel_state as ps

    rank, stage = ps.get_tensor_model_parallel_rank(), ps.get_pipeline_model_parallel_rank()
    for chunk, model in enumerate(models):
        expected = generate.build_rank(c, hf, rank, chunk * c.pp + stage)
        found = {name: tensor for name, tensor in model.state_dict().items() if torch.is_tensor(tensor)}
        if c.tied and c.pp * c.vpp == 1:
            found.pop("output_layer.weight", None)  # the embedding itself
        assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
        for name, tensor in found.items():
            cut = (lambda t: without_padding(c, t, rank)) if name in VOCABULARY else (lambda t: t)
            counts["bytes"] += same(cut(tensor), cut(expected[name]), name)
            counts["tensors"] += 1


def check_case(c, counts):
    from megatron.core import dist_checkpointing as dc
    from megatron.core import parallel_state as ps
    from megatron.core.dist_checkpointing.validation import StrictHandling

    hf = generate.make_hf(c)
    ps.initialize_model_parallel(c.tp, c.pp, virtual_pipeline_model_parallel_size=c.vpp if c.vpp > 1 else None)
    key = (lambda v: "model" if c.vpp == 1 else f"model{v}")
    models = build_models(c, dc.load_common_state_dict(c.directory)["args"])

    # torch_dist by Megatron-Core
    fill_with_nan(models)
    wanted = {key(v): model.sharded_state_dict() for v, model in enumerate(models)}
    state, not_asked_for, not_there = dc.load(wanted, c.directory, strict=StrictHandling.RETURN_ALL)
    assert not not_there, not_there
    spare = [name for name in not_asked_for if not name.endswith("_extra_state")]  # of Transformer Engine's modules
    assert not spare, spare
    assert state["iteration"] == c.iteration_number and state["checkpoint_version"] == 3.0
    assert state["args"].ckpt_format == "torch_dist" and state["args"].num_layers == c.layers
    for v, model in enumerate(models):
        model.load_state_dict(state[key(v)], strict=True)
    compare_models(c, hf, models, counts["mcore load"])
    if c.pp == 1 and c.dtype == "fp32":
        compare_logits(c, models[0], counts["forward"])

    # torch, rank file by rank file
    fill_with_nan(models)
    torch_root = c.out
    path = generate.rank_path(c, ps.get_tensor_model_parallel_rank(), ps.get_pipeline_model_parallel_rank())
    state = torch.load(path, weights_only=False)
    for v, model in enumerate(models):
        model.load_state_dict(state[key(v)], strict=True)
    compare_models(c, hf, models, counts["rank files"])

    # and back by Megatron-Core
    args = generate.namespace(c)
    args.ckpt_format = "torch_dist"
    for name, metadata in (("stacked", None), ("per-layer", {"singleton_local_shards": True})):
        directory = os.path.join(torch_root, name, "iter_0000007")
        os.makedirs(directory, exist_ok=True)
        saved = {key(v): model.sharded_state_dict(metadata=metadata) for v, model in enumerate(models)}
        content = {"content_metadata": metadata} if metadata else {}
        dc.save({**saved, "args": args, "checkpoint_version": 3.0, "iteration": 7}, directory, **content)
        dist.barrier()
    if dist.get_rank() == 0:
        compare_layout(c.directory, os.path.join(torch_root, "stacked", "iter_0000007"), counts["layout"])
    dist.barrier()
    ps.destroy_model_parallel()


def compare_layout(ours, theirs, counts):
    """Names, shapes, dtypes and chunks are those that Megatron-Core itself makes of the grid."""
    def layout(directory):
        metadata = dcp.FileSystemReader(directory).read_metadata()
        return {
            name: (found.size, found.properties.dtype, sorted((tuple(x.offsets), tuple(x.sizes)) for x in found.chunks))
            for name, found in metadata.state_dict_metadata.items() if hasattr(found, "size")
        }, {name for name, found in metadata.state_dict_metadata.items() if not hasattr(found, "size")}  # fmt: skip
    (our_tensors, our_objects), (their_tensors, their_objects) = layout(ours), layout(theirs)
    assert our_tensors == their_tensors, {n for n in our_tensors.keys() | their_tensors.keys() if our_tensors.get(n) != their_tensors.get(n)}
    assert their_objects <= our_objects, their_objects - our_objects
    counts["tensors"] += len(our_tensors)
    counts["chunks"] = counts.get("chunks", 0) + sum(len(chunks) for _, _, chunks in our_tensors.values())


def whole_tensors(c, hf):
    """The tensors of a torch_dist checkpoint: what one rank alone would hold, layers stacked, under the names of Transformer Engine."""
    alone = generate.parse("", f"--spec te --vocab {c.vocab} --pad-to {generate.padded(c)}")
    for name, value in vars(c).items():
        if name not in ("tp", "pp", "vpp", "first", "last", "spec", "pad_to"):
            setattr(alone, name, value)
    whole, stacks = {}, {}
    for name, value in generate.build_rank(alone, hf, 0, 0).items():
        if not torch.is_tensor(value) or name.endswith("_extra_state"):
            continue
        if name.startswith("decoder.layers."):
            stacks.setdefault("decoder.layers." + name.split(".", 3)[3], []).append(value)
        else:
            whole[name] = value
    return {**whole, **{name: torch.stack(values) for name, values in stacks.items()}}


def check_whole(c, counts):
    """torch alone, and Megatron-Core's functions that know of no model; all processes take part in those."""
    from megatron.core import dist_checkpointing as dc

    expected = whole_tensors(c, generate.make_hf(c))
    reader = dcp.FileSystemReader(c.directory)
    described = {n: m for n, m in reader.read_metadata().state_dict_metadata.items() if hasattr(m, "size")}
    by_torch = {name: torch.empty(found.size, dtype=found.properties.dtype) for name, found in described.items()}
    dcp.load(by_torch, storage_reader=reader, no_dist=True)
    by_mcore = dc.load_plain_tensors(c.directory)
    for kind, loaded in (("dcp.load", by_torch), ("load_plain_tensors", by_mcore)):
        found = {name: tensor for name, tensor in loaded.items() if torch.is_tensor(tensor)}
        assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
        for name, tensor in found.items():
            cut = (lambda t: without_padding(c, t)) if name in VOCABULARY else (lambda t: t)
            counts[kind]["bytes"] += same(cut(tensor), cut(expected[name]), name)
            counts[kind]["tensors"] += 1
    metadata = dc.load_tensors_metadata(c.directory)
    if dist.get_rank() == 0:  # torch alone: no metadata.json, no common.pt
        args = generate.namespace(c)
        args.tensor_model_parallel_size = 1
        state = {"model": {f"module.{name}": tensor for name, tensor in expected.items()}, "args": args, "iteration": 7}
        dcp.save(state, storage_writer=dcp.FileSystemWriter(os.path.join(c.out, "plain", "iter_0000007")), no_dist=True)
    for name, tensor in expected.items():
        assert list(metadata[name].global_shape) == list(tensor.shape) and metadata[name].dtype == tensor.dtype, name


def run_rank(rank, work):
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.cuda.synchronize = lambda *a, **k: None  # called by Megatron-Core whether there is a GPU or not
    torch.cuda.current_device = lambda: torch.device("cpu")
    torch.Tensor.cuda = lambda tensor, *a, **k: tensor
    from megatron.core.tensor_parallel.random import CudaRNGStatesTracker

    CudaRNGStatesTracker.fork = lambda *a, **k: contextlib.nullcontext()  # nothing is drawn: there is no dropout
    dist.init_process_group("gloo", rank=rank, world_size=WORLD, init_method=f"file://{work}/rendezvous")
    names = ("mcore load", "forward", "rank files", "layout", "dcp.load", "load_plain_tensors")
    counts = {name: {"tensors": 0, "bytes": 0} for name in names}
    for number, options in enumerate(CASES):
        c = parse(options, number, work)
        check_case(c, counts)
        check_whole(c, counts)
        if rank == 0:
            print(f"ok   {options or 'one rank'}: loaded by torch and Megatron-Core, saved again by Megatron-Core", flush=True)
    everyone = [None] * WORLD
    dist.all_gather_object(everyone, counts)
    for name in ("mcore load", "rank files"):  # the other figures are the same in every process
        counts[name] = {what: sum(other[name][what] for other in everyone) for what in counts[name]}
    if rank == 0:
        with open(os.path.join(work, "counts.json"), "w", encoding="utf8") as file:
            json.dump(counts, file)
    dist.destroy_process_group()


# --- the parent -----------------------------------------------------------------------------------------------------------


def run(node, *arguments):
    done = subprocess.run([*node.split(), PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"ckpt-convert {' '.join(map(str, arguments))}: {done.stderr}")


def write_checkpoints(node, c):
    hf = os.path.join(c.out, "hf")
    os.makedirs(hf)
    save_file(generate.make_hf(c), os.path.join(hf, "model.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(hf, "config.json"), "w", encoding="utf8") as file:
        json.dump(generate.hf_config(c), file)
    grid = ["--tp", c.tp, "--pp", c.pp, "--make-vocab-size-divisible-by", c.pad_to, "--iteration", c.iteration]
    for name in ("first", "last"):
        grid += [f"--{name}", getattr(c, name)] if getattr(c, name) else []
    grid += ["--vpp", c.vpp] if c.vpp > 1 else []
    run(node, "to-megatron", hf, os.path.join(c.out, "dist"), "--format", "torch_dist", *grid)
    run(node, "to-megatron", hf, os.path.join(c.out, "megatron"), "--spec", "local", *grid)


def check_back(node, c, counts):
    """Each checkpoint that Megatron-Core or torch saved gives the first folder."""
    expected = generate.make_hf(c)
    for name in ("stacked", "per-layer", "plain"):
        out = os.path.join(c.out, f"hf-{name}")
        run(node, "to-hf", os.path.join(c.out, name, "iter_0000007"), out, "--reference", os.path.join(c.out, "hf"))
        found = load_file(os.path.join(out, "model.safetensors"))
        assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
        for tensor_name, tensor in found.items():
            counts["bytes"] += same(tensor, expected[tensor_name], f"{name} {tensor_name}")
            counts["tensors"] += 1


if __name__ == "__main__":
    node = sys.argv[1] if len(sys.argv) > 1 else "node"
    with tempfile.TemporaryDirectory() as work:
        cases = [parse(options, number, work) for number, options in enumerate(CASES)]
        for c in cases:
            write_checkpoints(node, c)
        mp.spawn(run_rank, (work,), nprocs=WORLD)
        with open(os.path.join(work, "counts.json"), encoding="utf8") as file:
            counts = json.load(file)
        counts["to-hf"] = {"tensors": 0, "bytes": 0}
        for c in cases:
            check_back(node, c, counts["to-hf"])
        for name, found in counts.items():
            figures = [f"{number:.2g}" if isinstance(number, float) else str(number) for number in found.values()]
            listed = ", ".join(f"{figure} {what}" for figure, what in zip(figures, found) if figure != "0")
            print(f"ok   {name}: {'' if 'cases' in found else f'{len(cases)} cases, '}{listed}, 0 differences")
