import { dirname, relative } from 'node:path';
import { InvalidInputError } from '@pai-cpt/core';
import { decodeDocuments } from '../documents/decode-documents.ts';
import { isPattern, patternBase } from '../documents/glob.ts';
import { type InputFile, STDIN } from '../documents/input-file.ts';
import { listInputs } from '../documents/inputs.ts';
import { openInput } from '../documents/open-input.ts';
import { isDirectory } from '../node.ts';
import { createPlaces } from './places.ts';

/** A file of a corpus. */
export interface CorpusFile extends InputFile {
  /** Its path below the folder or pattern that was given, or its own name. */
  name: string;
}

/** A document, and where a person finds it. */
export interface CorpusDocument {
  /** 0 for the first document of the corpus. */
  number: number;
  file: CorpusFile;
  /** The line on which it begins, or its row; 1 for the first. */
  line: number;
  texts: string[];
  /** All texts joined by line breaks. */
  text: string;
  /** The bytes of its line, where one line is one document. */
  source: Uint8Array | undefined;
}

export interface CorpusOptions {
  /** JSONL key of the text; `text` when not given. */
  textKey?: string;
  /** Text files: one document per run of lines between blank lines, not one per file. */
  splitParagraphs?: boolean;
  onProgress?: (progress: CorpusProgress) => void;
  signal?: AbortSignal;
}

export interface CorpusProgress {
  documents: number;
  bytesRead: number;
  bytesTotal: number;
}

/**
 * The files of a corpus, in order; see `listInputs`.
 * @throws InvalidInputError `CPT_INPUT_INVALID` also for stdin, which has no name to report and cannot be read twice.
 */
export async function listCorpus(paths: readonly string[]): Promise<CorpusFile[]> {
  if (paths.length === 0) await listInputs([]); // says what is missing
  if (paths.includes(STDIN)) {
    throw new InvalidInputError('CPT_INPUT_INVALID', 'stdin cannot be screened; name files or folders', {
      field: 'inputs',
    });
  }
  const files: CorpusFile[] = [];
  for (const path of paths) {
    const found = await listInputs([path]);
    const base = await baseOf(path, found);
    files.push(...found.map((file) => ({ ...file, name: relative(base, file.path) })));
  }
  return files;
}

async function baseOf(path: string, found: readonly InputFile[]): Promise<string> {
  if (await isDirectory(path)) return path;
  return isPattern(path) && found[0]?.path !== path ? patternBase(path) : dirname(path);
}

/** Where a document is, for a person: `file:line`. */
export function documentId({ file, line }: { file: CorpusFile; line: number }): string {
  return `${file.path}:${line}`;
}

/** The documents of all files in order; returns the sha256 of each file as it was read. */
export async function* readCorpus(
  files: readonly CorpusFile[],
  options: CorpusOptions = {},
): AsyncGenerator<CorpusDocument, string[]> {
  const { textKey = 'text', splitParagraphs = false, onProgress, signal } = options;
  const bytesTotal = files.reduce((sum, file) => sum + file.byteLength, 0);
  const digests: string[] = [];
  let bytesBefore = 0;
  let number = 0;
  for (const file of files) {
    const input = await openInput(file, { textKey, splitParagraphs, ...(signal && { signal }) });
    const places = createPlaces();
    try {
      for await (const document of decodeDocuments(places.watch(input.pieces), file.path, textKey)) {
        signal?.throwIfAborted();
        const { texts, byteOffset } = document;
        const text = texts.length === 1 ? (texts[0] as string) : texts.join('\n');
        yield { number, file, ...places.of(document), texts, text };
        number++;
        onProgress?.({ documents: number, bytesRead: bytesBefore + Math.min(byteOffset, file.byteLength), bytesTotal });
      }
      digests.push((await input.record()).sha256);
    } finally {
      await input.close();
    }
    bytesBefore += file.byteLength;
  }
  onProgress?.({ documents: number, bytesRead: bytesTotal, bytesTotal });
  return digests;
}
