/** What can be said for good after one more token. */
export interface TextStep {
  /** Text that no later token changes; often empty. */
  readonly text: string;
  /** True when a stop string came; it and all after it are left out. */
  readonly isStopped: boolean;
}

/** Text out of token ids as they come. */
export interface TextStream {
  push(token: number): Promise<TextStep>;
  /** What was held back, when no more tokens come. */
  finish(): string;
}

const REPLACEMENT = '\ufffd';

/**
 * Turns tokens into text that can be sent at once. A character may take several tokens: until its last byte is there it
 * decodes to one U+FFFD at the end, which is held back, since a decoder of each token alone would send the U+FFFD. Text
 * that may be the beginning of a stop string is held back too.
 */
export function createTextStream(
  decode: (ids: readonly number[]) => Promise<string>,
  stops: readonly string[],
): TextStream {
  let pending: number[] = [];
  /** Text of the ids before `pending`. */
  let settled = '';
  /** The same and what `pending` says so far. */
  let text = '';
  let withheld = '';
  let sent = 0;

  const advance = (to: number): string => {
    const piece = text.slice(sent, Math.max(sent, to));
    sent += piece.length;
    return piece;
  };
  return {
    async push(token) {
      pending.push(token);
      const tail = await decode(pending);
      withheld = tail.endsWith(REPLACEMENT) ? REPLACEMENT : '';
      text = settled + tail.slice(0, tail.length - withheld.length);
      if (withheld === '') {
        settled = text;
        pending = [];
      }
      const stop = firstStop(text, stops, sent);
      if (stop === undefined) return { text: advance(text.length - heldBack(text, stops)), isStopped: false };
      withheld = '';
      text = text.slice(0, stop);
      return { text: advance(stop), isStopped: true };
    },
    finish() {
      text += withheld;
      return advance(text.length);
    },
  };
}

/** Where the first stop string begins. Text before `from` was sent, so none can begin there. */
function firstStop(text: string, stops: readonly string[], from: number): number | undefined {
  const found = stops.map((stop) => text.indexOf(stop, from)).filter((at) => at >= 0);
  return found.length > 0 ? Math.min(...found) : undefined;
}

/** Length of the longest end of `text` that is the beginning of a stop string. */
function heldBack(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(stop.slice(0, length))) longest = length;
    }
  }
  return longest;
}
