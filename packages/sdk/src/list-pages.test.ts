import { expect, it } from 'vitest';
import { listPages, PAGE_SIZE } from './list-pages.ts';

async function read(pages: (page: number, call: number) => { items: string[]; total: number }) {
  const asked: number[] = [];
  const items: string[] = [];
  const list = listPages(
    async ({ PageNumber }) => {
      asked.push(PageNumber);
      return pages(PageNumber, asked.length);
    },
    (item) => item,
  );
  let error: unknown;
  try {
    for await (const item of list) items.push(item);
  } catch (thrown) {
    error = thrown;
  }
  return { asked, items, error };
}
const names = (count: number): string[] => Array.from({ length: count }, (_, at) => `item-${at}`);
const pageOf = (list: readonly string[], page: number) => ({
  items: list.slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE),
  total: list.length,
});

it('gives each item once, though one that was made meanwhile pushes the others on', async () => {
  const { items, asked } = await read((page, call) => pageOf(call === 1 ? names(99) : ['new', ...names(99)], page));
  expect(items).toEqual(names(99));
  expect(asked).toEqual([1, 2]);
});

it('reads again what one that went meanwhile has pulled to a page that was read', async () => {
  const list = names(120);
  const { items, asked } = await read((page, call) =>
    pageOf(call === 1 ? list : list.filter((_, at) => at !== 3), page),
  );
  expect(asked).toEqual([1, 2, 3, 1, 2, 3]);
  expect([...items].sort()).toEqual([...list].sort()); // item-50 among them, which no page had the first time
});

it('sees every item of a list that has another order at each call, once', async () => {
  const list = names(120);
  const { items, error } = await read((page, call) => {
    const turned = [...list.slice(call * 17), ...list.slice(0, call * 17)];
    return pageOf(turned, page);
  });
  expect(error).toBeUndefined();
  expect([...items].sort()).toEqual([...list].sort());
});

it('ends with an empty page, whatever the count says, when a second reading gives the same', async () => {
  const { asked, items, error } = await read((page) => ({ items: page === 1 ? names(PAGE_SIZE) : [], total: 1e6 }));
  expect(asked).toEqual([1, 2, 1, 2]);
  expect([items, error]).toEqual([names(PAGE_SIZE), undefined]);
});

it('believes a list that tells no count', async () => {
  const { asked, items } = await read((page) => ({ ...pageOf(names(60), page), total: undefined as never }));
  expect(asked).toEqual([1, 2, 3]);
  expect(items).toEqual(names(60));
});

it('row 59: does not read for ever what ignores the number of the page', async () => {
  const { asked, items } = await read(() => ({ items: names(PAGE_SIZE), total: 1e6 }));
  expect(items).toHaveLength(PAGE_SIZE);
  expect(asked).toEqual([1, 2, 3, 4, 1, 2, 3, 4]);
});

it('row 46: says so when it cannot be sure that it saw everything', async () => {
  const { items, error, asked } = await read((page, call) => pageOf(names(400 - call), page));
  expect(items.length).toBeGreaterThan(300);
  expect(new Set(items).size).toBe(items.length);
  expect(error).toMatchObject({ code: 'CPT_PAI_LIST_UNSTABLE', details: { seen: items.length } });
  expect(asked.filter((page) => page === 1)).toHaveLength(5);
});
