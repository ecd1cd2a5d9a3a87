import { InvalidInputError, tensorBytes } from '@pai-cpt/core';
import { serializePickle } from './pickle.ts';
import type { TorchTensorDeclaration, WritableValue } from './writable-values.ts';
import { type ByteSink, DATA_ALIGNMENT, StoredZipWriter, storedZipLength } from './zip-write.ts';

/** From the first two of these torch can compute the place of each storage instead of asking the directory. */
const BEFORE = [
  ['.format_version', '1'],
  ['.storage_alignment', String(DATA_ALIGNMENT)],
  ['byteorder', 'little'],
] as const;
const AFTER = [['version', '3\n']] as const;

/**
 * Writes a file as torch.save does, without holding it: `start`, then the bytes of all `tensors` in order, cut wherever the
 * caller likes, then `finish`. `stem` names the folder inside; torch takes the file name without its extension.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for a value that has no pickle, for bytes too many, or at `finish` too few.
 */
export class TorchFileWriter {
  /** Every declaration of `root` once, in the order in which their bytes are due. */
  readonly tensors: readonly TorchTensorDeclaration[];
  /** Of the whole file. */
  readonly byteLength: number;
  readonly #zip: StoredZipWriter;
  readonly #folder: string;
  readonly #pickle: Uint8Array;
  #next = 0;
  #remaining = 0;

  constructor(sink: ByteSink, stem: string, root: WritableValue) {
    if (!/^[\w.-]+$/.test(stem) || /^\.+$/.test(stem)) throw misuse(`the stem "${stem}" is no plain name`);
    const { bytes, tensors } = serializePickle(root);
    this.tensors = tensors;
    this.#zip = new StoredZipWriter(sink);
    this.#folder = stem;
    this.#pickle = bytes;
    const text = ([name, content]: readonly [string, string]) => ({
      name: `${stem}/${name}`,
      byteLength: Buffer.byteLength(content),
    });
    this.byteLength = storedZipLength([
      { name: `${stem}/data.pkl`, byteLength: bytes.byteLength },
      ...BEFORE.map(text),
      ...tensors.map(({ dtype, shape }, at) => ({ name: `${stem}/data/${at}`, byteLength: tensorBytes(shape, dtype) })),
      ...AFTER.map(text),
    ]);
  }

  /** Writes everything that comes before the tensors. */
  async start(): Promise<void> {
    await this.#zip.entry(`${this.#folder}/data.pkl`, this.#pickle);
    for (const [name, text] of BEFORE) await this.#text(name, text);
    await this.#openNext();
  }

  /** The next bytes of the tensors, little-endian. */
  async append(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.byteLength > 0) {
      if (this.#remaining === 0)
        throw misuse(`${rest.byteLength} bytes more than its ${this.tensors.length} tensors take`);
      const part = rest.subarray(0, this.#remaining);
      await this.#zip.write(part);
      this.#remaining -= part.byteLength;
      rest = rest.subarray(part.byteLength);
      await this.#openNext();
    }
  }

  /** Writes what comes after the tensors; the sink stays the caller's to close. */
  async finish(): Promise<void> {
    if (this.#remaining > 0 || this.#next < this.tensors.length) {
      const which = `tensor ${this.#next} of ${this.tensors.length}`;
      throw misuse(`${which} misses ${this.#remaining} bytes`);
    }
    for (const [name, text] of AFTER) await this.#text(name, text);
    await this.#zip.finish();
  }

  /** Begins the entries of the tensors that follow, up to one that takes bytes. */
  async #openNext(): Promise<void> {
    while (this.#remaining === 0 && this.#next < this.tensors.length) {
      const { shape, dtype } = this.tensors[this.#next] as TorchTensorDeclaration;
      this.#remaining = tensorBytes(shape, dtype);
      await this.#zip.begin(`${this.#folder}/data/${this.#next}`, this.#remaining);
      this.#next++;
    }
  }

  async #text(name: string, text: string): Promise<void> {
    await this.#zip.entry(`${this.#folder}/${name}`, new TextEncoder().encode(text));
  }
}

function misuse(why: string): InvalidInputError {
  return new InvalidInputError('CPT_INPUT_INVALID', `torch file writer: ${why}`);
}
