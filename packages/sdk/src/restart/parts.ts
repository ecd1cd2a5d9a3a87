import type { ResumeOutcome } from '../plan/resume.ts';
import type { CompleteCheckpoint } from './checkpoints.ts';

/** What a run is made of at a moment. */
export type RunPart = 'weights' | 'optimizer' | 'schedule' | 'data' | 'random-state';

/** Whether a part outlives the end of the processes. */
export interface PartFate {
  readonly part: RunPart;
  readonly isKept: boolean;
  readonly why: string;
}

/**
 * What a start after a failure keeps, by what its flags make of it. Facts of Megatron's `load_checkpoint`
 * (NVIDIA/Megatron-LM@8399280e, megatron/training/checkpointing.py): from an `iter_…` folder it takes iteration and consumed
 * samples whatever the flags say, from `release` neither; optimizer and scheduler are loaded together or not at all.
 */
export function partsOf(
  outcome: ResumeOutcome,
  checkpoint: Pick<CompleteCheckpoint, 'iteration'> | undefined,
): PartFate[] {
  const at = checkpoint && `iteration ${checkpoint.iteration}`;
  const lost = (part: RunPart, why: string): PartFate => ({ part, isKept: false, why });
  const kept = (part: RunPart, why: string): PartFate => ({ part, isKept: true, why });
  if (outcome === 'from-base' || at === undefined) {
    const why = outcome === 'from-base' ? '--load names the base checkpoint' : 'there is no complete checkpoint';
    return [
      lost('weights', `${why}: every iteration so far is repeated`),
      lost('optimizer', 'Adam’s moments begin at zero'),
      lost('schedule', 'the learning rate begins with its warm-up'),
      lost('data', 'the samples come again from the first one, in the same order'),
      lost('random-state', 'it begins from the seed'),
    ];
  }
  const isExact = outcome === 'exact';
  const state = (part: RunPart, why: string): PartFate => (isExact ? kept(part, `saved at ${at}`) : lost(part, why));
  return [
    kept('weights', `those of ${at}`),
    state('optimizer', 'it is not saved (--no-save-optim): Adam’s moments begin at zero'),
    state('schedule', 'it is loaded with the optimizer only: the learning rate begins with its warm-up'),
    kept('data', `the samples go on after those of ${at}, while dataset, sequence length, seed and split stay`),
    state('random-state', 'it is not loaded (--no-load-rng); without dropout nothing depends on it'),
  ];
}
