import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesSource } from '@pai-cpt/core';
import { type MmapDataset, openDatasetSources } from '../src/read.ts';
import type { Sidecar } from '../src/sidecar.ts';
import { TOKEN_DTYPES, type TokenDtype } from '../src/token-dtype.ts';
import { temporaryFolder } from './fixtures.ts';

/** Documents, each a list of sequences, each a list of ids. */
export type Documents = number[][][];

/** The two files of a dataset, laid byte by byte from the description of the format and not by our writer. */
export function pairBytes(documents: Documents, dtype: TokenDtype = 'int32', modes?: number[]) {
  const { code, bytes: width } = TOKEN_DTYPES[dtype];
  const sequences = documents.flat();
  const idx = Buffer.alloc(34 + 12 * sequences.length + 8 * (documents.length + 1) + (modes?.length ?? 0));
  const bin = Buffer.alloc(width * sequences.flat().length);
  idx.write('MMIDIDX\0\0', 'latin1');
  idx.writeBigUInt64LE(1n, 9);
  idx.writeUInt8(code, 17);
  idx.writeBigUInt64LE(BigInt(sequences.length), 18);
  idx.writeBigUInt64LE(BigInt(documents.length + 1), 26);
  let at = 0;
  sequences.forEach((ids, i) => {
    idx.writeInt32LE(ids.length, 34 + 4 * i);
    idx.writeBigInt64LE(BigInt(at), 34 + 4 * sequences.length + 8 * i);
    for (const id of ids) {
      if (dtype === 'int64') bin.writeBigInt64LE(BigInt(id), at);
      else bin.writeUIntLE(id < 0 ? id + 2 ** (8 * width) : id, at, width);
      at += width;
    }
  });
  let end = 0;
  documents.forEach((document, i) => {
    end += document.length;
    idx.writeBigInt64LE(BigInt(end), 34 + 12 * sequences.length + 8 * (i + 1));
  });
  modes?.forEach((mode, i) => {
    idx.writeInt8(mode, 34 + 12 * sequences.length + 8 * (documents.length + 1) + i);
  });
  return { idx, bin };
}

/** A dataset in memory. */
export function memoryDataset(documents: Documents, dtype?: TokenDtype, modes?: number[]): Promise<MmapDataset> {
  const { idx, bin } = pairBytes(documents, dtype, modes);
  return openDatasetSources({ prefix: 'set', idx: bytesSource(idx), bin: bytesSource(bin) });
}

/** A dataset on disk, in a folder of its own that goes when the test ends; gives its prefix. */
export function writeDataset(
  documents: Documents,
  options: { dtype?: TokenDtype; modes?: number[]; name?: string; sidecar?: Sidecar } = {},
): string {
  const prefix = join(temporaryFolder(), options.name ?? 'set');
  const { idx, bin } = pairBytes(documents, options.dtype, options.modes);
  writeFileSync(`${prefix}.idx`, idx);
  writeFileSync(`${prefix}.bin`, bin);
  if (options.sidecar) writeFileSync(`${prefix}.json`, JSON.stringify(options.sidecar));
  return prefix;
}

/** All documents of a dataset, read sequence by sequence. */
export async function readDocuments(dataset: MmapDataset): Promise<Documents> {
  const sequences = await Promise.all(Array.from(dataset.lengths, async (_, i) => Array.from(await dataset.get(i))));
  const ends = Array.from(dataset.documentIndex);
  return ends.slice(1).map((end, i) => sequences.slice(ends[i], end));
}

/** One-sequence documents of the given lengths; the ids count up from `first`, so that every token is another one. */
export function documentsOf(lengths: readonly number[], first = 0): Documents {
  let id = first;
  return lengths.map((length) => [Array.from({ length }, () => id++)]);
}
