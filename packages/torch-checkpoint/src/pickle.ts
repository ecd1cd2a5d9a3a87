import { bytesPerElement, contiguousStride, elementCount, InvalidInputError } from '@pai-cpt/core';
import { OPCODES } from './pickle-opcodes.ts';
import { DTYPE_NAMES, storageClass } from './torch-tensors.ts';
import type { TorchTensorDeclaration, WritableValue } from './writable-values.ts';

/** A pickle and the tensors it names, in the order of their storage keys "0", "1", … */
export interface SerializedPickle {
  readonly bytes: Uint8Array;
  readonly tensors: readonly TorchTensorDeclaration[];
}

/** Pairs or items between two marks; CPython cuts there too, to bound the reader's stack. */
const BATCH = 1000;
const CODE = Object.fromEntries([...OPCODES].map(([byte, { name }]) => [name, byte])) as Record<string, number>;

/**
 * A pickle of the value: protocol 2 as torch.save writes it and `torch.load(weights_only=True)` accepts it, protocol 4, which names each
 * string once, as Python writes it by default. Its bytes depend on names, shapes and plain values only, so the file can be laid out
 * before any tensor is read.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for a value that has no pickle.
 */
export function serializePickle(root: WritableValue, protocol: 2 | 4 = 2): SerializedPickle {
  const writer = new PickleWriter(protocol);
  writer.root(root);
  return { bytes: writer.output(), tensors: [...writer.storageKeys.keys()] };
}

class PickleWriter {
  readonly storageKeys = new Map<TorchTensorDeclaration, string>();
  readonly #parts: Uint8Array[] = [];
  /** Numbers of what can be named again: globals, and with protocol 4 strings. */
  readonly #memo = new Map<string, number>();
  readonly #protocol: 2 | 4;

  constructor(protocol: 2 | 4) {
    this.#protocol = protocol;
  }

  root(value: WritableValue): void {
    this.#op('PROTO', [this.#protocol]);
    this.#value(value);
    this.#op('STOP');
  }

  output(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#parts));
  }

