import { type Journal, parseJournal } from './journal.ts';
import { readIfThere } from './node.ts';

/** The journal in a file; undefined when there is none, or not a line of it. @throws InvalidInputError `CPT_INPUT_RESUME_MISMATCH`. */
export function readJournal(path: string): Journal | undefined {
  const text = readIfThere(path);
  return text === undefined ? undefined : parseJournal(text, path);
}
