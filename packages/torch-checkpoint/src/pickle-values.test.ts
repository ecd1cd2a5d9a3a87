import { describe, expect, it } from 'vitest';
import { asMap, describeValue, getEntry, isKind, isTuple, namespaceFields, type PickleValue } from './pickle-values.ts';

const record: PickleValue = {
  kind: 'record',
  global: 'argparse Namespace',
  args: [],
  state: new Map<PickleValue, PickleValue>([
    ['layers', 4],
    [7, 'dropped'],
  ]),
  items: [],
  entries: new Map(),
};

describe('the accessors', () => {
  it('give what is there', () => {
    expect(asMap(new Map([['a', 1]])).get('a')).toBe(1);
    expect(getEntry(new Map([['a', 1]]), 'a')).toBe(1);
    expect(getEntry(new Map(), 'toString')).toBeUndefined();
    expect(getEntry([1], '0')).toBeUndefined();
    expect([...namespaceFields(record)]).toEqual([['layers', 4]]);
    expect(namespaceFields({ ...record, state: undefined }).size).toBe(0);
    expect(isKind(record, 'record')).toBe(true);
    expect(isTuple(Object.freeze([]) as unknown as PickleValue[])).toBe(true);
    expect(isTuple([])).toBe(false);
  });

  it('say what is there instead', () => {
    const bad = (message: string) => expect.objectContaining({ code: 'CPT_FORMAT_TORCH_LAYOUT', message });
    expect(() => asMap(undefined, '"model"')).toThrow(bad('"model" is missing; a dict is needed'));
    expect(() => asMap([1], '"model"')).toThrow(bad('"model" is a list of 1; a dict is needed'));
    expect(() => namespaceFields(new Map(), 'args')).toThrow(bad('args is a dict of 0; a namespace is needed'));
    expect(() => namespaceFields({ ...record, state: 1 })).toThrow(/an instance of argparse Namespace/);
  });
});

it.each([
  [null, 'None'],
  [true, 'true'],
  ['x'.repeat(100), `"${'x'.repeat(40)}"`],
  [new Set([1]), 'a set of 1'],
  [Uint8Array.of(1, 2), '2 bytes'],
  [{ kind: 'global', global: 'os system' }, 'the global os system'],
  [{ kind: 'dtype', name: 'bool', dtype: 'BOOL' }, 'a dtype'],
] as [PickleValue, string][])('describeValue(%j) is %s', (value, text) => {
  expect(describeValue(value)).toBe(text);
});
