import type { IndexArrays } from '../index-format.ts';
import { TOKEN_DTYPES, type TokenDtype } from '../token-dtype.ts';

/** The pointers that lengths give when sequences lie one after another, `[S]`. */
export function pointersOf(lengths: Int32Array, dtype: TokenDtype): Float64Array {
  const { bytes: width } = TOKEN_DTYPES[dtype];
  const pointers = new Float64Array(lengths.length);
  let pointer = 0;
  for (let i = 0; i < lengths.length; i++) {
    pointers[i] = pointer;
    pointer += (lengths[i] as number) * width;
  }
  return pointers;
}

/**
 * The dtypes under which lengths, pointers and the size of `.bin` agree exactly. A header that names another one was written
 * with the wrong width: one sequence alone tells nothing, its pointer is 0 under every width.
 */
export function fittingDtypes({ lengths, pointers }: IndexArrays, binBytes: number): TokenDtype[] {
  let tokens = 0;
  const widths = new Set(pointers.length < 2 ? [] : [1, 2, 4, 8]);
  for (let i = 0; i < lengths.length && widths.size > 0; i++) {
    for (const width of widths) if (pointers[i] !== tokens * width) widths.delete(width);
    tokens += lengths[i] as number;
  }
  return (Object.keys(TOKEN_DTYPES) as TokenDtype[]).filter((dtype) => {
    const { bytes: width } = TOKEN_DTYPES[dtype];
    return widths.has(width) && tokens * width === binBytes;
  });
}
