import { OPCODES } from '../src/pickle-opcodes.ts';

/** Pickles put together opcode by opcode, well-formed or not; nothing of the writer is used. */
const CODES = new Map([...OPCODES].map(([byte, { name }]) => [name, byte]));

/** An opcode and the bytes after it. */
export function op(name: string, ...rest: (number | string | Uint8Array)[]): Uint8Array {
  const code = CODES.get(name);
  if (code === undefined) throw new Error(`no opcode ${name}`);
  return join(Uint8Array.of(code), ...rest);
}

/** Numbers are single bytes, strings their UTF-8. */
export function join(...parts: (number | string | Uint8Array)[]): Uint8Array {
  return new Uint8Array(
    Buffer.concat(
      parts.map((part) => (typeof part === 'number' ? Uint8Array.of(part) : Buffer.from(part as string, 'utf8'))),
    ),
  );
}

export const u32 = (value: number) => littleEndian(BigInt(value), 4);
export const u64 = (value: bigint) => littleEndian(value, 8);

function littleEndian(value: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = Number((value >> BigInt(8 * i)) & 0xffn);
  return bytes;
}

export const proto = (version: number) => op('PROTO', version);
export const global = (module: string, name: string) => op('GLOBAL', `${module}\n${name}\n`);
export const text = (value: string) => op('BINUNICODE', u32(Buffer.byteLength(value)), value);
export const int = (value: number) => op('BININT1', value);
export const STOP = op('STOP');
export const MARK = op('MARK');
export const REDUCE = op('REDUCE');

export const repeat = (bytes: Uint8Array, count: number) => {
  const all = new Uint8Array(bytes.byteLength * count);
  for (let i = 0; i < count; i++) all.set(bytes, i * bytes.byteLength);
  return all;
};
