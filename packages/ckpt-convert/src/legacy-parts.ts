import type { Dtype } from '@pai-cpt/core';
import type { PlacedShard } from './checkpoint.ts';
import type { LegacyOrder, ReorderedReads } from './legacy-order.ts';
import { refusal } from './unsupported-features.ts';

type Tensors = Map<string, { dtype: Dtype; shard: PlacedShard }>;

/**
 * Tensors that versions before Megatron-Core store in two parts become the one that all later code knows.
 * @throws UnsupportedError `CPT_UNSUPPORTED_MODEL` for parts whose order nothing in the file tells.
 */
export function fuseLegacy(
  tensors: Tensors,
  { order, reads }: { readonly order: LegacyOrder; readonly reads: ReorderedReads },
): Tensors {
  for (const [name, first] of tensors) {
    const [, block, part, kind] = /^(.+\.)(linear_q|linear_fc1_1)\.(weight|bias)$/.exec(name) ?? [];
    const other = `${block}${part === 'linear_q' ? 'linear_kv' : 'linear_fc1_2'}.${kind}`;
    const second = tensors.get(other);
    if (block === undefined || !second || second.dtype !== first.dtype) continue;
    const fused = `${block}${part === 'linear_q' ? 'linear_qkv' : 'linear_fc1'}.${kind}`;
    if (part !== 'linear_q') requireGateFirst(tensors, first.shard.file);
    const join = part === 'linear_q' ? reads.fuse : reads.stack;
    tensors.set(fused, { dtype: first.dtype, shard: join(first.shard, second.shard, first.dtype, fused, order) });
    tensors.delete(name);
    tensors.delete(other);
  }
  return tensors;
}

/**
 * Of `dense_h_to_4h_1` and `_2` the first is the gate in Pai's Llama, which has no biases, and the second in its Qwen, which has one of
 * query_key_value. Source: Pai-Megatron-Patch, megatron_patch/model/llama/transformer.py, `ParallelMLP.forward`; the order in which
 * toolkits/model_checkpoints_convertor/{llama,qwen}/checkpoint_reshaping_and_interoperability.py join the two.
 */
function requireGateFirst(tensors: Tensors, file: string): void {
  const bias = [...tensors.keys()].find((name) => /\.linear_qkv\.bias$/.test(name));
  if (bias === undefined) return;
  const why = `"${bias}" is there, and Qwen of that time has the gate second`;
  throw refusal(file, 'gate and up as dense_h_to_4h_1 and _2 beside biases', why);
}
