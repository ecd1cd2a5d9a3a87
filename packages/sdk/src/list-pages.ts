/** The size of a page; PAI's documents show no larger one for these lists. */
export const PAGE_SIZE = 50;

/** A list that repeats itself for so many pages is no list: the answer ignores the page's number, or counts wrongly. */
const MOST_STALE_PAGES = 3;

/** One page of a list, and how many items the whole list has. */
export interface ListedPage<T> {
  /** Absent where PAI leaves out an empty list. */
  readonly items: readonly T[] | undefined;
  readonly total: number;
}

/** The items of a list that comes in pages, each once: one that was created meanwhile pushes the others to the next page. */
export async function* listPages<T>(
  read: (page: { PageNumber: number; PageSize: number }) => Promise<ListedPage<T>>,
  idOf: (item: T) => string,
): AsyncGenerator<T, void, undefined> {
  const seen = new Set<string>();
  let stale = 0;
  for (let page = 1; ; page++) {
    const { items = [], total } = await read({ PageNumber: page, PageSize: PAGE_SIZE });
    const before = seen.size;
    for (const item of items) {
      if (seen.has(idOf(item))) continue;
      seen.add(idOf(item));
      yield item;
    }
    stale = seen.size === before ? stale + 1 : 0;
    if (items.length === 0 || page * PAGE_SIZE >= total || stale >= MOST_STALE_PAGES) return;
  }
}
