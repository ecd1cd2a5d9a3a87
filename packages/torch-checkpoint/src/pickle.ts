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
 * A protocol-2 pickle of the value, as torch.save writes it and `torch.load(weights_only=True)` accepts it. Its bytes depend on
 * names, shapes and plain values only, so the file can be laid out before any tensor is read.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for a value that has no pickle.
 */
export function serializePickle(root: WritableValue): SerializedPickle {
  const writer = new PickleWriter();
  writer.root(root);
  return { bytes: writer.output(), tensors: [...writer.storageKeys.keys()] };
}

class PickleWriter {
  readonly storageKeys = new Map<TorchTensorDeclaration, string>();
  readonly #parts: Uint8Array[] = [];
  readonly #globals = new Map<string, number>();

  root(value: WritableValue): void {
    this.#op('PROTO', [2]);
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

  #dict(entries: readonly (readonly [string | number, WritableValue])[]): void {
    this.#op('EMPTY_DICT');
    this.#setItems(entries);
  }

  #setItems(entries: readonly (readonly [string | number, WritableValue])[]): void {
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
    const known = this.#globals.get(global);
    if (known !== undefined) {
      this.#op('BINGET', [known]);
      return;
    }
    this.#op('GLOBAL', Buffer.from(global, 'utf8'));
    this.#op('BINPUT', [this.#globals.size]);
    this.#globals.set(global, this.#globals.size);
  }

  #string(text: string): void {
    if (/\p{Surrogate}/u.test(text)) throw invalid('a string holds half a surrogate pair');
    const utf8 = Buffer.from(text, 'utf8');
    const length = Buffer.alloc(4);
    length.writeUInt32LE(utf8.byteLength);
    this.#op('BINUNICODE', length);
    this.#parts.push(utf8);
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
