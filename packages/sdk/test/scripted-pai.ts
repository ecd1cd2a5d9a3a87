import { type ErrorCode, PaiError } from '@pai-cpt/core';
import type { PaiInput, PaiTransport } from '../src/pai-transport.ts';
import type { PaiAction, PaiCalls } from '../src/pai-wire.ts';
import type { Clock } from '../src/poll.ts';

/** Answers by operation; a thrown value is thrown to the caller. */
export type Script = {
  [Action in PaiAction]?: (input: PaiInput<Action>, calls: number) => PaiCalls[Action]['answer'];
};

export interface ScriptedPai extends PaiTransport {
  readonly calls: { action: PaiAction; input: PaiInput<PaiAction> }[];
}

/** A PAI that follows a script. An operation without one fails the test. */
export function scriptedPai(script: Script): ScriptedPai {
  const calls: ScriptedPai['calls'] = [];
  return {
    regionId: 'cn-hangzhou',
    calls,
    async call(action, input, options) {
      options?.signal?.throwIfAborted();
      const before = calls.filter((call) => call.action === action).length;
      calls.push({ action, input });
      const answer = script[action] as ((input: unknown, calls: number) => unknown) | undefined;
      if (!answer) throw new Error(`unexpected ${action} ${JSON.stringify(input)}`);
      return answer(input, before) as PaiCalls[typeof action]['answer'];
    },
  };
}

export function paiError(code: ErrorCode, details: Record<string, unknown> = {}): PaiError {
  return new PaiError(code, `scripted ${code}`, details);
}

/** A clock that moves only by sleeping. */
export function manualClock(startMs = Date.parse('2026-11-24T00:00:00Z')): Clock & { readonly sleeps: number[] } {
  let time = startMs;
  const sleeps: number[] = [];
  return {
    sleeps,
    now: () => time,
    async sleep(ms, signal) {
      signal?.throwIfAborted();
      sleeps.push(ms);
      time += ms;
    },
  };
}
