"""A conversion as converters in Python do it: loads every rank file, concatenates in memory, saves. torch_merge.py CHECKPOINT OUT TP PP"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

source, output, tp, pp = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
iteration = next(source.glob("iter_*"))
ranks = [
    [torch.load(iteration / f"mp_rank_{t:02d}_{p:03d}/model_optim_rng.pt", map_location="cpu", weights_only=False) for t in range(tp)]
    for p in range(pp)
]
args = ranks[0][0]["args"]
groups, heads, head_dim, hidden = args.num_query_groups, args.num_attention_heads, args.kv_channels, args.hidden_size
per_group = heads // groups
state = {}


def merge(models, name, axis=0):
    return torch.cat([model[name] for model in models], dim=axis)


def split_qkv(fused):
    rows = fused.view(groups, per_group + 2, head_dim, -1)
    q, k, v = rows[:, :per_group], rows[:, per_group : per_group + 1], rows[:, per_group + 1 :]
    shape = (-1, hidden) if fused.dim() == 2 else (-1,)
    return [part.reshape(*shape).contiguous() for part in (q, k, v)]


first = [rank["model"] for rank in ranks[0]]
last = [rank["model"] for rank in ranks[-1]]
state["model.embed_tokens.weight"] = merge(first, "embedding.word_embeddings.weight")[: args.vocab_size].contiguous()
state["lm_head.weight"] = merge(last, "output_layer.weight")[: args.vocab_size].contiguous()
state["model.norm.weight"] = last[0]["decoder.final_layernorm.weight"].clone()
layer = 0
for stage in ranks:
    models = [rank["model"] for rank in stage]
    count = sum(name.endswith("linear_proj.weight") for name in models[0])
    for local in range(count):
        old, new = f"decoder.layers.{local}", f"model.layers.{layer}"
        for kind in ("weight", "bias"):
            parts = split_qkv(merge(models, f"{old}.self_attention.linear_qkv.{kind}"))
            for letter, part in zip("qkv", parts):
                state[f"{new}.self_attn.{letter}_proj.{kind}"] = part
        state[f"{new}.self_attn.o_proj.weight"] = merge(models, f"{old}.self_attention.linear_proj.weight", 1)
        halves = [model[f"{old}.mlp.linear_fc1.weight"].chunk(2) for model in models]
        state[f"{new}.mlp.gate_proj.weight"] = torch.cat([gate for gate, _ in halves])
        state[f"{new}.mlp.up_proj.weight"] = torch.cat([up for _, up in halves])
        state[f"{new}.mlp.down_proj.weight"] = merge(models, f"{old}.mlp.linear_fc2.weight", 1)
        state[f"{new}.input_layernorm.weight"] = models[0][f"{old}.self_attention.linear_qkv.layer_norm_weight"].clone()
        state[f"{new}.post_attention_layernorm.weight"] = models[0][f"{old}.mlp.linear_fc1.layer_norm_weight"].clone()
        layer += 1
output.mkdir(parents=True)
save_file(state, output / "model.safetensors", metadata={"format": "pt"})
