import type { InputFile } from '../documents/input-file.ts';
import { TOKEN_DTYPES, type TokenDtype } from '../token-dtype.ts';

/** How much text a file holds for each of its bytes: the least worth counting on, other fields aside, and the usual. */
const UNPACKED: Record<'none' | 'gzip' | 'zstd' | 'parquet', { least: number; usual: number }> = {
  none: { least: 0.1, usual: 1 },
  gzip: { least: 0.1, usual: 3 },
  zstd: { least: 0.1, usual: 3.3 },
  parquet: { least: 0, usual: 2 },
};
/** Bytes of text in a token. Chinese and English in a large vocabulary lie near 4; nothing ordinary lies above 8. */
const BYTES_PER_TOKEN = { least: 8, usual: 3.5 };

/** Bytes that the dataset of some inputs will need, by their sizes alone. */
export function expectedBytes(
  inputs: readonly InputFile[],
  dtype: TokenDtype,
  isShuffled: boolean,
): { least: number; usual: number } {
  const { bytes: width } = TOKEN_DTYPES[dtype];
  const sum = (kind: 'least' | 'usual') => {
    let text = 0;
    for (const { byteLength, range, format, packing } of inputs) {
      const bytes = range ? range.to - range.from : byteLength;
      text += bytes * UNPACKED[format === 'parquet' ? 'parquet' : packing][kind];
    }
    // Shuffling keeps a second copy, and one bucket file, until it is done.
    return Math.ceil((text / BYTES_PER_TOKEN[kind]) * width * (isShuffled ? 3 : 1));
  };
  return { least: sum('least'), usual: sum('usual') };
}
