import { type ErrorCode, FormatError } from '@pai-cpt/core';
import { type ArgumentKind, OPCODES } from './pickle-opcodes.ts';

/** Longest string or bytes value; a path of `args` or the bytes of a random state stay far below. */
const MAX_STRING_BYTES = 64 * 1024 * 1024;
const MAX_LINE_BYTES = 4096;
const MAX_LONG_BYTES = 1024;

/** The argument of an opcode; null where it has none, and module and name for a global. */
export type Argument = null | number | bigint | string | Uint8Array | [module: string, name: string];

/** Reads opcodes and their arguments; every length is checked against the bytes that are there before anything is made. */
export class PickleCursor {
  readonly file: string;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  #at = 0;
  #frameEnd: number | undefined;
  /** Where the opcode that is being run begins, and its name. */
  opcodeOffset = 0;
  opcodeName = 'the pickle';

  readonly #read: Readonly<Record<ArgumentKind, () => Argument>> = {
    uint1: () => this.#uint8(),
    uint2: () => this.#view.getUint16(this.#take(2), true),
    uint4: () => this.#uint32(),
    uint8: () => this.#length64(),
    int4: () => this.#view.getInt32(this.#take(4), true),
    float8: () => this.#view.getFloat64(this.#take(8), false), // the only big-endian field of the format
    bytes1: () => this.#slice(this.#uint8()).slice(), // copies, so that a few bytes do not keep the whole pickle
    bytes4: () => this.#slice(this.#uint32()).slice(),
    bytes8: () => this.#slice(this.#length64()).slice(),
    text1: () => this.#text(this.#uint8()),
    text4: () => this.#text(this.#uint32()),
    text8: () => this.#text(this.#length64()),
    string1: () => this.#latin1(this.#uint8()),
    string4: () => this.#latin1(this.#signedLength()),
    long1: () => this.#long(this.#uint8()),
    long4: () => this.#long(this.#signedLength()),
    lines: () => [this.#line(), this.#line()],
  };

  constructor(bytes: Uint8Array, file: string) {
    this.file = file;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The name of the next opcode, refused ones refused, with its argument in `argument`. */
  next(): string {
    if (this.#at === this.#frameEnd) this.#frameEnd = undefined;
    this.opcodeOffset = this.#at;
    const byte = this.#uint8();
    const opcode = OPCODES.get(byte);
    const hex = `0x${byte.toString(16).padStart(2, '0')}`;
    this.opcodeName = opcode?.name ?? hex;
    if (!opcode) throw this.refuse('CPT_PICKLE_OPCODE', `${hex} is no opcode`);
    if (opcode.refused) throw this.refuse('CPT_PICKLE_OPCODE', `the opcode is refused: ${opcode.refused}`);
    this.argument = opcode.argument ? this.#read[opcode.argument]() : null;
    return opcode.name;
  }

  argument: Argument = null;

  /** Opens a frame of `length` bytes, in which opcodes and arguments must fit exactly. */
  frame(length: number): void {
    const left = this.#bytes.byteLength - this.#at;
    if (this.#frameEnd !== undefined && this.#frameEnd !== this.#at) {
      throw this.refuse('CPT_PICKLE_FRAME', `a frame begins inside another one that ends at ${this.#frameEnd}`);
    }
    if (length > left)
      throw this.refuse('CPT_PICKLE_FRAME', `a frame of ${length} bytes begins where ${left} are left`);
    this.#frameEnd = this.#at + length;
  }

  /** Proves that no frame is open, and gives the length of the pickle. */
  stop(): number {
    if (this.#frameEnd !== undefined && this.#frameEnd !== this.#at) {
      throw this.refuse('CPT_PICKLE_FRAME', `it stops before the end of its frame at ${this.#frameEnd}`);
    }
    return this.#at;
  }

  /** Proves that the pickle ends here: at the end of its frame and of its bytes. */
  end(): void {
    this.stop();
    const left = this.#bytes.byteLength - this.#at;
    if (left > 0) throw this.refuse('CPT_PICKLE_TRAILING_BYTES', `${left} bytes follow the end of the pickle`);
  }

  refuse(code: ErrorCode, why: string): FormatError {
    const place = `${this.opcodeName} at byte ${this.opcodeOffset}`;
    const details = { file: this.file, byteOffset: this.opcodeOffset };
    return new FormatError(code, `${this.file}: ${place}: ${why}`, details);
  }

  #uint8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  #uint32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  #length64(): number {
    const length = this.#view.getBigUint64(this.#take(8), true);
    if (length <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(length);
    throw this.refuse('CPT_PICKLE_LENGTH', `a length of ${length} is past 2^53`);
  }

  #signedLength(): number {
    const length = this.#view.getInt32(this.#take(4), true);
    if (length >= 0) return length;
    throw this.refuse('CPT_PICKLE_LENGTH', `a length of ${length} is negative`);
  }

  #text(length: number): string {
    const bytes = this.#slice(length);
    try {
      return this.#utf8.decode(bytes);
    } catch {
      throw this.refuse('CPT_PICKLE_MALFORMED', 'a string is not valid UTF-8');
    }
  }

  #latin1(length: number): string {
    return Buffer.from(this.#slice(length)).toString('latin1');
  }

  /** Text up to a newline, without it. */
  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0) throw this.#truncated('a line does not end');
    if (end - this.#at > MAX_LINE_BYTES) throw this.refuse('CPT_PICKLE_LIMIT', `a line passes ${MAX_LINE_BYTES} bytes`);
    const line = this.#text(end - this.#at);
    this.#take(1);
    return line;
  }

  /** A little-endian two's complement integer; a bigint where a number would round it. */
  #long(length: number): number | bigint {
    if (length > MAX_LONG_BYTES) {
      throw this.refuse('CPT_PICKLE_LIMIT', `an integer of ${length} bytes; ${MAX_LONG_BYTES} are the limit`);
    }
    if (length === 0) return 0;
    const value = BigInt(`0x${Buffer.from(this.#slice(length)).reverse().toString('hex')}`);
    const signed = BigInt.asIntN(8 * length, value);
    return BigInt(Number.MIN_SAFE_INTEGER) <= signed && signed <= BigInt(Number.MAX_SAFE_INTEGER)
      ? Number(signed)
      : signed;
  }

  #slice(length: number): Uint8Array {
    if (length > MAX_STRING_BYTES && length <= this.#bytes.byteLength - this.#at) {
      throw this.refuse('CPT_PICKLE_LIMIT', `a value of ${length} bytes; ${MAX_STRING_BYTES} are the limit`);
    }
    const from = this.#take(length);
    return this.#bytes.subarray(from, from + length);
  }

  /** Moves on by `length` bytes and gives where they began. */
  #take(length: number): number {
    const from = this.#at;
    const left = this.#bytes.byteLength - from;
    if (length > left) throw this.#truncated(`${length} bytes are needed, ${left} are left`);
    if (this.#frameEnd !== undefined && from + length > this.#frameEnd) {
      throw this.refuse('CPT_PICKLE_FRAME', `an argument passes the end of its frame at ${this.#frameEnd}`);
    }
    this.#at = from + length;
    return from;
  }

  #truncated(why: string): FormatError {
    return this.refuse('CPT_PICKLE_TRUNCATED', `${why}; the pickle is truncated`);
  }
}
