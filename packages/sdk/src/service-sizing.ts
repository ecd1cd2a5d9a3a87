import { CptError, InvalidInputError } from '@pai-cpt/core';
import type { PaiTransport } from './pai-transport.ts';
import type { ServiceSpec } from './service-spec.ts';
import type { WireMachine } from './service-wire.ts';

/** The GPUs of an instance type. */
export interface Machine {
  readonly instanceType: string;
  readonly gpus: number;
  /** Of one of them. */
  readonly gpuMemoryGiB: number;
}

/** The part of a specification that follows from a model and a machine. */
export type Serving = Pick<ServiceSpec, 'tensorParallelSize' | 'maxModelLength' | 'sharedMemoryGiB' | 'diskGiB'>;

const GIB = 2 ** 30;
/** vLLM's own default of --gpu-memory-utilization. */
const USABLE_SHARE = 0.9;
/** Activations, CUDA graphs and NCCL on each GPU; an allowance, not a measurement. */
const OVERHEAD_GIB = 4;
const KV_BYTES = 2;
/** As the documented service of a 72B model has them: 200 GiB each on 8 GPUs. */
const SHARED_MEMORY_GIB_PER_GPU = 25;
const DISK_GIB = 200;

/**
 * How vLLM can serve a model on a machine. It is spread over as many GPUs as divide its heads evenly, for idle ones cost the same;
 * what the weights leave free holds keys and values: 2 × layers × KV heads / GPUs × head dim × 2 bytes a token on each GPU. The result
 * is the longest context of which one request fits, at most what the model was made for.
 * @throws InvalidInputError `CPT_INPUT_INVALID` with the numbers when the weights do not fit, `CPT_CONFIG_MODEL`.
 */
export function suggestServing(
  weightBytes: number,
  config: Readonly<Record<string, unknown>>,
  machine: Machine,
): Serving {
  const { gpus, gpuMemoryGiB, instanceType } = machine;
  const heads = read(config, 'num_attention_heads');
  const groups = config.num_key_value_heads === undefined ? heads : read(config, 'num_key_value_heads');
  const headDim = config.head_dim === undefined ? read(config, 'hidden_size') / heads : read(config, 'head_dim');
  const isEven = (size: number) => heads % size === 0 && (groups % size === 0 || size % groups === 0);
  const sizes = Array.from({ length: gpus }, (_, at) => gpus - at);
  const tensorParallelSize = sizes.find(isEven) ?? 1;
  const weightsGiB = weightBytes / GIB / tensorParallelSize;
  const freeGiB = USABLE_SHARE * gpuMemoryGiB - OVERHEAD_GIB - weightsGiB;
  const bytesPerToken =
    2 * read(config, 'num_hidden_layers') * Math.ceil(groups / tensorParallelSize) * headDim * KV_BYTES;
  const tokens = Math.floor((freeGiB * GIB) / bytesPerToken);
  if (tokens < 1) {
    throw new InvalidInputError(
      'CPT_INPUT_INVALID',
      `${instanceType}: the weights are ${weightsGiB.toFixed(1)} GiB on each of ${tensorParallelSize} GPUs; of ${gpuMemoryGiB} GiB, ${USABLE_SHARE} less ${OVERHEAD_GIB} GiB can hold them: ${(USABLE_SHARE * gpuMemoryGiB - OVERHEAD_GIB).toFixed(1)} GiB; take an instance type with more GPUs`,
      { field: '/instanceType' },
    );
  }
  return {
    tensorParallelSize,
    maxModelLength: Math.min(tokens, read(config, 'max_position_embeddings')),
    ...(tensorParallelSize > 1 && { sharedMemoryGiB: SHARED_MEMORY_GIB_PER_GPU * tensorParallelSize }),
    diskGiB: DISK_GIB,
  };
}

/** What PAI says of an instance type; undefined when it does not know it, has no GPU, or may not be asked. */
export async function readMachine(
  pai: PaiTransport,
  instanceType: string,
  signal: AbortSignal | undefined,
): Promise<Machine | undefined> {
  const query = { InstanceTypes: instanceType };
  const answer: { InstanceMetas?: WireMachine[] } = await pai
    .call('DescribeMachineSpec', { query }, { signal })
    .catch((error: unknown) => {
      // A deployment does not fail for what it could do without.
      if (CptError.isInstance(error) && !signal?.aborted) return {};
      throw error;
    });
  const { InstanceMetas = [] } = answer;
  const found = InstanceMetas.find(({ InstanceType }) => InstanceType === instanceType);
  const [gpus, gpuMemoryGiB] = [found?.GPUAmount ?? 0, found?.GPUMemory ?? 0];
  return gpus > 0 && gpuMemoryGiB > 0 ? { instanceType, gpus, gpuMemoryGiB } : undefined;
}

function read(config: Readonly<Record<string, unknown>>, name: string): number {
  const value = config[name];
  if (typeof value === 'number' && value > 0) return value;
  throw new InvalidInputError(
    'CPT_CONFIG_MODEL',
    `config.json: ${name} is ${JSON.stringify(value)}; it must be above 0`,
  );
}
