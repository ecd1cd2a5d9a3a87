import { PaiError } from '@pai-cpt/core';

/** The size of a page; PAI's documents show no larger one for these lists. */
export const PAGE_SIZE = 50;

/** A list that repeats itself for so many pages is no list: the answer ignores the page's number, or counts wrongly. */
const MOST_STALE_PAGES = 3;
/** A list that is in motion is read so many times from its first page on before it is given up. */
const MOST_READINGS = 5;

/** One page of a list, and how many items the whole list has. */
export interface ListedPage<T> {
  /** Absent where PAI leaves out an empty list. */
  readonly items: readonly T[] | undefined;
  readonly total: number;
}

type ReadPage<T> = (page: { PageNumber: number; PageSize: number }) => Promise<ListedPage<T>>;

/** One reading of a list, from its first page to its last. */
interface Reading {
  readonly ids: readonly string[];
  /** What its first page said; what is created later may be missing. */
  readonly total: number;
  /** Something left the list meanwhile: what came after it moved to pages that had been read already. */
  readonly hasShrunk: boolean;
}

/**
 * The items of a list that comes in pages, each once. An item that is created meanwhile pushes the others on, and one is listed twice;
 * one that goes pulls the others back, and one is listed on no page. So the list is read again from its first page while it has
 * become shorter or has more items than were seen; a list that is twice the same only counts wrongly.
 * @throws PaiError `CPT_PAI_LIST_UNSTABLE` after all that was seen, when an item may still be missing after five readings.
 */
export async function* listPages<T>(
  read: ReadPage<T>,
  idOf: (item: T) => string,
  pageSize = PAGE_SIZE,
): AsyncGenerator<T, void, undefined> {
  const seen = new Set<string>();
  let before: readonly string[] = [];
  let expected = 0;
  for (let count = 0; count < MOST_READINGS; count++) {
    const { ids, total, hasShrunk } = yield* readOnce(read, idOf, pageSize, seen);
    if (!hasShrunk && (!(seen.size < total) || isSame(ids, before))) return;
    before = ids;
    expected = total;
  }
  throw unstable(seen.size, expected);
}

/** Reads every page, gives what is not in `seen` yet, and adds it. */
async function* readOnce<T>(
  read: ReadPage<T>,
  idOf: (item: T) => string,
  pageSize: number,
  seen: Set<string>,
): AsyncGenerator<T, Reading, undefined> {
  const ids: string[] = [];
  const known = new Set<string>();
  let stale = 0;
  let first: number | undefined;
  let before = 0;
  let hasShrunk = false;
  for (let page = 1; ; page++) {
    const { items = [], total } = await read({ PageNumber: page, PageSize: pageSize });
    hasShrunk ||= total < before;
    before = total;
    first ??= total;
    const knownBefore = known.size;
    for (const item of items) {
      const id = idOf(item);
      ids.push(id);
      known.add(id);
      if (seen.has(id)) continue;
      seen.add(id);
      yield item;
    }
    stale = known.size === knownBefore ? stale + 1 : 0;
    if (items.length === 0 || page * pageSize >= total || stale >= MOST_STALE_PAGES) {
      return { ids, total: first, hasShrunk };
    }
  }
}

const isSame = (ids: readonly string[], others: readonly string[]): boolean =>
  ids.length === others.length && ids.every((id, at) => id === others[at]);

function unstable(seen: number, total: number): PaiError {
  return new PaiError(
    'CPT_PAI_LIST_UNSTABLE',
    `a list of PAI changed in each of ${MOST_READINGS} readings; ${seen} items were seen, it says that it has ${total}; list again`,
    { seen, total },
  );
}
