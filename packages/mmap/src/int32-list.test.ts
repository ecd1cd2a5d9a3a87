import { expect, test } from 'vitest';
import { Int32List } from './int32-list.ts';

test.each([0, 1, 65535, 65536, 65537, 140000])('%i values come back in order, twice', (count) => {
  const list = new Int32List();
  for (let i = 0; i < count; i++) list.push(i * 7 - 3);
  expect(list.length).toBe(count);
  for (let round = 0; round < 2; round++) {
    const values = [...list.pieces()].flatMap((piece) => Array.from(piece));
    expect(values.length).toBe(count);
    expect(values.every((value, i) => value === i * 7 - 3)).toBe(true);
  }
});
