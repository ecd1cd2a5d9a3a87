import fc from 'fast-check';
import { expect, test } from 'vitest';
import { UnionFind } from './union-find.ts';

test('every document has the first of its group, in whatever order groups are united', () => {
  const pairs = fc.array(fc.tuple(fc.nat({ max: 49 }), fc.nat({ max: 49 })), { maxLength: 60 });
  fc.assert(
    fc.property(pairs, (united) => {
      const groups = new UnionFind();
      for (let i = 0; i < 50; i++) expect(groups.add()).toBe(i);
      for (const [a, b] of united) groups.unite(a, b);
      // Labels spread along the pairs until nothing changes.
      const labels = Array.from({ length: 50 }, (_, i) => i);
      for (let round = 0; round < 50; round++) {
        for (const [a, b] of united) labels[a] = labels[b] = Math.min(labels[a] as number, labels[b] as number);
      }
      expect([...groups.firsts()]).toEqual(labels);
    }),
  );
});

test('grows past its first size', () => {
  const groups = new UnionFind();
  for (let i = 0; i < 5000; i++) groups.add();
  groups.unite(4999, 17);
  expect(groups.find(4999)).toBe(17);
  expect(groups.firsts()).toHaveLength(5000);
});
