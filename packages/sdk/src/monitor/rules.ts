/** What an incident is about. At most one of each kind is open at a time. */
export type IncidentKind =
  | 'wrong-start'
  | 'lost-progress'
  | 'not-a-number'
  | 'loss-spike'
  | 'divergence'
  | 'plateau'
  | 'skipped-iterations'
  | 'learning-rate'
  | 'restart'
  | 'hang'
  | 'slow'
  | 'idle-gpu';

/** Every rule: what it means and which kind of incident it belongs to. */
export const RULES = {
  A1: { kind: 'not-a-number', title: 'the loss or the gradient norm is not a number' },
  A2: { kind: 'divergence', title: 'the loss is worse than that of a uniform guess' },
  A3: { kind: 'wrong-start', title: 'the first loss is too high for trained weights' },
  A4: { kind: 'wrong-start', title: 'training started from random weights although there is a base checkpoint' },
  A5: { kind: 'lost-progress', title: 'training began again from its base weights' },
  B1: { kind: 'loss-spike', title: 'the loss jumped' },
  B2: { kind: 'loss-spike', title: 'the gradient norm jumped' },
  C1: { kind: 'loss-spike', title: 'the loss has not come back after a spike' },
  C2: { kind: 'divergence', title: 'the loss drifts upwards' },
  C3: { kind: 'plateau', title: 'the loss has stopped falling' },
  D1: { kind: 'skipped-iterations', title: 'optimizer steps are skipped' },
  D2: { kind: 'skipped-iterations', title: 'the loss scale collapses' },
  E1: { kind: 'learning-rate', title: 'the learning rate is not the one that was asked for' },
  E2: { kind: 'restart', title: 'training restarted, or its counters changed' },
  F1: { kind: 'hang', title: 'no iteration has ended for a long time' },
  F2: { kind: 'slow', title: 'iterations take longer than they did' },
  G1: { kind: 'idle-gpu', title: 'GPUs stand idle while the job runs' },
} as const satisfies Record<string, { kind: IncidentKind; title: string }>;

/** The name of a rule. */
export type RuleId = keyof typeof RULES;
