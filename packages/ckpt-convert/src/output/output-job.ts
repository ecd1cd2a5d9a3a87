import type { ReadInto } from '../checkpoint.ts';
import type { ExecuteOptions, OutputFile, WrittenFile } from '../execute.ts';
import type { HfFiles } from '../hf-files.ts';
import type { JournalStart } from './journal.ts';
import { readBytes } from './node.ts';
import type { Part } from './parts.ts';

/** What the weights of an output are read from and written to. */
export interface OutputIo {
  readInto: ReadInto;
  createOutput(name: string): Promise<OutputFile>;
  /** Where `createOutput` makes its files, for threads that make some by themselves; absent where it makes none. */
  readonly folder?: string;
}

/** Everything that an output will be, in words that are the same for each kind of conversion. */
export interface OutputJob {
  readonly directory: string;
  /** The checkpoint's or the model's own directory, and the files that are read from it. */
  readonly source: string;
  readonly sourceFiles: readonly string[];
  /** Digest of what decides the bytes of the weights. */
  readonly plan: string;
  /** Options behind the plan, so that a refusal to resume can name one. */
  readonly facts: JournalStart['facts'];
  readonly readInto: ReadInto;
  /** Files of weights, paths in the output, in the order in which they are made. */
  readonly weights: readonly { readonly name: string; readonly byteLength: number }[];
  /** Makes those of `names` that `options.finished` does not hold, and calls `options.onFile` for each. */
  make(names: ReadonlySet<string>, io: OutputIo, options: ExecuteOptions): Promise<WrittenFile[]>;
  /** Files beside the weights. */
  readonly companions: {
    readonly contents: readonly { readonly name: string; readonly content: string | Uint8Array }[];
    readonly copies: HfFiles['copies'];
  };
  /** What makes the output whole for a reader; without `content` it is one of the weights. */
  readonly final: { readonly name: string; readonly content?: string };
  /** True for a name in the output that must not stay beside the new weights. */
  isStale(name: string): boolean;
  readonly force: boolean;
  readonly resume: boolean;
  /** The output holds files already; they must be what this would write, to the byte. */
  readonly isFilled: boolean;
  readonly part?: Part;
}

/** Name and content of everything beside the weights. */
export function contentsOf({ companions, final }: OutputJob): Map<string, Uint8Array> {
  const contents = new Map<string, Uint8Array>();
  for (const { name, content } of companions.contents) contents.set(name, Buffer.from(content));
  for (const { name, from } of companions.copies) contents.set(name, readBytes(from));
  if (final.content !== undefined) contents.set(final.name, Buffer.from(final.content));
  return contents;
}
