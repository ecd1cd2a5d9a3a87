import { InvalidInputError } from '@pai-cpt/core';
import { serializeHeader, type TensorDeclaration, totalBytes } from './header.ts';

/** Where a writer puts its bytes, in order; `write` resolves when the bytes may be reused. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>;
}

/**
 * Writes one safetensors file without holding it: all tensors are declared first, in file order, then their bytes follow in
 * that order, cut wherever the caller likes.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for bytes past the last tensor, or at `finish` for missing ones.
 */
export class SafetensorsWriter {
  /** Size of the finished file. */
  readonly byteLength: number;
  readonly #sink: ByteSink;
  readonly #header: Uint8Array;
  #remaining: number;

  constructor(sink: ByteSink, tensors: readonly TensorDeclaration[], metadata?: Record<string, string>) {
    this.#sink = sink;
    this.#header = serializeHeader(tensors, metadata);
    this.#remaining = totalBytes(tensors);
    this.byteLength = this.#header.byteLength + this.#remaining;
  }

  /** Writes the header. */
  async start(): Promise<void> {
    await this.#sink.write(this.#header);
  }

  /** The next bytes of the data section. */
  async append(bytes: Uint8Array): Promise<void> {
    if (bytes.byteLength > this.#remaining) {
      throw misuse(`${bytes.byteLength} bytes are appended, ${this.#remaining} are missing to the end`);
    }
    this.#remaining -= bytes.byteLength;
    await this.#sink.write(bytes);
  }

  /** Proves that every declared byte was appended; the sink stays the caller's to close. */
  async finish(): Promise<void> {
    if (this.#remaining > 0) throw misuse(`${this.#remaining} bytes of the declared tensors were not appended`);
  }
}

function misuse(why: string): InvalidInputError {
  return new InvalidInputError('CPT_INPUT_INVALID', `safetensors writer: ${why}`);
}
