import { createHash } from 'node:crypto';
import { InvalidInputError } from '@pai-cpt/core';
import { growTo } from './grow.ts';
import { KeySorter, type RunStorage } from './key-sorter.ts';
import { KeyTable } from './key-table.ts';
import { createMinHash, DEFAULT_MIN_HASH, type MinHashOptions } from './min-hash.ts';
import { temporaryRuns } from './node.ts';
import { UnionFind } from './union-find.ts';

export interface DuplicateOptions extends Partial<MinHashOptions> {
  /** `exact`, the default: equal texts. `minhash`: texts that share most of their shingles. */
  method?: 'exact' | 'minhash';
  /** minhash: keys sorted in memory at a time, 24 bytes each; 1,048,576 when not given. */
  sortKeys?: number;
  /** minhash: where sorted keys wait, 12 bytes for each band of each document; a temporary file when not given. */
  storage?: () => Promise<RunStorage>;
  signal?: AbortSignal;
}

/** Which documents repeat an earlier one. */
export interface Duplicates {
  documents: number;
  /** Documents without text, or for minhash without a letter or digit: they are no duplicates of each other. */
  empty: number;
  duplicates: number;
  /** Groups of two or more documents. */
  clusters: number;
  /** UTF-8 bytes of all texts, and of the duplicates. */
  bytes: number;
  savedBytes: number;
  /** For each document the first of its group, which is the one to keep: itself when it repeats nothing. */
  first: Int32Array;
}

const MAX_DOCUMENTS = 2 ** 31 - 1;

/**
 * The duplicates among texts, numbered in order from 0.
 *
 * `exact` compares the first 64 bits of the sha256 of each text in NFC without white space at its ends: among 10^8 documents two
 * different ones are taken for equal with probability 3 · 10^-4. 21 to 28 bytes a document.
 *
 * `minhash` joins all texts that agree in a band, directly or through others, so two texts of a group may be less similar than
 * the threshold. 8 to 12 bytes a document, 24 bytes × `sortKeys`, and 12 bytes × bands a document of storage.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for options out of range.
 */
export async function findDuplicates(
  texts: AsyncIterable<string> | Iterable<string>,
  options: DuplicateOptions = {},
): Promise<Duplicates> {
  const { method = 'exact', signal } = options;
  const groups = new UnionFind();
  let lengths = new Int32Array(1024);
  const finder = method === 'exact' ? createExactFinder(groups) : createNearFinder(groups, options);
  let empty = 0;
  try {
    for await (const text of texts) {
      signal?.throwIfAborted();
      if (groups.count === MAX_DOCUMENTS) {
        throw new InvalidInputError('CPT_INPUT_INVALID', `more than ${MAX_DOCUMENTS} documents; divide the input`);
      }
      const document = groups.add();
      lengths = growTo(lengths, document + 1);
      lengths[document] = Buffer.byteLength(text);
      const added = finder.add(text, document);
      if (!(typeof added === 'boolean' ? added : await added)) empty++;
    }
    await finder.finish();
  } finally {
    await finder.close();
  }
  return { ...summarize(groups.firsts(), lengths), empty };
}

interface Finder {
  /** Takes the next document; false when it has no text to compare. A promise only when there is something to wait for. */
  add(text: string, document: number): boolean | Promise<boolean>;
  /** Unites what belongs together. */
  finish(): Promise<void>;
  close(): Promise<void>;
}

function createExactFinder(groups: UnionFind): Finder {
  const table = new KeyTable();
  return {
    add(text, document) {
      const plain = text.normalize('NFC').trim();
      const isEmpty = plain === '';
      // Every document has its key, so that keys and documents have the same numbers; no trimmed text begins with a space.
      const digest = createHash('sha256')
        .update(isEmpty ? ` ${document}` : plain)
        .digest();
      const first = table.add(digest.readUInt32BE(0), digest.readUInt32BE(4));
      if (first !== document) groups.unite(first, document);
      return !isEmpty;
    },
    finish: async () => undefined,
    close: async () => undefined,
  };
}

function createNearFinder(groups: UnionFind, options: DuplicateOptions): Finder {
  const { bands = DEFAULT_MIN_HASH.bands, rows = DEFAULT_MIN_HASH.rows, shingle = DEFAULT_MIN_HASH.shingle } = options;
  const minHash = createMinHash({ bands, rows, shingle });
  const sorter = new KeySorter(options.storage ?? temporaryRuns, options.sortKeys);
  return {
    async add(text, document) {
      const signature = minHash.signature(text);
      if (!signature) return false;
      const { high, low } = minHash.bandKeys(signature);
      for (let band = 0; band < bands; band++) {
        if (sorter.isFull) await sorter.spill();
        sorter.add(high[band] as number, low[band] as number, document);
      }
      return true;
    },
    finish: () => sorter.forEachEqual((first, other) => groups.unite(first, other), options.signal),
    close: () => sorter.close(),
  };
}

function summarize(first: Int32Array, lengths: Int32Array): Omit<Duplicates, 'empty'> {
  const isCluster = new Uint8Array(first.length);
  const found = { documents: first.length, duplicates: 0, clusters: 0, bytes: 0, savedBytes: 0, first };
  for (let document = 0; document < first.length; document++) {
    const length = lengths[document] as number;
    const representative = first[document] as number;
    found.bytes += length;
    if (representative === document) continue;
    found.duplicates++;
    found.savedBytes += length;
    if (!isCluster[representative]) found.clusters++;
    isCluster[representative] = 1;
  }
  return found;
}
