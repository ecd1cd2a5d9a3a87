import { describe, expect, it } from 'vitest';
import { fixtureJson } from '../test/expected-values.ts';
import { type ArgumentKind, OPCODES } from './pickle-opcodes.ts';

const PYTHON_NAMES: Record<ArgumentKind, string> = {
  uint1: 'uint1',
  uint2: 'uint2',
  uint4: 'uint4',
  uint8: 'uint8',
  int4: 'int4',
  float8: 'float8',
  bytes1: 'bytes1',
  bytes4: 'bytes4',
  bytes8: 'bytes8',
  text1: 'unicodestring1',
  text4: 'unicodestring4',
  text8: 'unicodestring8',
  string1: 'string1',
  string4: 'string4',
  long1: 'long1',
  long4: 'long4',
  lines: 'stringnl_noescape_pair',
};

describe('OPCODES', () => {
  const python: [number, string, string | null][] = fixtureJson('opcodes.json');

  it('has every opcode of CPython under its byte and name', () => {
    expect([...OPCODES].map(([byte, { name }]) => [byte, name]).sort()).toEqual(
      python.map(([byte, name]) => [byte, name]).sort(),
    );
  });

  it.each(python)('reads the argument of 0x%x %s as pickletools does', (byte, _, argument) => {
    const opcode = OPCODES.get(byte);
    if (opcode?.refused) return;
    const ours = opcode?.argument ? PYTHON_NAMES[opcode.argument] : null;
    expect(ours).toBe(argument === 'bytearray8' ? 'bytes8' : argument);
  });
});
