import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TextStatistics } from '../src/quality/text-statistics.ts';
import { CORPUS, readFixture } from './fixtures.ts';

/** Where a text of the corpus stands. */
interface CorpusLine {
  file: string;
  line: number;
}

interface CorpusSpan extends CorpusLine {
  from: number;
  to: number;
}

type ExpectedStatistics = Omit<TextStatistics, 'repetition'> & {
  repetition: {
    paragraphs: number;
    paragraphCharacters: number;
    top: Record<string, number>;
    repeated: Record<string, number>;
  };
};

/** fixtures/mmap/quality.json, made by generate_quality.py. */
export const qualityFixture = readFixture('mmap/quality.json') as {
  statistics: (({ name: string; text: string } | CorpusLine) & { expected: ExpectedStatistics })[];
  similarities: { one: CorpusSpan; other: CorpusSpan; expected: number }[];
  evaluations: string[][];
  /** Evaluation document, first n-gram, matches. */
  contamination: (CorpusLine & { expected: [number, string, number][] })[];
};

const texts = new Map(
  ['english', 'chinese'].map((name): [string, string[]] => {
    const lines = readFileSync(join(CORPUS, `${name}.jsonl`), 'utf8')
      .trimEnd()
      .split('\n');
    return [name, lines.map((line) => (JSON.parse(line) as { text: string }).text)];
  }),
);

export function corpusText({ file, line }: CorpusLine): string {
  const text = texts.get(file)?.[line - 1];
  if (text === undefined) throw new Error(`no line ${line} in ${file}`);
  return text;
}

export function corpusSpan(span: CorpusSpan): string {
  return corpusText(span).slice(span.from, span.to);
}
