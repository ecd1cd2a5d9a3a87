import { createCipheriv } from 'node:crypto';
import { tensorBytes } from '@pai-cpt/core';
import { FAMILIES } from '../src/families/index.ts';
import type { HfTensors, ModelConfig } from '../src/index.ts';
import { expectedRows, outputsOf } from '../src/resolve.ts';
import { writeMegatronRankFiles } from '../src/write-torch.ts';
import { TINY } from './tiny-checkpoint.ts';

/** 55 MB in BF16. */
const MEDIUM: ModelConfig = {
  ...TINY,
  layers: 8,
  hiddenSize: 512,
  ffnHiddenSize: 1408,
  heads: 8,
  queryGroups: 4,
  headDim: 64,
  vocabSize: 4096,
};

/** Tensors of bytes that a cipher gives: always the same ones, and no two alike. */
function cipherTensors(model: ModelConfig): HfTensors {
  const outputs = expectedRows(FAMILIES[model.family], model).flatMap(({ mapping, layer }) =>
    outputsOf(mapping, layer, model),
  );
  const shapes = new Map(outputs.map(({ hfName, shape }) => [hfName, shape]));
  return {
    shapeOf(name) {
      const shape = shapes.get(name);
      return shape && { dtype: 'BF16', shape };
    },
    async read(name) {
      const cipher = createCipheriv(
        'aes-128-ctr',
        Buffer.from(name.padEnd(16).slice(-16)),
        Buffer.alloc(16, name.length),
      );
      return new Uint8Array(cipher.update(new Uint8Array(tensorBytes(shapes.get(name) ?? [], 'BF16'))));
    },
  };
}

/** Writes a checkpoint of TP 2 × PP 2 that takes a conversion long enough to be killed in. */
export async function writeMediumCheckpoint(directory: string): Promise<void> {
  const parallel = { tensorParallelSize: 2, pipelineParallelSize: 2 };
  const tensors = cipherTensors(MEDIUM);
  await writeMegatronRankFiles({ directory, iteration: 1, model: MEDIUM, parallel, tensors, dtype: 'BF16' });
}