  #value(value: WritableValue): void {
    if (value === null) this.#op('NONE');
    else if (typeof value === 'boolean') this.#op(value ? 'NEWTRUE' : 'NEWFALSE');
    else if (typeof value === 'string') this.#string(value);
    else if (typeof value === 'bigint') this.#long(value);
    else if (typeof value === 'number') this.#number(value);
    else if (value instanceof Map) this.#dict([...value]);
    else if (Array.isArray(value)) this.#list(value);
    else if (typeof value === 'object' && 'kind' in value) this.#tagged(value);
    else throw invalid(`${typeof value} has no pickle`);
  }

  #tagged(value: Extract<WritableValue, { readonly kind: string }>): void {
    if (value.kind === 'float') this.#float(value.value);
    else if (value.kind === 'tuple') this.#tuple(value.items.length, () => this.#values(value.items));
    else if (value.kind === 'dtype') this.#global('torch', DTYPE_NAMES[value.dtype]);
    else if (value.kind === 'tensor-declaration') this.#tensor(value);
    else if (value.kind === 'ordered-dict') {
      this.#orderedDict();
      this.#setItems(value.entries);
    } else if (value.kind === 'dict') {
      this.#dict(value.entries);
    } else if (value.kind === 'call') {
      this.#global(value.module, value.name);
      this.#tuple(value.args.length, () => this.#values(value.args));
      this.#op('REDUCE');
    } else if (value.kind === 'instance') {
      this.#global(value.module, value.name);
      this.#op('EMPTY_TUPLE');
      this.#op('NEWOBJ');
      if (value.state === undefined) return;
      this.#value(value.state);
      this.#op('BUILD');
    } else {
      this.#global('argparse', 'Namespace');
      this.#op('EMPTY_TUPLE');
      this.#op('NEWOBJ');
      this.#dict(Object.entries(value.fields));
      this.#op('BUILD');
    }
  }

  #values(values: readonly WritableValue[]): void {
    for (const value of values) this.#value(value);
  }

  /** `_rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())`; v3 adds the dtype of an untyped storage. */
  #tensor(tensor: TorchTensorDeclaration): void {
    const { dtype, shape } = tensor;
    const key = this.storageKeys.get(tensor) ?? String(this.storageKeys.size);
    this.storageKeys.set(tensor, key);
    const storage = storageClass(dtype);
    const elements = elementCount(shape);
    this.#global('torch._utils', storage ? '_rebuild_tensor_v2' : '_rebuild_tensor_v3');
    this.#tuple(storage ? 6 : 7, () => {
      this.#tuple(5, () => {
        this.#string('storage');
        this.#global(storage ? 'torch' : 'torch.storage', storage ?? 'UntypedStorage');
        this.#string(key);
        this.#string('cpu');
        this.#number(storage ? elements : elements * bytesPerElement(dtype));
      });
      this.#op('BINPERSID');
      this.#number(0);
      for (const sizes of [shape, contiguousStride(shape)]) {
        this.#tuple(sizes.length, () => this.#values(sizes));
      }
      this.#op('NEWFALSE');
      this.#orderedDict();
      if (!storage) this.#global('torch', DTYPE_NAMES[dtype]);
    });
    this.#op('REDUCE');
  }

  #orderedDict(): void {
    this.#global('collections', 'OrderedDict');
    this.#op('EMPTY_TUPLE');
    this.#op('REDUCE');
  }

  #tuple(length: number, writeItems: () => void): void {
    if (length > 3) this.#op('MARK');
    writeItems();
    this.#op(length === 0 ? 'EMPTY_TUPLE' : length > 3 ? 'TUPLE' : `TUPLE${length}`);
  }

  #list(items: readonly WritableValue[]): void {
    this.#op('EMPTY_LIST');
    for (let i = 0; i < items.length; i += BATCH) {
      this.#op('MARK');
      this.#values(items.slice(i, i + BATCH));
      this.#op('APPENDS');
    }
  }

  #dict(entries: readonly (readonly [WritableValue, WritableValue])[]): void {
    this.#op('EMPTY_DICT');
    this.#setItems(entries);
  }

  #setItems(entries: readonly (readonly [WritableValue, WritableValue])[]): void {
    for (let i = 0; i < entries.length; i += BATCH) {
      this.#op('MARK');
      for (const [key, value] of entries.slice(i, i + BATCH)) {
        this.#value(key);
        this.#value(value);
      }
      this.#op('SETITEMS');
    }
  }

  /** Named in full once, then by its memo number. */
  #global(module: string, name: string): void {
    const global = `${module}\n${name}\n`;
    if (this.#isKnown(global)) return;
    if (this.#protocol === 4) {
      this.#string(module);
      this.#string(name);
      this.#op('STACK_GLOBAL');
    } else {
      this.#op('GLOBAL', Buffer.from(global, 'utf8'));
    }
    this.#memoize(global);
  }

  #string(text: string): void {
    if (/\p{Surrogate}/u.test(text)) throw invalid('a string holds half a surrogate pair');
    if (this.#protocol === 4 && this.#isKnown(`"${text}`)) return;
    const utf8 = Buffer.from(text, 'utf8');
    if (this.#protocol === 4 && utf8.byteLength <= 0xff) {
      this.#op('SHORT_BINUNICODE', [utf8.byteLength]);
    } else {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(utf8.byteLength);
      this.#op('BINUNICODE', length);
    }
    this.#parts.push(utf8);
    if (this.#protocol === 4) this.#memoize(`"${text}`);
  }

  /** Fetches what stands in the memo. */
  #isKnown(key: string): boolean {
    const number = this.#memo.get(key);
    if (number === undefined) return false;
    if (number <= 0xff) this.#op('BINGET', [number]);
    else this.#op('LONG_BINGET', [number, number >> 8, number >> 16, number >> 24]);
    return true;
  }

  #memoize(key: string): void {
    if (this.#protocol === 4) this.#op('MEMOIZE');
    else this.#op('BINPUT', [this.#memo.size]);
    this.#memo.set(key, this.#memo.size);
  }

  #number(value: number): void {
    // Past 2^53 a number is no exact integer any more; give a bigint for one.
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) this.#float(value);
    else if (value >= 0 && value <= 0xff) this.#op('BININT1', [value]);
    else if (value >= 0 && value <= 0xffff) this.#op('BININT2', [value & 0xff, value >> 8]);
    else if (value === (value | 0)) this.#op('BININT', [value, value >> 8, value >> 16, value >> 24]);
    else this.#long(BigInt(value));
  }

  #long(value: bigint): void {
    let length = 0;
    while (value !== 0n && BigInt.asIntN(8 * length, value) !== value) length++;
    if (length > 0xff) throw invalid('an integer has more than 255 bytes');
    const bytes = [length];
    for (let i = 0; i < length; i++) bytes.push(Number((value >> BigInt(8 * i)) & 0xffn));
    this.#op('LONG1', bytes);
  }

  #float(value: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleBE(value);
    this.#op('BINFLOAT', bytes);
  }

  #op(name: string, argument: Uint8Array | readonly number[] = []): void {
    this.#parts.push(Uint8Array.of(CODE[name] as number, ...argument));
  }
}

function invalid(why: string): InvalidInputError {
  return new InvalidInputError('CPT_INPUT_INVALID', `pickle: ${why}`);
}
