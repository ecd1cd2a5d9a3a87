import { InvalidInputError, tensorBytes } from '@pai-cpt/core';
import {
  type ByteSink,
  orderedDict,
  TorchFileWriter,
  type TorchTensorDeclaration,
  tensorDeclaration,
  type WritableValue,
} from '@pai-cpt/torch-checkpoint';
import type { RankFilePlan, RankTensor } from '../rank-plan.ts';

/** A torch.save file: a whole rank file, or one of the many in a `.distcp` file. */
export interface TorchPart {
  /** Of the folder inside. */
  readonly stem: string;
  readonly root: WritableValue;
  /** Those that `root` declares, in the same order. */
  readonly tensors: readonly RankTensor[];
}

/** The one part of a rank file. `head` is everything before the model. */
export function rankFilePart(plan: RankFilePlan, head: readonly (readonly [string, WritableValue])[]): TorchPart {
  const models = plan.chunks.map(({ key, tensors, extraStates }) => {
    const weights = tensors.map(({ localName, dtype, shape }): [string, TorchTensorDeclaration] => [
      localName,
      tensorDeclaration(dtype, shape),
    ]);
    return [key, orderedDict([...weights, ...extraStates.map((name) => [name, null] as const)])] as const;
  });
  const root = new Map<string, WritableValue>([...head, ...models]);
  return { stem: 'model_optim_rng', root, tensors: plan.chunks.flatMap(({ tensors }) => tensors) };
}

/** Bytes of a part, known before any tensor is read. */
export function partLength({ stem, root }: TorchPart): number {
  return new TorchFileWriter({ write: async () => {} }, stem, root).byteLength;
}

/** What is shorter is gathered: between two small tensors lie a dozen records of a few bytes. */
const GATHERED_BYTES = 64 * 1024;

/** Writes the parts of one file; the bytes of their tensors come in order, each call within one tensor. */
export class TorchPartsWriter {
  readonly #out: ByteSink;
  readonly #sink: ByteSink = { write: (bytes) => this.#gather(bytes) };
  #gathered: Uint8Array[] = [];
  readonly #parts: readonly TorchPart[];
  #next = 0;
  #writer: TorchFileWriter | undefined;
  #remaining = 0;

  constructor(sink: ByteSink, parts: readonly TorchPart[]) {
    this.#out = sink;
    this.#parts = parts;
  }

  /** Writes what comes before the first tensor. */
  async start(): Promise<void> {
    while (this.#remaining === 0 && this.#next < this.#parts.length) {
      await this.#writer?.finish();
      const { stem, root } = this.#parts[this.#next++] as TorchPart;
      this.#writer = new TorchFileWriter(this.#sink, stem, root);
      this.#remaining = this.#writer.tensors.reduce((sum, { shape, dtype }) => sum + tensorBytes(shape, dtype), 0);
      await this.#writer.start();
    }
    await this.#flush();
  }

  async append(bytes: Uint8Array): Promise<void> {
    await this.#writer?.append(bytes);
    this.#remaining -= bytes.byteLength;
    // At once, not before the next bytes: those may lie in a buffer that what is written in between would take.
    await this.start();
  }

  async finish(): Promise<void> {
    if (this.#next < this.#parts.length || this.#remaining > 0) {
      const why = `part ${this.#next} of ${this.#parts.length} misses ${this.#remaining} bytes`;
      throw new InvalidInputError('CPT_INPUT_INVALID', `torch file writer: ${why}`);
    }
    await this.#writer?.finish();
    await this.#flush();
  }

  async #gather(bytes: Uint8Array): Promise<void> {
    if (bytes.byteLength < GATHERED_BYTES) {
      this.#gathered.push(bytes.slice());
      return;
    }
    await this.#flush();
    await this.#out.write(bytes);
  }

  async #flush(): Promise<void> {
    if (this.#gathered.length === 0) return;
    const bytes = Buffer.concat(this.#gathered);
    this.#gathered = [];
    await this.#out.write(bytes);
  }
}
