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
  });
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
