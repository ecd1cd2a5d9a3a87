import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildPaiLocal } from '@pai-cpt/pai-local';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { STEPS } from './mortal.ts';
import { type Outcome, runSeed } from './run-seed.ts';
import { virtualClock } from './virtual-clock.ts';

/**
 * Rows 44 to 47 of the faults: kills at every step, lost and late answers, lists that lie, two clients at once. `npm test` runs
 * 200 seeds; conformance/exactly-once.mjs asks for more, and for the figures in a file.
 */
const SEEDS = Number(process.env.CPT_EXACTLY_ONCE_SEEDS ?? 200);
const FIRST = Number(process.env.CPT_EXACTLY_ONCE_FIRST ?? 1);
const FIGURES = process.env.CPT_EXACTLY_ONCE_FIGURES;
/** Seeds that share a pai-local: a list is read from all its jobs. */
const PER_WORLD = 40;

let directory: string;
const outcomes: Outcome[] = [];

beforeAll(async () => {
  // Every line of the journal is synced: a folder in memory is as strict and takes no time.
  directory = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'exactly-once-'));
  for (let first = FIRST; first < FIRST + SEEDS; first += PER_WORLD) {
    const clock = virtualClock();
    const pai = await buildPaiLocal({
      ...{ accessKeys: { id: 'secret' }, clock, pace: 1e12 },
      ...{ stateDirectory: join(directory, `state-${first}`), nasDirectory: join(directory, 'nas') },
    });
    try {
      for (let seed = first; seed < Math.min(first + PER_WORLD, FIRST + SEEDS); seed++) {
        outcomes.push(await runSeed(seed, { pai, clock, directory }));
      }
    } finally {
      clock.finish();
      await pai.close();
    }
  }
  const sum = (of: (outcome: Outcome) => number) => outcomes.reduce((total, outcome) => total + of(outcome), 0);
  console.log(
    `${SEEDS} submissions, ${sum(({ kills }) => kills.length)} kills, ${sum(({ faults }) => faults.length)} faults: ` +
      `${sum(({ alive }) => Math.max(0, alive - 1))} duplicates, ${sum(({ isLost }) => Number(isLost))} lost`,
  );
  if (FIGURES) await writeFile(FIGURES, JSON.stringify(outcomes));
}, 600_000);

afterAll(() => rm(directory, { recursive: true, force: true }));

const thingOf = (step: string): string => step.split(' ').at(-1) ?? '';
const seedsWhere = (is: (outcome: Outcome) => boolean) => outcomes.filter(is).map(({ seed }) => seed);

describe('rows 44 to 47: kills and faults at every step', () => {
  it('leaves no second job', () => {
    expect(outcomes).toHaveLength(SEEDS);
    expect(seedsWhere(({ alive }) => alive > 1)).toEqual([]);
  });

  it('loses no job', () => {
    expect(seedsWhere(({ isLost, alive }) => isLost || alive === 0)).toEqual([]);
  });

  it('gives every caller the same job in the end', () => {
    expect(seedsWhere(({ wrongAnswers }) => wrongAnswers > 0)).toEqual([]);
  });

  it('makes no second job even for a moment, for one client whose calls are carried out within the settle time', () => {
    expect(seedsWhere(({ kind, isTooLate, created }) => kind !== 'apart' && !isTooLate && created > 1)).toEqual([]);
  });

  it('never takes an answer back, unless clients with separate journals collide or a call is carried out too late', () => {
    expect(seedsWhere(({ kind, isTooLate, superseded }) => kind !== 'apart' && !isTooLate && superseded > 0)).toEqual(
      [],
    );
  });

  it.runIf(SEEDS >= 200)('meets what it is there for', () => {
    const kills = new Set(outcomes.flatMap((outcome) => outcome.kills));
    // By what is written or called: a single step may be missed when files answer in another order.
    const things = new Set(STEPS.map(thingOf));
    expect(new Set([...kills].map(thingOf))).toEqual(things);
    const faults = new Set(outcomes.flatMap((outcome) => outcome.faults));
    const wanted = [
      'drop, carried out',
      'hang, carried out later',
      'late-visibility',
      'double-listing',
      'reordered-list',
    ];
    expect(wanted.filter((fault) => !faults.has(fault))).toEqual([]);
    expect(seedsWhere(({ created }) => created > 1).length).toBeGreaterThan(0); // two clients do collide
    expect(seedsWhere(({ errors }) => errors.includes('CPT_PAI_SUBMIT_UNKNOWN')).length).toBeGreaterThan(0);
  });
});
