import { temporaryPath } from '@pai-cpt/core/node';
import { openDataset } from '../node.ts';
import type { MmapDataset } from '../read.ts';
import { decodeTokens, TOKEN_DTYPES, type TokenDtype, tokenEncoder } from '../token-dtype.ts';
import { checkIds, type PairWriter } from '../write.ts';
import {
  createDocumentReader,
  cutSequences,
  type DocumentReader,
  documentModes,
  documentTokens,
} from './copy-documents.ts';
import { createScratchFile, type ScratchFile } from './node.ts';
import type { Report } from './outputs.ts';

/** Documents of several datasets in a new order. */
export interface Rearrangement {
  datasets: readonly MmapDataset[];
  /** Documents in the order of the output, counted through all datasets; any may be left out or come more than once. */
  order: Int32Array;
  dtype: TokenDtype;
  writer: Pick<PairWriter, 'addDocument'>;
  scratch: ScratchFile;
  /** Told of the bytes of each document when it is put down, and of all of it when it is written. */
  report?: Report;
  signal?: AbortSignal;
  /** Tokens of a bucket; 8 million when not given, more when the output would need more than 1024 buckets. */
  bucketTokens?: number;
}

/*
 * Reading documents in the new order would be one random read for each: hours on a network disk. So two passes, both in order:
 *
 *   datasets ──in their order──▶ scratch file: bucket 0 | bucket 1 | … ──bucket by bucket, each in memory──▶ output
 *
 * A bucket holds neighbours of the output, in the order of the input. Its place in the scratch file is known beforehand, and its
 * documents reach it through a buffer of its own.
 */

interface Bucket {
  /** Its documents in `order`: `from` to `to` (not included). */
  from: number;
  to: number;
  /** Its place in the scratch file, and its size. */
  tokenOffset: number;
  tokens: number;
}

const BUCKET_TOKENS = 1 << 23;
const BUCKET_DOCUMENTS = 1 << 20;
const MAX_BUCKETS = 1024;
const BUFFER_TOKENS = 1 << 14;

/** Writes the documents of `order`. Memory: one bucket, a small buffer for each bucket, and 12 bytes per document. */
export async function rearrange(rearrangement: Rearrangement): Promise<void> {
  const documents = numberDocuments(rearrangement.datasets);
  const buckets = planBuckets(rearrangement, documents);
  await putDown(rearrangement, documents, buckets);
  for (const bucket of buckets) await pickUp(rearrangement, documents, bucket);
}

/** `rearrange` for datasets on disk, which are opened, with a scratch file beside the output, which is removed. */
export async function rearrangeFiles(
  prefixes: readonly string[],
  output: string,
  rearrangement: Omit<Rearrangement, 'datasets' | 'scratch'>,
): Promise<void> {
  const datasets: MmapDataset[] = [];
  let scratch: ScratchFile | undefined;
  try {
    for (const prefix of prefixes) datasets.push(await openDataset(prefix));
    scratch = await createScratchFile(temporaryPath(`${output}.documents`));
    await rearrange({ ...rearrangement, datasets, scratch });
  } finally {
    await scratch?.remove();
    for (const dataset of datasets) await dataset.close();
  }
}

/** The documents of several datasets, counted through. */
export interface DocumentNumbers {
  /** First number of each dataset, and the count of all at the end. */
  starts: number[];
  locate(document: number): { dataset: MmapDataset; source: number; document: number };
  tokens(document: number): number;
}

export function numberDocuments(datasets: readonly MmapDataset[]): DocumentNumbers {
  const starts = [0];
  for (const { documentCount } of datasets) starts.push((starts.at(-1) as number) + documentCount);
  const locate = (document: number) => {
    let source = 0;
    while (document >= (starts[source + 1] as number)) source++;
    return { dataset: datasets[source] as MmapDataset, source, document: document - (starts[source] as number) };
  };
  return {
    starts,
    locate,
    tokens(document) {
      const found = locate(document);
      return documentTokens(found.dataset, found.document);
    },
  };
}

function planBuckets({ order, bucketTokens = BUCKET_TOKENS }: Rearrangement, documents: DocumentNumbers): Bucket[] {
  let total = 0;
  for (const document of order) total += documents.tokens(document);
  const limit = Math.max(bucketTokens, Math.ceil(total / MAX_BUCKETS));
  const buckets: Bucket[] = [];
  let bucket: Bucket = { from: 0, to: 0, tokenOffset: 0, tokens: 0 };
  for (const document of order) {
    const tokens = documents.tokens(document);
    const isFull = bucket.tokens + tokens > limit || bucket.to - bucket.from === BUCKET_DOCUMENTS;
    if (isFull && bucket.to > bucket.from) {
      buckets.push(bucket);
      bucket = { from: bucket.to, to: bucket.to, tokenOffset: bucket.tokenOffset + bucket.tokens, tokens: 0 };
    }
    bucket.to++;
    bucket.tokens += tokens;
  }
  buckets.push(bucket);
  return buckets;
}

