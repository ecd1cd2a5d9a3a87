import { readFileSync } from 'node:fs';
import { DTYPE_BYTES, type Dtype, FormatError, tensorBytes } from '@pai-cpt/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseHeader, serializeHeader, type TensorDeclaration, totalBytes } from './header.ts';
import { MAX_KEYS } from './strict-json.ts';

const FIXTURES = new URL('../../../fixtures/safetensors/', import.meta.url);

/** A file of this header text with `dataBytes` zero bytes behind it. */
function fileOf(header: string, dataBytes = 0): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.byteLength + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.byteLength), true);
  bytes.set(text, 8);
  return bytes;
}

function refusal(bytes: Uint8Array, fileBytes = bytes.byteLength): FormatError {
  try {
    parseHeader(bytes, fileBytes, 'model.safetensors');
  } catch (error) {
    if (error instanceof FormatError) return error;
    throw error;
  }
  throw new Error('the header was accepted');
}

interface Border {
  readonly name: string;
  readonly base64: string;
  readonly rust: string;
}

const borders: Border[] = JSON.parse(readFileSync(new URL('borders.json', FIXTURES), 'utf8'));

/** The Rust reader lets the last of two equal names win and skips spaces in front; the format forbids both. */
const STRICTER = new Set(['leading spaces', 'duplicate name', 'duplicate name, escaped', 'duplicate metadata']);

const CODES: Record<string, string> = {
  'empty file': 'CPT_FORMAT_HEADER_TOO_SMALL',
  'seven bytes': 'CPT_FORMAT_HEADER_TOO_SMALL',
  'length 0': 'CPT_FORMAT_HEADER_TOO_SMALL',
  'length 2^64-1': 'CPT_FORMAT_HEADER_TOO_LARGE',
  'length 100,000,001': 'CPT_FORMAT_HEADER_TOO_LARGE',
  'length past the file': 'CPT_FORMAT_TRUNCATED',
  'invalid UTF-8': 'CPT_FORMAT_HEADER_ENCODING',
  'byte order mark': 'CPT_FORMAT_HEADER_ENCODING',
  'duplicate name': 'CPT_FORMAT_DUPLICATE_KEY',
  'duplicate name, escaped': 'CPT_FORMAT_DUPLICATE_KEY',
  'duplicate field': 'CPT_FORMAT_DUPLICATE_KEY',
  'duplicate metadata': 'CPT_FORMAT_DUPLICATE_KEY',
  'metadata with a number': 'CPT_FORMAT_METADATA',
  'metadata with an object': 'CPT_FORMAT_METADATA',
  'metadata is a list': 'CPT_FORMAT_METADATA',
  'unknown dtype': 'CPT_FORMAT_UNKNOWN_DTYPE',
  'lower case dtype': 'CPT_FORMAT_UNKNOWN_DTYPE',
  'negative offset': 'CPT_FORMAT_OFFSETS',
  'fractional offset': 'CPT_FORMAT_OFFSETS',
  'whole offset as a float': 'CPT_FORMAT_OFFSETS',
  'offset with an exponent': 'CPT_FORMAT_OFFSETS',
  'offset as a string': 'CPT_FORMAT_OFFSETS',
  'reversed offsets': 'CPT_FORMAT_OFFSETS',
  'one offset': 'CPT_FORMAT_OFFSETS',
  'three offsets': 'CPT_FORMAT_OFFSETS',
  'offset 2^53+1': 'CPT_FORMAT_OFFSETS',
  'offset 2^64': 'CPT_FORMAT_OFFSETS',
  'two tensors on one range': 'CPT_FORMAT_SPAN_OVERLAP',
  'overlap by one byte': 'CPT_FORMAT_SPAN_OVERLAP',
  'hole at the start': 'CPT_FORMAT_SPAN_HOLE',
  'hole in the middle': 'CPT_FORMAT_SPAN_HOLE',
  'bytes after the last tensor': 'CPT_FORMAT_TRAILING_BYTES',
  'bytes without a tensor': 'CPT_FORMAT_TRAILING_BYTES',
  'data cut short': 'CPT_FORMAT_TRUNCATED',
  'shape needs more than the span': 'CPT_FORMAT_SHAPE_MISMATCH',
  'shape needs less than the span': 'CPT_FORMAT_SHAPE_MISMATCH',
  'negative size': 'CPT_FORMAT_SHAPE_MISMATCH',
  'fractional size': 'CPT_FORMAT_SHAPE_MISMATCH',
  'NaN in the shape': 'CPT_FORMAT_HEADER_JSON',
  'shape overflows 2^64': 'CPT_FORMAT_SHAPE_MISMATCH',
  'shape overflows 2^64, then 0': 'CPT_FORMAT_SHAPE_MISMATCH',
  'bytes overflow 2^64': 'CPT_FORMAT_SHAPE_MISMATCH',
};

