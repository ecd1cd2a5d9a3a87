import { type TObject, type TSchema, Type } from 'typebox';
import { type Cursor, parseCursor, serializeCursor } from './cursor.ts';

export const PageQuery = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 20, description: 'Items at most.' })),
    after: Type.Optional(
      Type.String({ maxLength: 1000, description: '`next` of the page before; absent for the first page.' }),
    ),
  },
  { additionalProperties: false },
);

/** The schema of a list as the SDK has it, with `items` as its list, and what a page has besides. */
export function pageSchema<S extends TSchema>(list: TObject, name: string, items: S, id: string) {
  return {
    ...Type.Object(
      {
        ...list.properties,
        [name]: Type.Array(items),
        hasMore: Type.Boolean({ description: 'There is another page.' }),
        next: Type.Optional(Type.String({ description: 'Pass it as `after` to get the next page.' })),
      },
      { title: id },
    ),
    $id: id,
  };
}

/** One page and what lies behind it. */
export interface Page<T> {
  readonly items: T[];
  readonly hasMore: boolean;
  readonly next?: string;
}

/** How a list is ordered, and the place of an item in it. */
export interface ListOrder<T> {
  /** Falls or rises along the list; items that are equal here may come in any order. */
  readonly keyOf: (item: T) => string;
  readonly idOf: (item: T) => string;
  readonly direction: 'ascending' | 'descending';
}

/**
 * The page of `list` behind `after`. A cursor is the key and id of an item and not a count, so that items which appear
 * or vanish between two pages neither repeat nor hide others.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for a cursor that is none.
 */
export async function readPage<T>(
  list: AsyncIterable<T> | Iterable<T>,
  order: ListOrder<T>,
  { limit = 20, after }: { limit?: number; after?: string },
): Promise<Page<T>> {
  const cursor = after === undefined ? undefined : parseCursor(after, 2);
  const items: T[] = [];
  for await (const item of inOrder(list, order)) {
    if (cursor && compare(placeOf(item, order), cursor, order) <= 0) continue;
    items.push(item);
    if (items.length > limit) break; // one more than asked tells that there is another page
  }
  const hasMore = items.length > limit;
  const page = items.slice(0, limit);
  const last = page.at(-1);
  return { items: page, hasMore, ...(hasMore && last && { next: serializeCursor(placeOf(last, order)) }) };
}

/** The same items, those of equal key sorted by id. */
async function* inOrder<T>(list: AsyncIterable<T> | Iterable<T>, order: ListOrder<T>): AsyncGenerator<T> {
  let run: T[] = [];
  const sorted = () => run.sort((a, b) => compare(placeOf(a, order), placeOf(b, order), order));
  for await (const item of list) {
    const [first] = run;
    if (first !== undefined && order.keyOf(first) !== order.keyOf(item)) {
      yield* sorted();
      run = [];
    }
    run.push(item);
  }
  yield* sorted();
}

function placeOf<T>(item: T, { keyOf, idOf }: ListOrder<T>): Cursor {
  return [keyOf(item), idOf(item)];
}

/** Negative when place `a` comes before `b` in the list. */
function compare<T>([keyA = '', idA = '']: Cursor, [keyB = '', idB = '']: Cursor, { direction }: ListOrder<T>): number {
  const sign = direction === 'ascending' ? 1 : -1;
  if (keyA !== keyB) return keyA < keyB ? -sign : sign;
  return idA === idB ? 0 : idA < idB ? -sign : sign;
}
