import { join } from 'node:path';
import type { Dtype, Shape } from '@pai-cpt/core';
import { INDEX_FILE, openSafetensorsDirectory, SINGLE_FILE } from '@pai-cpt/safetensors';
import { openMegatronCheckpoint } from './checkpoint.ts';
import { fillTile } from './execute.ts';
import { readReference } from './hf-files.ts';
import type { HfConfig } from './model-config.ts';
import { pathExists } from './node.ts';
import { type PlannedTensor, planConversion } from './plan.ts';
import { checkShapes, resolveParameters } from './resolve.ts';

/** A checkpoint of either format as whole tensors under Hugging Face names, read in blocks. */
export interface OpenTensors {
  readonly kind: 'hf' | 'megatron';
  readonly tensors: ReadonlyMap<string, { readonly dtype: Dtype; readonly shape: Shape; readonly byteLength: number }>;
  /** Fills `target`, at most `TILE_BYTES`, with the tensor's bytes from `offset` on. */
  readInto(name: string, offset: number, target: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** True for a folder with safetensors that transformers would load. */
export async function isHfFolder(path: string): Promise<boolean> {
  return (await pathExists(join(path, INDEX_FILE))) || (await pathExists(join(path, SINGLE_FILE)));
}

/** `reference` is the config.json of the other side: a Megatron checkpoint does not tell everything by itself. */
export async function openTensors(path: string, reference: HfConfig | undefined): Promise<OpenTensors> {
  return (await isHfFolder(path)) ? openHfTensors(path) : openMegatronTensors(path, reference);
}

async function openHfTensors(path: string): Promise<OpenTensors> {
  const folder = await openSafetensorsDirectory(path);
  return {
    kind: 'hf',
    tensors: folder.tensors,
    async readInto(name, offset, target) {
      target.set(await folder.tensorSource(name).read(offset, target.byteLength));
    },
    close: folder.close,
  };
}

async function openMegatronTensors(path: string, reference: HfConfig | undefined): Promise<OpenTensors> {
  const own = (await pathExists(join(path, 'config.json'))) ? await readReference(path) : undefined;
  const known = reference ?? own;
  const checkpoint = await openMegatronCheckpoint(path, known ? { reference: known } : {});
  try {
    const resolution = resolveParameters(checkpoint);
    checkShapes(checkpoint, resolution);
    const plan = planConversion(checkpoint, resolution, Number.MAX_SAFE_INTEGER);
    const planned = plan.outputShards.flatMap((shard) => shard.tensors);
    const tensors = new Map(planned.map((tensor) => [tensor.name, tensor]));
    return {
      kind: 'megatron',
      tensors,
      async readInto(name, offset, target) {
        fillTile(tensors.get(name) as PlannedTensor, offset, target, checkpoint.readInto);
      },
      close: checkpoint.close,
    };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}