describe('the border, beside the Rust reader', () => {
  it.each(borders.filter(({ name, rust }) => rust === 'accepted' && !STRICTER.has(name)))(
    'accepts: $name',
    (border) => {
      const bytes = Buffer.from(border.base64, 'base64');
      expect(parseHeader(bytes, bytes.byteLength, border.name).tensors).toBeInstanceOf(Map);
    },
  );

  const ROWS: Readonly<Record<string, string>> = {
    CPT_FORMAT_HEADER_TOO_SMALL: 'row 19',
    CPT_FORMAT_HEADER_TOO_LARGE: 'row 19',
    CPT_FORMAT_TRUNCATED: 'row 19',
    CPT_FORMAT_SPAN_OVERLAP: 'row 20',
    CPT_FORMAT_SPAN_HOLE: 'row 21',
    CPT_FORMAT_TRAILING_BYTES: 'row 21',
    CPT_FORMAT_OFFSETS: 'row 22',
    CPT_FORMAT_SHAPE_MISMATCH: 'row 23',
    CPT_FORMAT_UNKNOWN_DTYPE: 'row 23',
  };
  const refused = borders
    .filter(({ name, rust }) => rust !== 'accepted' || STRICTER.has(name))
    .map((border) => ({ ...border, row: ROWS[CODES[border.name] ?? ''] ?? 'row 24' }));
  it.each(refused)('$row: refuses: $name', (border) => {
    const error = refusal(Buffer.from(border.base64, 'base64'));
    expect(error.code).toBe(CODES[border.name] ?? 'CPT_FORMAT_HEADER_JSON');
    expect(error.message).toMatch(/^model\.safetensors: ./);
  });

  it('refuses every cut of a good file', () => {
    const good = Buffer.from(borders[0]?.base64 ?? '', 'base64');
    for (let length = 0; length < good.byteLength; length++) {
      expect(refusal(good.subarray(0, length)).code).toMatch(/^CPT_FORMAT_(HEADER_TOO_SMALL|TRUNCATED)$/);
    }
  });
});

