import { fileURLToPath } from 'node:url';
import { bytesSource } from '@pai-cpt/core';
import { fileSource } from '@pai-cpt/core/node';
import { openSafetensors } from '@pai-cpt/safetensors';
import { type MegatronRanks, type ModelShape, modelShapeFromHfConfig, safetensorsWeights } from '../src/index.ts';

/** What `fixtures/model-runner/generate.py` wrote: a tiny bf16 model and what torch computes with it. */
const directory = fileURLToPath(new URL('../../../fixtures/model-runner/', import.meta.url));

export interface Reference {
  readonly loss: number;
  readonly generation: { readonly prompt: number[]; readonly tokens: number[]; readonly logprobs: number[] };
  readonly tiedLoss: number;
  readonly rotary: readonly {
    readonly headDim: number;
    readonly theta: number;
    readonly positions: number[];
    readonly pairs: number[];
    readonly cos: number[][];
    readonly sin: number[][];
  }[];
  readonly training: {
    readonly layers: number;
    readonly learningRates: number[];
    readonly clipGrad: number;
    readonly losses: number[];
    readonly gradNorms: number[];
  };
}

export async function readReference(): Promise<Reference> {
  return readJson('reference.json');
}

export async function readShape(): Promise<ModelShape> {
  return modelShapeFromHfConfig(await readJson('model/config.json'));
}

export async function openHfWeights() {
  return safetensorsWeights(await openInMemory('model/model.safetensors'));
}

/** The tensor parallel 2 × pipeline parallel 2 rank files, with the vocabulary padded from 250 to 256 rows. */
export async function openMegatronRanks(): Promise<MegatronRanks> {
  const open = async (rank: number, stage: number) =>
    safetensorsWeights(await openInMemory(`megatron/mp_rank_0${rank}_00${stage}.safetensors`));
  const sources = [
    [await open(0, 0), await open(0, 1)],
    [await open(1, 0), await open(1, 1)],
  ];
  return {
    parallel: { tensorParallelSize: 2, pipelineParallelSize: 2 },
    layersPerStage: [2, 2],
    rank: (rank, stage) => {
      const source = sources[rank]?.[stage];
      if (!source) throw new RangeError(`no rank ${rank} of stage ${stage}`);
      return source;
    },
  };
}

/** Float32 tensors of `forward.safetensors` or `training.safetensors`; ids as sequences, a row each. */
export async function openTensors(name: 'forward' | 'training') {
  const file = await openInMemory(`${name}.safetensors`);
  return {
    async floats(tensor: string): Promise<Float32Array> {
      return new Float32Array((await file.read(tensor)).buffer);
    },
    async sequences(): Promise<Int32Array[]> {
      const ids = new Int32Array((await file.read('ids')).buffer);
      const length = file.tensors.get('ids')?.shape.at(-1) as number;
      return Array.from({ length: ids.length / length }, (_, row) => ids.slice(row * length, (row + 1) * length));
    },
  };
}

export async function openInMemory(name: string) {
  return openSafetensors(bytesSource(await readFixture(name)), name);
}

export async function readJson<T>(name: string): Promise<T> {
  return JSON.parse(Buffer.from(await readFixture(name)).toString());
}

/** The bytes of a file of the folder. */
export async function readFixture(name: string): Promise<Uint8Array> {
  const file = await fileSource(directory + name);
  try {
    return await file.read(0, file.byteLength);
  } finally {
    await file.close();
  }
}

/** ‖values − reference‖ ÷ ‖reference‖. */
export function relativeL2(values: Float32Array, reference: Float32Array): number {
  if (values.length !== reference.length) return Number.NaN;
  let difference = 0;
  let size = 0;
  for (const [i, expected] of reference.entries()) {
    difference += ((values[i] as number) - expected) ** 2;
    size += expected ** 2;
  }
  return Math.sqrt(difference / size);
}
