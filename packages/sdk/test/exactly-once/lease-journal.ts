import { InvalidInputError } from '@pai-cpt/core';
import type { Clock } from '../../src/poll.ts';
import { type JournalRecord, openIntent, type SubmitJournal } from '../../src/submit/journal.ts';

/** A table that replicas of a service share. */
export interface LeaseTable {
  readonly rows: Map<string, { records: JournalRecord[]; token: number; leaseUntil: number }>;
}

const LEASE_MS = 240_000;

/**
 * A journal as a service over a database has it: whoever holds the lease writes; a lease that ran out, by the clock of
 * whoever looks, is given to the next, and the fencing token refuses the former holder's writes.
 */
export function leaseJournal({ rows }: LeaseTable, clock: Clock): SubmitJournal {
  return {
    async claim(intentId, { signal, isPatient = true } = {}) {
      const row = rows.get(intentId) ?? { records: [], token: 0, leaseUntil: 0 };
      rows.set(intentId, row);
      while (row.leaseUntil > clock.now()) {
        if (!isPatient) throw new InvalidInputError('CPT_INPUT_SUBMIT_IN_FLIGHT', 'leased');
        await clock.sleep(1000, signal);
      }
      const token = ++row.token;
      row.leaseUntil = clock.now() + LEASE_MS;
      return {
        records: [...row.records],
        async append(record) {
          if (row.token !== token) throw new InvalidInputError('CPT_INPUT_SUBMIT_FENCED', 'the lease is another’s');
          row.leaseUntil = clock.now() + LEASE_MS;
          row.records.push(structuredClone(record));
        },
        async release() {
          if (row.token === token) row.leaseUntil = 0;
        },
      };
    },
    async open() {
      return [...rows.values()].map(({ records }) => openIntent(records)).filter((found) => found !== undefined);
    },
  };
}
