import * as ort from 'onnxruntime-node';
import type { WeightDtype } from './graphs/weight-input.ts';

/** A tensor that onnxruntime reads, and writes when it is given as a fetch, in the memory of its JavaScript array. */
export type Tensor = ort.Tensor;

/** Feeds or results by name. */
export type Tensors = Readonly<Record<string, Tensor>>;

export interface Session {
  /** The outputs named by `fetches`: fresh tensors for a list of names, the given memory filled in for a record. */
  run(feeds: Tensors, fetches: readonly string[] | Tensors): Promise<Tensors>;
  close(): Promise<void>;
}

export interface SessionOptions {
  /** Threads of one operator; onnxruntime takes one per physical core when this is not set. */
  readonly threads?: number | undefined;
}

/**
 * Compiles a serialized graph. `run` works synchronously inside one event-loop turn, so nothing else happens in this
 * thread meanwhile; a server runs it in a worker.
 */
export async function openSession(model: Uint8Array, options: SessionOptions = {}): Promise<Session> {
  const session = await ort.InferenceSession.create(model, {
    ...(options.threads === undefined ? {} : { intraOpNumThreads: options.threads }),
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
    // Waiting threads sleep: spinning doubles the CPU time of small graphs and makes none of ours faster.
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  });
  return {
    run: (feeds, fetches) => session.run(feeds, fetches),
    close: () => session.release(),
  };
}

/** A tensor over `data` itself: later writes to the array are seen by later runs. */
export function float32Tensor(data: Float32Array, shape: readonly number[]): Tensor {
  return new ort.Tensor('float32', data, shape);
}

/** The values of a float32 result. */
export function float32Data(tensor: Tensor | undefined): Float32Array {
  if (tensor?.data instanceof Float32Array) return tensor.data;
  throw new TypeError(`expected a float32 result, got ${tensor?.type}`);
}

export function int32Tensor(data: Int32Array, shape: readonly number[]): Tensor {
  return new ort.Tensor('int32', data, shape);
}

/** A weight as `addWeight` declares it: float32, or the uint16 of the bits of a two-byte float. */
export function weightTensor(bytes: Uint8Array, dtype: WeightDtype, shape: readonly number[]): Tensor {
  const { buffer, byteOffset, byteLength } = bytes;
  if (dtype === 'F32') return new ort.Tensor('float32', new Float32Array(buffer, byteOffset, byteLength / 4), shape);
  return new ort.Tensor('uint16', new Uint16Array(buffer, byteOffset, byteLength / 2), shape);
}
