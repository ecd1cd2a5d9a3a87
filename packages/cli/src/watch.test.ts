import { describe, expect, it } from 'vitest';
import { renderEvent } from './watch.ts';

describe('renderEvent', () => {
  it('gives one line for each kind of event', () => {
    expect(
      renderEvent({
        type: 'iteration',
        iteration: 44,
        trainIterations: 102_400,
        lmLoss: 6.457796,
        learningRate: 1.289062e-4,
      }),
    ).toBe('iteration 44/102400  loss 6.4578  lr 1.29e-4');
    expect(renderEvent({ type: 'iteration', iteration: 10, trainIterations: 1000 })).toBe('iteration 10/1000  no loss');
    expect(renderEvent({ type: 'validation', iteration: 400, lmLoss: 2.1, perplexity: 8.166 })).toBe(
      'validation at 400: loss 2.1000, perplexity 8.17',
    );
    expect(renderEvent({ type: 'checkpoint-saved', iteration: 100, directory: '/mnt/output/checkpoint' })).toBe(
      'checkpoint 100 in /mnt/output/checkpoint',
    );
    expect(renderEvent({ type: 'checkpoint-loaded', iteration: 0, directory: '/mnt/base' })).toBe(
      'loaded iteration 0 from /mnt/base',
    );
    const pods = [
      { podId: 'dlc1-master-0', gpuPercent: 97.4, memoryPercent: 12 },
      { podId: 'dlc1-worker-0', gpuPercent: 3 },
    ];
    expect(renderEvent({ type: 'metrics', at: '2026-11-24T08:00:00.000Z', pods })).toBe(
      'use: dlc1-master-0 GPU 97 % memory 12 %; dlc1-worker-0 GPU 3 %',
    );
  });
});

it('a failure is told with its cause, where it was first seen, what to do and the lines that show it', () => {
  const failure = {
    ...({ cause: 'cuda-oom', title: 'a GPU ran out of memory', advice: 'use a larger division' } as const),
    ...{ podId: 'dlc1-worker-1', at: '2026-11-24T08:31:05.000', evidence: ['CUDA out of memory.'], consequences: [] },
    ...{ podsRead: 4, pods: 5 },
  };
  expect(renderEvent({ type: 'failure', failure }).split('\n')).toEqual([
    'failed: a GPU ran out of memory (cuda-oom) in dlc1-worker-1 at 2026-11-24T08:31:05.000; read 4 of 5 logs',
    '  use a larger division',
    '  | CUDA out of memory.',
  ]);
});

describe('an incident', () => {
  it('is told with its rule, its onset and what might help', () => {
    const event: Parameters<typeof renderEvent>[0] = {
      type: 'incident',
      change: 'opened',
      incident: {
        id: 'loss-spike-31216',
        kind: 'loss-spike',
        level: 'warn',
        state: 'open',
        title: 'the loss jumped',
        onset: 31_215,
        openedAt: 31_216,
        lastIteration: 31_216,
        evidence: [],
        proposal: { action: 'watch whether it comes back' },
      },
    };
    expect(renderEvent(event)).toBe(
      'warn opened: the loss jumped since iteration 31215 (open); watch whether it comes back',
    );
  });
});
