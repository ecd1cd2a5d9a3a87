import { join } from 'node:path';
import { loadTokenizer } from '@pai-cpt/mmap';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createTextStream, type TextStep } from './text-stream.ts';

/** Ids that are bytes: a character of n bytes takes n tokens. */
const decodeBytes = async (ids: readonly number[]) => Buffer.from(ids).toString('utf8');

async function run(bytes: Iterable<number>, stops: string[] = []): Promise<{ steps: TextStep[]; rest: string }> {
  const stream = createTextStream(decodeBytes, stops);
  const steps: TextStep[] = [];
  for (const byte of bytes) {
    steps.push(await stream.push(byte));
    if (steps.at(-1)?.isStopped) break;
  }
  return { steps, rest: stream.finish() };
}

const texts = (steps: TextStep[]): string[] => steps.map((step) => step.text);
const joined = ({ steps, rest }: { steps: TextStep[]; rest: string }): string => texts(steps).join('') + rest;

describe('createTextStream', () => {
  it('sends a character when its last byte is there', async () => {
    const { steps, rest } = await run(Buffer.from('a子😀'));
    expect(texts(steps)).toEqual(['a', '', '', '子', '', '', '', '😀']);
    expect(rest).toBe('');
  });

  it('gives what all bytes decode to, also when they are not UTF-8', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 40 }), async (bytes) => {
        expect(joined(await run(bytes))).toBe(Buffer.from(bytes).toString('utf8'));
      }),
      { numRuns: 300 },
    );
  });

  it('gives the text of any string with the real tokenizer, token by token', async () => {
    const tokenizer = await loadTokenizer(join(import.meta.dirname, '../../../../fixtures/tokenizer'));
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme', maxLength: 30 }), async (text) => {
        const stream = createTextStream((ids) => tokenizer.decode(ids), []);
        let received = '';
        for (const id of await tokenizer.encode(text)) {
          const step = await stream.push(id);
          expect(step.text.endsWith('\ufffd') && !text.includes('\ufffd')).toBe(false);
          received += step.text;
        }
        expect(received + stream.finish()).toBe(text.normalize('NFC'));
      }),
      { numRuns: 60 },
    );
  });

  it('sends half a character at the end as what it is', async () => {
    expect(joined(await run([0x61, 0xe5, 0xad]))).toBe('a\ufffd');
  });

  it('ends before a stop string that comes in several tokens, and sends no part of it', async () => {
    const { steps, rest } = await run(Buffer.from('one, two'), [', t']);
    expect(texts(steps)).toEqual(['o', 'n', 'e', '', '', '']);
    expect(steps.at(-1)?.isStopped).toBe(true);
    expect(rest).toBe('');
  });

  it('sends what only looked like a stop string', async () => {
    const { steps, rest } = await run(Buffer.from('a##b#'), ['###']);
    expect(texts(steps)).toEqual(['a', '', '', '##b', '']);
    expect(rest).toBe('#');
  });

  it('stops at the first of several, inside one token too, and has nothing more to say', async () => {
    const stream = createTextStream(async () => 'x. y; z\ufffd', ['; ', '. ']);
    expect(await stream.push(1)).toEqual({ text: 'x', isStopped: true });
    expect(stream.finish()).toBe('');
  });

  it('never sends a stop string or anything behind it, whatever the text', async () => {
    const letters = fc.array(fc.constantFrom('a', 'b', '子'), { maxLength: 20 }).map((all) => all.join(''));
    const stops = fc.array(fc.constantFrom('ab', 'aab', 'b子', '子子a'), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(letters, stops, async (text, given) => {
        const result = await run(Buffer.from(text), given);
        const whole = joined(result);
        expect(text.startsWith(whole)).toBe(true);
        for (const stop of given) expect(whole).not.toContain(stop);
        const hasStop = given.some((stop) => text.includes(stop));
        expect(result.steps.at(-1)?.isStopped ?? false).toBe(hasStop);
        if (!hasStop) expect(whole).toBe(text);
      }),
      { numRuns: 200 },
    );
  });
});
