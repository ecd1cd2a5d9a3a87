import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseCursor, serializeCursor } from './cursor.ts';
import { type ListOrder, readPage } from './pages.ts';

interface Item {
  at: string;
  id: string;
}
const newestFirst: ListOrder<Item> = { keyOf: ({ at }) => at, idOf: ({ id }) => id, direction: 'descending' };

async function* listed(items: readonly Item[]): AsyncGenerator<Item> {
  yield* items;
}

describe('readPage', () => {
  it('gives every item once, in order, whatever the page size and the order among equals', async () => {
    const item = fc.record({ at: fc.constantFrom('1', '2', '3', '4'), id: fc.string({ maxLength: 4 }) });
    const items = fc.uniqueArray(item, { selector: ({ at, id }) => `${at} ${id}`, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(items, fc.integer({ min: 1, max: 7 }), async (unordered, limit) => {
        // As PAI lists: by time, and in any order among equal times.
        const list = unordered.toSorted((a, b) => Number(b.at) - Number(a.at));
        const read: Item[] = [];
        let after: string | undefined;
        do {
          const page = await readPage(listed(list), newestFirst, { limit, ...(after !== undefined && { after }) });
          expect(page.items.length).toBeLessThanOrEqual(limit);
          read.push(...page.items);
          after = page.next;
          expect(page.hasMore).toBe(after !== undefined);
        } while (after !== undefined);
        expect(read.map(({ at }) => at)).toEqual(list.map(({ at }) => at));
        expect(new Set(read)).toEqual(new Set(list));
      }),
    );
  });

  it('reads no further than it must', async () => {
    let count = 0;
    async function* endless(): AsyncGenerator<Item> {
      for (;;) yield { at: String(1_000_000 - count++), id: 'x' };
    }
    const page = await readPage(endless(), newestFirst, { limit: 5 });
    expect(page.items).toHaveLength(5);
    expect(count).toBe(7); // one more tells that there is more, and one after that tells that its equals are complete
  });
});

describe('cursors', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' }), { minLength: 2, maxLength: 2 }), (cursor) => {
        const text = serializeCursor(cursor);
        expect(text).toMatch(/^[\w-]+$/);
        expect(parseCursor(text, 2)).toEqual(cursor);
      }),
    );
  });

  it.each(['', 'x', 'null', '[]', '["a"]', '["a",1]', '["a","b","c"]', '{"0":"a","1":"b","length":2}'])(
    'are refused when made from %j',
    (content) => {
      const text = Buffer.from(content).toString('base64url');
      expect(() => parseCursor(text, 2)).toThrow(expect.objectContaining({ code: 'CPT_INPUT_INVALID' }));
    },
  );
});
