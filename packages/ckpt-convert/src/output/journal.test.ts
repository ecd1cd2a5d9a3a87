import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ConversionPlan } from '../plan.ts';
import {
  changedSource,
  type JournalStart,
  parseJournal,
  planDigest,
  requireSameWork,
  serializeEntry,
  sourcePaths,
} from './journal.ts';

const file = { file: 'mp_rank_00/model_optim_rng.pt', bytes: 100, modifiedMs: 1_700_000_000_000, tailSha256: 'aa' };
const start: JournalStart = {
  journal: 1,
  plan: 'p',
  facts: { iteration: 7, maxShardBytes: 10 },
  source: [file],
  outputShards: 3,
  force: false,
};
const shard = (number: number) => ({ name: `s${number}`, bytes: number, sha256: `d${number}` });

describe('parseJournal', () => {
  const text = [start, { shard: shard(1) }, { shard: shard(2) }, { commit: true } as const]
    .map(serializeEntry)
    .join('');

  it('gives back what was written', () => {
    const journal = parseJournal(text, 'journal');
    expect(journal?.start).toEqual(start);
    expect([...(journal?.finished.values() ?? [])]).toEqual([shard(1), shard(2)]);
    expect(journal?.isCommitting).toBe(true);
  });

  it('cut at any byte keeps the whole lines and nothing else', () => {
    const ends = text
      .split('\n')
      .slice(0, -1)
      .map((_, at, lines) => lines.slice(0, at + 1).join('\n').length + 1);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: text.length }), (length) => {
        const journal = parseJournal(text.slice(0, length), 'journal');
        const whole = ends.filter((end) => end <= length).length;
        expect(journal === undefined).toBe(whole === 0);
        expect(journal?.finished.size ?? 0).toBe(Math.min(2, Math.max(0, whole - 1)));
        expect(journal?.isCommitting ?? false).toBe(whole === 4);
      }),
    );
  });

  it.each([
    'null',
    '[]',
    '{"journal":2,"source":[]}',
    '{"journal":1}',
    '{"shard":{"name":"a","bytes":1,"sha256":"b"}}',
  ])('refuses %s as the first line', (line) => {
    expect(() => parseJournal(`${line}\n`, 'OUT/journal')).toThrow(
      expect.objectContaining({
        code: 'CPT_INPUT_RESUME_MISMATCH',
        message: expect.stringContaining('OUT/journal line 1'),
      }),
    );
  });

  it.each(['{"shard":{"name":"a","bytes":"1","sha256":"b"}}', '{"shard":null}', '{"other":1}', 'x'])(
    'refuses %s as the second',
    (line) => {
      expect(() => parseJournal(`${serializeEntry(start)}${line}\n`, 'journal')).toThrow('line 2');
    },
  );
});

describe('requireSameWork', () => {
  const refusal = (now: Partial<JournalStart>) => {
    try {
      requireSameWork(start, { ...start, ...now }, 'OUT');
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  };

  it('lets the same work go on, forced or not', () => {
    expect(refusal({})).toBeUndefined();
    expect(refusal({ force: true })).toBeUndefined();
  });

  it('names what changed, the source first', () => {
    expect(refusal({ facts: { iteration: 8, maxShardBytes: 10 } })).toContain('iteration was 7, now 8');
    expect(refusal({ plan: 'q' })).toContain('the plan of copies is another one');
    const both = refusal({ facts: { iteration: 8, maxShardBytes: 10 }, source: [{ ...file, bytes: 99 }], plan: 'q' });
    expect(both).toContain('something else: mp_rank_00/model_optim_rng.pt had 100 bytes, now 99; iteration was 7');
  });
});

it('changedSource tells size, content, time, a missing and a new file apart', () => {
  const change = (now: (typeof file)[]) => changedSource([file], now);
  expect(change([file])).toEqual([]);
  expect(change([{ ...file, tailSha256: 'bb' }])).toEqual([`${file.file} has other content`]);
  expect(change([{ ...file, modifiedMs: 1_700_000_001_000 }])).toEqual([
    `${file.file} was modified 2023-11-14T22:13:20.000Z, now 2023-11-14T22:13:21.000Z`,
  ]);
  expect(change([{ ...file, file: 'b' }])).toEqual([`${file.file} is no longer read`, 'b was not read before']);
});

describe('planDigest', () => {
  const plan = (
    directory: string,
    changes: { from?: number; byteOffset?: number; name?: string } = {},
  ): ConversionPlan => {
    const { from = 0, byteOffset = 64, name = 't' } = changes;
    const source = { tensorRank: 0, file: `${directory}/a.pt`, byteOffset, shape: [4], stride: [1] };
    const copies = [{ shard: 0, from, to: 0, bytes: 4, count: 1, fromStep: 4, toStep: 4 }];
    const tensor = {
      name,
      dtype: 'U8',
      shape: [4],
      byteLength: 4,
      megatronName: 'm',
      sources: [source],
      copies,
    } as const;
    return {
      outputShards: [{ name: 's', tensors: [tensor], byteLength: 4 }],
      checks: [],
      tensorCount: 1,
      byteLength: 4,
    };
  };
  it('is the same from another mount point, and another one for any other copy', () => {
    const digest = planDigest(plan('/mnt/a').outputShards, '/mnt/a');
    expect(planDigest(plan('/nas/b').outputShards, '/nas/b')).toBe(digest);
    for (const changes of [{ from: 1 }, { byteOffset: 128 }, { name: 'u' }]) {
      expect(planDigest(plan('/mnt/a', changes).outputShards, '/mnt/a')).not.toBe(digest);
    }
    expect(sourcePaths(plan('/mnt/a').outputShards)).toEqual(['/mnt/a/a.pt']);
  });
});
