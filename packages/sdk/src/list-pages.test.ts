import { expect, it } from 'vitest';
import { listPages, PAGE_SIZE } from './list-pages.ts';

async function read(pages: (page: number) => { items: string[]; total: number }) {
  const asked: number[] = [];
  const items: string[] = [];
  const list = listPages(
    async ({ PageNumber }) => {
      asked.push(PageNumber);
      return pages(PageNumber);
    },
    (item) => item,
  );
  for await (const item of list) items.push(item);
  return { asked, items };
}
const full = (from: number): string[] => Array.from({ length: PAGE_SIZE }, (_, at) => `item-${from + at}`);

it('gives each item once, though one that was made meanwhile pushes the others on', async () => {
  const { items, asked } = await read((page) => ({
    items: full((page - 1) * PAGE_SIZE - (page > 1 ? 1 : 0)),
    total: 99,
  }));
  expect(items).toHaveLength(99);
  expect(new Set(items).size).toBe(99);
  expect(asked).toEqual([1, 2]);
});

it('ends with an empty page, whatever the count says', async () => {
  const { asked } = await read((page) => ({ items: page === 1 ? full(0) : [], total: 1e6 }));
  expect(asked).toEqual([1, 2]);
});

it('row 59: does not read for ever what ignores the number of the page', async () => {
  const { asked, items } = await read(() => ({ items: full(0), total: 1e6 }));
  expect(items).toHaveLength(PAGE_SIZE);
  expect(asked).toEqual([1, 2, 3, 4]);
});