/** First pass: every document that is wanted, in the order of the datasets, to the end of its bucket. */
async function putDown(
  { datasets, order, dtype, scratch, report, signal }: Rearrangement,
  documents: DocumentNumbers,
  buckets: readonly Bucket[],
): Promise<void> {
  const { places, firstPlace } = invert(order, documents.starts.at(-1) as number);
  const appenders = buckets.map((bucket) => createAppender(scratch, bucket.tokenOffset, dtype));
  for (const [source, dataset] of datasets.entries()) {
    const reader: DocumentReader = createDocumentReader(dataset);
    const start = documents.starts[source] as number;
    for (let document = 0; document < dataset.documentCount; document++) {
      const first = firstPlace[start + document] as number;
      const end = firstPlace[start + document + 1] as number;
      if (first === end) continue;
      signal?.throwIfAborted();
      const ids = await reader.read(document, signal);
      checkIds(ids, dtype, () => `${dataset.prefix}: document ${document}`);
      for (let i = first; i < end; i++) {
        await (appenders[bucketOf(buckets, places[i] as number)] as Appender).append(ids);
        report?.(0, 0, ids.length * TOKEN_DTYPES[dtype].bytes);
      }
    }
  }
  for (const appender of appenders) await appender.flush();
}

/** Where each document goes: `places[firstPlace[d]]` to `places[firstPlace[d + 1]]`, rising. */
function invert(order: Int32Array, documentCount: number): { places: Int32Array; firstPlace: Int32Array } {
  const firstPlace = new Int32Array(documentCount + 2);
  for (const document of order) firstPlace[document + 2] = (firstPlace[document + 2] as number) + 1;
  for (let i = 2; i < firstPlace.length; i++) firstPlace[i] = (firstPlace[i] as number) + (firstPlace[i - 1] as number);
  const places = new Int32Array(order.length);
  for (let place = 0; place < order.length; place++) {
    const next = (order[place] as number) + 1;
    places[firstPlace[next] as number] = place;
    firstPlace[next] = (firstPlace[next] as number) + 1;
  }
  return { places, firstPlace };
}

function bucketOf(buckets: readonly Bucket[], place: number): number {
  let low = 0;
  let high = buckets.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((buckets[middle] as Bucket).from <= place) low = middle;
    else high = middle;
  }
  return low;
}

interface Appender {
  append(ids: Int32Array): Promise<void>;
  flush(): Promise<void>;
}

/** Puts ids into the scratch file from `tokenOffset` on, through a buffer that is made when first needed. */
function createAppender(scratch: ScratchFile, tokenOffset: number, dtype: TokenDtype): Appender {
  const { bytes: width } = TOKEN_DTYPES[dtype];
  let buffer: ArrayBuffer | undefined;
  let encode: ReturnType<typeof tokenEncoder> | undefined;
  let filled = 0;
  let written = tokenOffset;
  const flush = async () => {
    if (!buffer || filled === 0) return;
    await scratch.write(new Uint8Array(buffer, 0, filled * width), written * width);
    written += filled;
    filled = 0;
  };
  return {
    flush,
    async append(ids) {
      buffer ??= new ArrayBuffer(BUFFER_TOKENS * width);
      encode ??= tokenEncoder(buffer, dtype);
      for (let done = 0; done < ids.length; ) {
        const count = Math.min(BUFFER_TOKENS - filled, ids.length - done);
        encode(ids.subarray(done, done + count), filled);
        filled += count;
        done += count;
        if (filled === BUFFER_TOKENS) await flush();
      }
    },
  };
}

/** Second pass: one bucket into memory, and out of it in the new order. */
async function pickUp(
  { order, dtype, writer, scratch, report, signal }: Rearrangement,
  documents: DocumentNumbers,
  bucket: Bucket,
): Promise<void> {
  signal?.throwIfAborted();
  const { bytes: width } = TOKEN_DTYPES[dtype];
  const bytes = await scratch.read(bucket.tokenOffset * width, bucket.tokens * width);
  const ids = decodeTokens(bytes, dtype) as Int32Array; // our own bytes: no id is outside 32 bits
  const size = bucket.to - bucket.from;

  // Arrival is by document, then by place: one number, below 2^51, that sorts so and gives the place back.
  const arrival = Float64Array.from({ length: size }, (_, i) => (order[bucket.from + i] as number) * size + i).sort();
  const offsets = new Float64Array(size);
  let offset = 0;
  for (const key of arrival) {
    const place = key % size;
    offsets[place] = offset;
    offset += documents.tokens(order[bucket.from + place] as number);
  }
  for (let i = 0; i < size; i++) {
    const { dataset, document } = documents.locate(order[bucket.from + i] as number);
    const tokens = documentTokens(dataset, document);
    const found = ids.subarray(offsets[i], (offsets[i] as number) + tokens);
    await writer.addDocument(cutSequences(dataset, document, found), documentModes(dataset, document));
    report?.(1, tokens, tokens * width);
  }
}