describe('parseHeader', () => {
  it('names the tensor and the numbers', () => {
    const header = (offsets: string) => fileOf(`{"a":{"dtype":"BF16","shape":[2,3],"data_offsets":${offsets}}}`, 12);
    expect(refusal(header('[0,10]')).message).toBe(
      'model.safetensors: "a" has 10 bytes (0 to 10); shape [2, 3] of BF16 needs 12',
    );
    expect(refusal(header('[12,0]')).message).toContain('"a" has data_offsets [12, 0]');
    expect(refusal(header('[-1,11]')).message).toContain('"a" has -1 in its data_offsets');
    expect(refusal(header('[0,12]'), 1000).message).toMatch(/"a" ends at byte \d+, the file has 1000/);
  });

  it('gives offsets in the file, in the order of the bytes', () => {
    const b = '"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}';
    const a = '"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}';
    const bytes = fileOf(`{${b},${a}}`, 11);
    const start = bytes.byteLength - 11;
    expect([...parseHeader(bytes, bytes.byteLength, 'm').tensors.values()]).toEqual([
      { name: 'a', dtype: 'F32', shape: [2], byteOffset: start, byteLength: 8 },
      { name: 'b', dtype: 'U8', shape: [3], byteOffset: start + 8, byteLength: 3 },
    ]);
  });

  it('keeps names that objects have by nature', () => {
    const entry = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}';
    const header = `{"__metadata__":{"__proto__":"x","constructor":"y"},"__proto__":${entry},"toString":${entry}}`;
    const bytes = fileOf(header);
    const { tensors, metadata } = parseHeader(bytes, bytes.byteLength, 'm');
    expect([...tensors.keys()].sort()).toEqual(['__proto__', 'toString']);
    expect(Object.entries(metadata)).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
    expect(Object.hasOwn(Object.prototype, 'x')).toBe(false);
  });

  it('row 20: refuses a header of a million tensors before it has read them', () => {
    const entry = '{"dtype":"U8","shape":[1],"data_offsets":[0,1]}';
    const names = Array.from({ length: 1_000_000 }, (_, i) => `"${i.toString(36)}":${entry}`);
    const bytes = fileOf(`{${names.join(',')}}`, 1);
    // Counted while it is parsed: what stands behind the last permitted key is not looked at, though it is no JSON.
    bytes.fill(0x78, bytes.byteLength - 1000, bytes.byteLength - 1);
    expect(refusal(bytes).code).toBe('CPT_FORMAT_HEADER_TOO_LARGE');
    expect(MAX_KEYS).toBeGreaterThan(100_000); // more than any model has
  });

  it('refuses deep nesting as what it is', () => {
    expect(refusal(fileOf(`{"__metadata__":${'['.repeat(100_000)}`)).code).toBe('CPT_FORMAT_HEADER_JSON');
  });
});

const dtypes = fc.constantFrom(...(Object.keys(DTYPE_BYTES) as Dtype[]));
const shapes = fc.array(fc.nat(5), { maxLength: 4 });
const declarations = fc
  .uniqueArray(
    fc.record({
      name: fc.string({ unit: 'binary' }).filter((n) => n !== '__metadata__'),
      dtype: dtypes,
      shape: shapes,
    }),
    { selector: ({ name }) => name, maxLength: 8 },
  )
  .map((tensors) => tensors.toSorted((a, b) => DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype]));

describe('serializeHeader', () => {
  it('is read back as it was declared, whatever the names', () => {
    fc.assert(
      fc.property(declarations, fc.dictionary(fc.string(), fc.string()), (tensors: TensorDeclaration[], metadata) => {
        const bytes = serializeHeader(tensors, metadata);
        expect(bytes.byteLength % 8).toBe(0);
        const header = parseHeader(bytes, bytes.byteLength + totalBytes(tensors), 'm');
        let byteOffset = bytes.byteLength;
        for (const tensor of tensors) {
          const byteLength = tensorBytes(tensor.shape, tensor.dtype);
          expect(header.tensors.get(tensor.name)).toEqual({ ...tensor, byteOffset, byteLength });
          byteOffset += byteLength;
        }
        expect({ ...header.metadata }).toEqual({ ...metadata });
      }),
      { numRuns: 200 },
    );
  });

  it('refuses what readers would refuse or could not map', () => {
    const tensor = (name: string, dtype: Dtype, shape: number[]) => ({ name, dtype, shape });
    const bad = { code: 'CPT_INPUT_INVALID' };
    expect(() => serializeHeader([tensor('a', 'U8', [1]), tensor('a', 'U8', [1])])).toThrow(
      expect.objectContaining(bad),
    );
    expect(() => serializeHeader([tensor('__metadata__', 'U8', [1])])).toThrow(expect.objectContaining(bad));
    expect(() => serializeHeader([tensor('a', 'BF16', [3]), tensor('b', 'F32', [1])])).toThrow(
      /put wider dtypes first/,
    );
    expect(serializeHeader([tensor('b', 'F32', [1]), tensor('a', 'BF16', [3])])).toBeInstanceOf(Uint8Array);
    const many = Array.from({ length: MAX_KEYS + 1 }, () => tensor('a', 'U8', [1]));
    expect(() => serializeHeader(many)).toThrow(`${MAX_KEYS + 1} tensors`);
    expect(() => serializeHeader([], { note: 'x'.repeat(100_000_000) })).toThrow(/readers accept 100000000/);
  });
});
