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
