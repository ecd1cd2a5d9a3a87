import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { CptError } from '@pai-cpt/core';
import { type BuiltPaiLocal, type FaultRule, seededRandom } from '@pai-cpt/pai-local';
import { CptClient } from '../../src/index.ts';
import type { Clock } from '../../src/poll.ts';
import { readState, type SubmitJournal } from '../../src/submit/journal.ts';
import { intentIdOf } from '../../src/submit/marker.ts';
import { fileSubmitJournal } from '../../src/submit/node.ts';
import { sample72B } from '../sample-specs.ts';
import { inProcessClient } from './in-process-pai.ts';
import { type LeaseTable, leaseJournal } from './lease-journal.ts';
import { type Fate, Mortal, NEVER, STEPS } from './mortal.ts';
import { drawStorm } from './storm.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** `alone`: one client. `apart`: two clients, each with a journal of its own. `replicas`: two on one leased journal, clocks apart. `five`: five callers of one client. */
export const KINDS = ['alone', 'apart', 'replicas', 'five'] as const;
export type Kind = (typeof KINDS)[number];

/** What came of one seed. */
export interface Outcome {
  readonly seed: number;
  readonly kind: Kind;
  readonly kills: string[];
  readonly faults: string[];
  /** How each answer came about. */
  readonly answers: string[];
  /** Codes of errors that callers saw. */
  readonly errors: string[];
  /** Jobs that PAI ever made for the key, and those that were not stopped at the end. */
  readonly created: number;
  readonly alive: number;
  /** No job is there although the journal says that one is wanted. */
  readonly isLost: boolean;
  /** Answers at the end that name a job which is not the one alive. */
  readonly wrongAnswers: number;
  /** Answers during the storm that name another job than the one alive at the end. */
  readonly superseded: number;
  readonly isTooLate: boolean;
}

export interface World {
  readonly pai: BuiltPaiLocal;
  readonly clock: VirtualClock;
  readonly directory: string;
}

interface Actor {
  readonly clock: Clock;
  readonly journal: (mortal: Mortal) => SubmitJournal;
  /** Callers at once in this process. */
  readonly callers: number;
}

const RETRIES = 3;

