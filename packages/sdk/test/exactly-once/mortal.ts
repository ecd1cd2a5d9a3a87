import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { JournalClaim, SubmitJournal } from '../../src/submit/journal.ts';
import type { Passage } from './in-process-pai.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** The end of a process: nothing that it held in memory is left, and nothing it was about to do is done. */
export class Killed extends Error {
  constructor(step: string) {
    super(`killed ${step}`);
  }
}

/** Every step that a process can be killed at. */
export const STEPS: readonly string[] = [
  'before claim',
  'after claim',
  ...['intent', 'create', 'answer', 'refused', 'duplicate', 'job', 'closed'].flatMap((record) => [
    `before writing ${record}`,
    `while writing ${record}`,
    `after writing ${record}`,
  ]),
  ...['CreateJob', 'ListJobs', 'GetJob', 'StopJob'].flatMap((action) => [
    `before ${action}`,
    `during ${action}`,
    `after ${action}`,
  ]),
];

/** When a process ends: at its nth step, or when it comes to this step. */
export type Fate = number | string;
export const NEVER: Fate = Number.POSITIVE_INFINITY;

/** A process that ends when its fate says. */
export class Mortal {
  #steps = 0;
  #isDead = false;
  readonly #claims: JournalClaim[] = [];

  readonly #fate: Fate;
  readonly #onKill: (step: string) => void;

  constructor(fate: Fate, onKill: (step: string) => void) {
    this.#fate = fate;
    this.#onKill = onKill;
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  /** @throws Killed at the chosen step, and at every step after it. */
  step(name: string): void {
    if (!this.#isDead && (this.#fate === name || this.#fate === this.#steps++)) {
      this.#isDead = true;
      this.#onKill(name);
    }
    if (this.#isDead) throw new Killed(name);
  }

  passage(): Passage {
    return {
      before: (action) => this.step(`before ${action}`),
      sent: (action) => this.step(`during ${action}`),
      after: (action) => this.step(`after ${action}`),
    };
  }

  /** The journal as this process uses it; a kill may cut a line, if `directory` is given. */
  journal(inner: SubmitJournal, clock: VirtualClock, directory?: string): SubmitJournal {
    return {
      open: () => clock.busy(inner.open()),
      claim: async (intentId, options) => {
        this.step('before claim');
        const claim = await inner.claim(intentId, options);
        if (this.#isDead) await claim.release(); // given to a process that is gone
        this.#claims.push(claim);
        this.step('after claim');
        return {
          records: claim.records,
          append: async (record) => {
            this.step(`before writing ${record.type}`);
            try {
              this.step(`while writing ${record.type}`);
            } catch (error) {
              const half = JSON.stringify(record).slice(0, 25);
              if (directory) await clock.busy(appendFile(join(directory, `${intentId}.ndjson`), half));
              throw error;
            }
            await clock.busy(claim.append(record));
            this.step(`after writing ${record.type}`);
          },
          release: async () => {
            if (!this.#isDead) await clock.busy(claim.release());
          },
        };
      },
    };
  }

  /** What the system does when a process has ended: its locks are nobody's. */
  async bury(): Promise<void> {
    for (const claim of this.#claims) await claim.release();
  }
}
