import { describe, expect, it } from 'vitest';
import { MAX_EXPANSION, MAX_NESTING, walkGraph } from './pickle-graph.ts';
import type { PickleMap, PickleValue, TorchTensor } from './pickle-values.ts';

const tensor: TorchTensor = {
  kind: 'tensor',
  dtype: 'U8',
  shape: [],
  stride: [],
  storageKey: '0',
  storageOffset: 0,
  storageLength: 1,
  device: 'cpu',
};
const bad = expect.objectContaining({ code: 'CPT_PICKLE_LIMIT' });
const nested = (depth: number): PickleValue => {
  let value: PickleValue = [];
  for (let i = 1; i < depth; i++) value = [value];
  return value;
};

describe('walkGraph', () => {
  it('gives each tensor the path of its first place', () => {
    const record: PickleValue = {
      kind: 'record',
      global: 'lib C',
      args: [{ ...tensor }],
      state: new Map([['w', { ...tensor }]]),
      items: [],
      entries: new Map(),
    };
    const model: PickleMap = new Map<PickleValue, PickleValue>([
      ['norm.weight', tensor],
      ['again', tensor],
      [7, [{ ...tensor }]],
      ['record', record],
    ]);
    const root = new Map([['model', model]]);
    expect([...walkGraph(root, 'f').values()]).toEqual([
      'model.norm.weight',
      'model.7.0',
      'model.record.args.0',
      'model.record.state.w',
    ]);
    expect([...walkGraph({ ...tensor }, 'f').values()]).toEqual(['the root']);
  });

  it('allows nesting up to its limit, also through shared values', () => {
    expect(walkGraph(nested(MAX_NESTING), 'f').size).toBe(0);
    expect(() => walkGraph(nested(MAX_NESTING + 1), 'f')).toThrow(bad);
    const half = nested(MAX_NESTING / 2 + 1);
    let deep: PickleValue = half;
    for (let i = 0; i < MAX_NESTING / 2; i++) deep = [deep];
    expect(() => walkGraph([half, deep], 'f')).toThrow(bad); // half was walked before it was met at this depth
  });

  it('allows sharing, and counts what it stands for', () => {
    const thousand: PickleValue = Array.from({ length: 1000 }, () => 1);
    const million: PickleValue = Array.from({ length: 1000 }, () => thousand);
    expect(walkGraph([million, million], 'f').size).toBe(0);
    const many: PickleValue = Array.from({ length: MAX_EXPANSION / 1e6 + 1 }, () => million);
    expect(() => walkGraph(many, 'f')).toThrow(bad);
  });

  it('refuses a value that holds itself, by key and by value', () => {
    const map: PickleMap = new Map();
    map.set('me', map);
    expect(() => walkGraph([map], 'f')).toThrow(/f: 0\.me contains itself/);
    const set = new Set<PickleValue>();
    set.add(set);
    expect(() => walkGraph(set, 'f')).toThrow(bad);
  });
});
