import { type CorpusFile, type CorpusOptions, documentId, listCorpus, readCorpus } from '../screen/corpus.ts';
import { openScreenOutput, type ScreenFiles } from '../screen/node.ts';
import { screenCorpus } from '../screen/screen-corpus.ts';
import { type DuplicateOptions, type Duplicates, findDuplicates } from './find-duplicates.ts';
import { DEFAULT_MIN_HASH, shingleSimilarity } from './min-hash.ts';

export interface DedupOptions extends CorpusOptions, DuplicateOptions {
  /** Files and folders, as for `buildDataset`. */
  inputs: readonly string[];
  /** Folder for the kept documents; without it nothing is dropped. */
  drop?: string;
  /** File for the duplicates; with `drop` it is `FOLDER.rejects.jsonl` when not given. */
  rejects?: string;
}

/** A duplicate to look at. */
export interface DuplicateExample {
  /** `file:line`, as `duplicateOf`. */
  document: string;
  duplicateOf: string;
  /** Jaccard similarity of the shingles of the two, counted. */
  similarity: number;
  /** The first characters of the duplicate. */
  excerpt: string;
}

export interface DedupReport extends Omit<Duplicates, 'first'> {
  method: 'exact' | 'minhash';
  savedShare: number;
  examples: DuplicateExample[];
  output?: ScreenFiles;
  seconds: number;
}

const EXAMPLES = 5;
const EXCERPT_CHARACTERS = 80;

/**
 * Reports the duplicates of a corpus, and with `drop` or `rejects` reads it again and parts the kept documents from the
 * duplicates; the first document of each group is kept. Outputs have temporary names until all are written.
 * @throws InvalidInputError `CPT_INPUT_INVALID` also when a file changed between the passes; `CPT_INPUT_OUTPUT_EXISTS`.
 */
export async function dedupFiles(options: DedupOptions): Promise<DedupReport> {
  const start = performance.now();
  const { method = 'exact', shingle = DEFAULT_MIN_HASH.shingle } = options;
  const files = await listCorpus(options.inputs);
  const output = await openScreenOutput(files, options);
  try {
    const { duplicates, digests } = await readOnce(files, options);
    const { first, ...counts } = duplicates;
    const examples = await findExamples(files, options, first, shingle);
    if (output) await part(files, options, first, digests, { output, method });
    const written = await output?.commit();
    return {
      method,
      ...counts,
      savedShare: counts.bytes === 0 ? 0 : counts.savedBytes / counts.bytes,
      examples,
      ...(written && { output: written }),
      seconds: (performance.now() - start) / 1000,
    };
  } catch (error) {
    await output?.abort();
    throw error;
  }
}

async function readOnce(
  files: readonly CorpusFile[],
  options: DedupOptions,
): Promise<{ duplicates: Duplicates; digests: string[] }> {
  let digests: string[] = [];
  const documents = readCorpus(files, options);
  const texts = async function* (): AsyncGenerator<string> {
    try {
      let next = await documents.next();
      for (; !next.done; next = await documents.next()) yield next.value.text;
      digests = next.value;
    } finally {
      await documents.return(undefined as never);
    }
  };
  const duplicates = await findDuplicates(texts(), options);
  return { duplicates, digests };
}

/** The first duplicates beside what they repeat; the corpus is read only as far as the last of them. */
async function findExamples(
  files: readonly CorpusFile[],
  options: CorpusOptions,
  first: Int32Array,
  shingle: number,
): Promise<DuplicateExample[]> {
  const wanted: number[] = [];
  for (let i = 0; i < first.length && wanted.length < EXAMPLES; i++) if (first[i] !== i) wanted.push(i);
  const last = wanted.at(-1);
  if (last === undefined) return [];
  const originals = new Map(wanted.map((number) => [first[number] as number, { id: '', text: '' }]));
  const examples: DuplicateExample[] = [];
  const { onProgress: _, ...quiet } = options;
  for await (const document of readCorpus(files, quiet)) {
    const { number, text } = document;
    if (originals.has(number)) originals.set(number, { id: documentId(document), text });
    if (wanted.includes(number)) {
      const original = originals.get(first[number] as number) as { id: string; text: string };
      examples.push({
        document: documentId(document),
        duplicateOf: original.id,
        similarity: shingleSimilarity(text, original.text, shingle),
        excerpt: text.slice(0, EXCERPT_CHARACTERS),
      });
    }
    if (number === last) break;
  }
  return examples;
}

async function part(
  files: readonly CorpusFile[],
  options: CorpusOptions,
  first: Int32Array,
  expectedDigests: readonly string[],
  {
    output,
    method,
  }: { output: NonNullable<Awaited<ReturnType<typeof openScreenOutput>>>; method: 'exact' | 'minhash' },
): Promise<void> {
  const lines = new Int32Array(first.length);
  const starts: { number: number; file: CorpusFile }[] = [];
  const idOf = (number: number): string => {
    const start = starts.findLast((entry) => entry.number <= number) as (typeof starts)[number];
    return documentId({ file: start.file, line: lines[number] as number });
  };
  const reason = method === 'exact' ? 'duplicate' : 'near-duplicate';
  await screenCorpus(
    files,
    ({ number, file, line }) => {
      lines[number] = line;
      if (starts.at(-1)?.file !== file) starts.push({ number, file });
      const original = first[number] ?? number;
      return original === number ? undefined : { reason, duplicateOf: idOf(original) };
    },
    { ...options, output, expectedDigests },
  );
}
