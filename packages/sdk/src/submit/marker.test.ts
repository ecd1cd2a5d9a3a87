import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { WireCreateJob, WireJob } from '../pai-wire.ts';
import { digestOf, intentIdOf, isOfIntent, isUnmarked, markName, nameMark } from './marker.ts';

const ID = '0123456789abcdef0123456789abcdef';
const body: WireCreateJob = { DisplayName: 'a', JobType: 'PyTorchJob', JobSpecs: [], UserCommand: 'true' };

describe('the mark in the name', () => {
  it('is twelve digits of the intent at its end', () => {
    expect(markName('qwen2-72b-cpt', ID)).toBe('qwen2-72b-cpt-cpt-0123456789ab');
    expect(nameMark(ID)).toBe('-cpt-0123456789ab');
  });

  it('stays whole in a name of any length, of at most 256 and of whole characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 }), (name) => {
        const marked = markName(name, ID);
        expect(marked.endsWith('-cpt-0123456789ab')).toBe(true);
        expect(marked.length).toBeLessThanOrEqual(256);
        const kept = marked.slice(0, -'-cpt-0123456789ab'.length);
        expect(name.startsWith(kept)).toBe(true);
        expect(() => encodeURIComponent(kept)).not.toThrow(); // it would on half a character
        if (name.length <= 239) expect(kept).toBe(name);
      }),
    );
  });
});

it('gives a key the same id everywhere, and each key its own', () => {
  expect(intentIdOf('monday')).toBe(createHash('sha256').update('pai-cpt submit\nmonday').digest('hex').slice(0, 32));
  expect(intentIdOf('monday')).not.toBe(intentIdOf('Monday'));
});

it('digests what the run is, not the order it is written in', () => {
  const one = { ...body, Envs: { A: '1', B: '2' } };
  const turned = { Envs: { B: '2', A: '1' }, ...body };
  expect(digestOf(one, 't', 'k')).toBe(digestOf(turned, 't', 'k'));
  for (const other of [digestOf({ ...one, Priority: 2 }, 't', 'k'), digestOf(one, 'u', 'k'), digestOf(one, 't', 'l')]) {
    expect(other).not.toBe(digestOf(one, 't', 'k'));
  }
});

it('knows a job by its whole id in tag or environment, never by its name', () => {
  const job = (more: object) =>
    ({ DisplayName: `x${nameMark(ID)}`, JobId: 'j', Status: 'Running', ...more }) as WireJob;
  expect(isOfIntent(job({ Settings: { Tags: { 'cpt-intent': ID } } }), ID)).toBe(true);
  expect(isOfIntent(job({ Envs: { CPT_JOB_ID: ID } }), ID)).toBe(true);
  expect(isOfIntent(job({ Settings: { Tags: { 'cpt-intent': ID.replace('f', '0') } } }), ID)).toBe(false);
  expect(isOfIntent(job({}), ID)).toBe(false);
  expect(isUnmarked(job({ Settings: {}, Envs: {} }))).toBe(true);
  for (const odd of [{ Settings: null }, { Settings: { Tags: 'x' } }, { Envs: null }, { Envs: 7 }]) {
    expect(isOfIntent(job(odd), ID)).toBe(false);
  }
});
