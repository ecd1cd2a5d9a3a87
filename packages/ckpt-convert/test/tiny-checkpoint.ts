import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Dtype, type Shape, tensorBytes } from '@pai-cpt/core';
import { TorchFileWriter, type TorchTensorDeclaration, type WritableValue } from '@pai-cpt/torch-checkpoint';
import { FAMILIES } from '../src/families/index.ts';
import type { HfTensors, ModelConfig } from '../src/index.ts';
import { expectedRows, outputsOf } from '../src/resolve.ts';

export const FIXTURES = join(import.meta.dirname, '../../../fixtures/checkpoints');

/** A model that fits in a kilobyte or two. */
export const TINY: ModelConfig = {
  family: 'qwen2',
  layers: 2,
  hiddenSize: 8,
  ffnHiddenSize: 8,
  heads: 4,
  queryGroups: 2,
  headDim: 2,
  vocabSize: 11,
  normEpsilon: 1e-6,
  ropeTheta: 1e6,
  isTied: false,
  hasQkvBias: true,
  maxPositionEmbeddings: 64,
};

/** Calls `body` with an empty directory that is gone afterwards. */
export async function withDirectory<T>(body: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'ckpt-convert-'));
  try {
    return await body(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Every tensor of a model, filled with bytes that a small generator gives: no two rows are alike. */
export function randomTensors(model: ModelConfig, dtype: Dtype, seed = 1): HfTensors & { names: string[] } {
  let state = seed >>> 0;
  const tensors = new Map<string, { dtype: Dtype; shape: Shape; bytes: Uint8Array }>();
  for (const { mapping, layer } of expectedRows(FAMILIES[model.family], model)) {
    for (const { hfName, shape } of outputsOf(mapping, layer, model)) {
      const bytes = new Uint8Array(tensorBytes(shape, dtype)).map(() => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state >>> 24;
      });
      tensors.set(hfName, { dtype, shape, bytes });
    }
  }
  return {
    names: [...tensors.keys()],
    shapeOf: (name) => tensors.get(name),
    read: async (name) => (tensors.get(name) as { bytes: Uint8Array }).bytes.slice(),
  };
}

/** A rank file with any content; tensors are filled with their running number. */
export async function writeRankFile(path: string, root: WritableValue): Promise<void> {
  const chunks: Uint8Array[] = [];
  const sink = { write: async (bytes: Uint8Array) => void chunks.push(bytes.slice()) };
  const writer = new TorchFileWriter(sink, 'model_optim_rng', root);
  await writer.start();
  for (const [number, { shape, dtype }] of writer.tensors.entries() as Iterable<[number, TorchTensorDeclaration]>) {
    await writer.append(new Uint8Array(tensorBytes(shape, dtype)).fill(number + 1));
  }
  await writer.finish();
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, Buffer.concat(chunks));
}