/** One submission under kills and faults, then calm weather, recovery, and a look at what PAI holds. */
export async function runSeed(seed: number, { pai, clock, directory }: World): Promise<Outcome> {
  const random = seededRandom(seed);
  const kind = KINDS[[0, 0, 0, 1, 1, 2, 2, 3][Math.floor(random() * 8)] as number] as Kind;
  const key = `run ${seed}`;
  const storm = drawStorm(random);
  const told = { kills: [] as string[], answers: [] as string[], errors: [] as string[] };
  const answered = new Set<string>();
  const rare =
    kind === 'apart' ? /duplicate|GetJob|StopJob/ : storm.rules.some(isRefusal) ? /refused/ : /CreateJob|answer/;
  const likely = STEPS.filter((step) => rare.test(step));
  pai.faults.set({ seed, rules: storm.rules });

  const table: LeaseTable = { rows: new Map() };
  const fileActor = (name: string): Actor => {
    const folder = join(directory, `${seed}-${name}`);
    mkdirSync(folder, { recursive: true });
    const own = clock.skewed((random() - 0.5) * 600_000);
    return {
      clock: own,
      callers: kind === 'five' ? 5 : 1,
      journal: (mortal) => mortal.journal(fileSubmitJournal(folder, { clock: own }), clock, folder),
    };
  };
  const replica = (): Actor => {
    const own = clock.skewed((random() - 0.5) * 600_000);
    return { clock: own, callers: 1, journal: (mortal) => mortal.journal(leaseJournal(table, own), clock) };
  };
  const actors =
    kind === 'replicas'
      ? [replica(), replica()]
      : kind === 'apart'
        ? [fileActor('a'), fileActor('b')]
        : [fileActor('a')];

  const connect = (actor: Actor, mortal: Mortal): CptClient =>
    new CptClient({
      ...{ regionId: 'cn-hangzhou', workspaceId: '1', clock: actor.clock, random },
      transport: inProcessClient(pai, clock, random, mortal.passage()),
    });
  const submitAll = (actor: Actor, mortal: Mortal, callers = 1) => {
    const { jobs } = connect(actor, mortal);
    const journal = actor.journal(mortal);
    return Promise.allSettled(Array.from({ length: callers }, () => jobs.submit(sample72B, { key, journal })));
  };

  /** A program that is started again after each kill and each failure, a few times. */
  const live = async (actor: Actor): Promise<void> => {
    await clock.sleep(random() < 0.7 ? 0 : random() * 5000);
    for (let attempt = 0; attempt <= RETRIES; attempt++) {
      const mortal = new Mortal(attempt < RETRIES ? drawFate(random, likely) : NEVER, (step) => told.kills.push(step));
      const results = await submitAll(actor, mortal, actor.callers);
      await mortal.bury();
      for (const result of results) {
        if (mortal.isDead) continue;
        if (result.status === 'fulfilled') {
          told.answers.push(result.value.submission.how);
          answered.add(result.value.jobId);
        } else told.errors.push(CptError.isInstance(result.reason) ? result.reason.code : String(result.reason));
      }
      if (!mortal.isDead && results.every(({ status }) => status === 'fulfilled')) return;
      await clock.sleep(random() * 20_000);
    }
  };
  await Promise.all(actors.map(live));
  const faults = pai.faults.counts().flatMap(({ rule, struck }) => Array.from({ length: struck }, () => nameOf(rule)));
  pai.faults.set({ rules: [] });

  // Calm: what was late has come, and every journal is recovered.
  await clock.sleep(600_000);
  let isWanted = false;
  for (const actor of actors) {
    const alive = new Mortal(NEVER, () => {});
    const journal = actor.journal(alive);
    await connect(actor, alive).jobs.recover(journal);
    const claim = await journal.claim(intentIdOf(key));
    const { intent, attempts } = readState(claim.records);
    await claim.release();
    isWanted ||= intent !== undefined && !(attempts.length > 0 && attempts.every(({ isRefused }) => isRefused));
  }
  const isLost = isWanted && (await jobsOf(pai, key)).filter(isAlive).length === 0;
  const last: string[] = [];
  for (const actor of actors) {
    const [result] = await submitAll(actor, new Mortal(NEVER, () => {}));
    last.push(result?.status === 'fulfilled' ? result.value.jobId : String(result?.reason));
  }
  const jobs = await jobsOf(pai, key);
  const alive = jobs.filter(isAlive);
  const wrongAnswers = last.filter((jobId) => jobId !== alive[0]?.JobId).length;
  const superseded = [...answered].filter((jobId) => jobId !== alive[0]?.JobId).length;
  return {
    ...{ seed, kind, faults, ...told, isLost, wrongAnswers, superseded },
    ...{ created: jobs.length, alive: alive.length, isTooLate: storm.isTooLate },
  };
}

/** Most processes die: at a step drawn by its name, of all or of those that this seed makes likely, or at a step drawn by number. */
function drawFate(random: () => number, likely: readonly string[]): Fate {
  const chance = random();
  const among = (steps: readonly string[]): Fate => steps[Math.floor(random() * steps.length)] ?? NEVER;
  if (chance < 0.25) return NEVER;
  if (chance < 0.5) return among(likely);
  return chance < 0.8 ? among(STEPS) : Math.floor(random() * 34);
}

const isRefusal = ({ fault }: FaultRule): boolean => fault === 'sts-expired' || fault === 'throttle';

const nameOf = ({
  fault,
  commits,
  commitAfterMs,
}: {
  fault: string;
  commits?: boolean;
  commitAfterMs?: number;
}): string => fault + (commits ? (commitAfterMs === undefined ? ', carried out' : ', carried out later') : '');

interface TrueJob {
  readonly JobId: string;
  readonly Status: string;
}

/** What PAI really holds, past all faults. */
async function jobsOf(pai: BuiltPaiLocal, key: string): Promise<TrueJob[]> {
  const mark = intentIdOf(key).slice(0, 12);
  const url = `/api/v1/jobs?DisplayName=${mark}&PageSize=1000&StartTime=2020-12-03T00:00:00Z&EndTime=2099-01-01T00:00:00Z`;
  const request = { method: 'GET', url, action: 'ListJobs', version: '2020-12-03', body: new Uint8Array() };
  return (JSON.parse((await pai.answer(request)).text) as { Jobs: TrueJob[] }).Jobs;
}

const isAlive = ({ Status }: TrueJob): boolean => Status !== 'Stopping' && Status !== 'Stopped';
