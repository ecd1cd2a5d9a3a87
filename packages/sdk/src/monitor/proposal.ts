import type { DetectorState } from './detector-state.ts';
import type { IncidentKind } from './rules.ts';

/** A checkpoint of the run; iteration 0 is the base it started from. */
export interface Checkpoint {
  readonly iteration: number;
  readonly directory: string;
}

/** What might help. Nothing is done by itself. */
export interface Proposal {
  readonly action: string;
  /** Where to start again from. */
  readonly rollback?: Checkpoint;
  /** The data to leave out: iterations from–to inclusive, and their samples where the batch is known. */
  readonly skipData?: {
    readonly fromIteration: number;
    readonly toIteration: number;
    readonly fromSample?: number;
    readonly toSample?: number;
  };
  readonly learningRate?: { readonly factor: number; readonly from?: number; readonly to?: number };
}

/** Iterations on each side of a spike whose data is left out; the batches around it are part of what causes it (PaLM). */
const SKIP_MARGIN = 100;

/**
 * By how much to lower the peak. OPT-175B's first cure was 10 %, later a third; a run that does not come back, or has no
 * number any more, has earned half. PAI's guide names the learning rate first for spikes and for divergence.
 */
const FACTORS: Partial<Record<IncidentKind, number>> = { 'loss-spike': 0.9, divergence: 0.5, 'not-a-number': 0.5 };
const DIVERGED_FACTOR = 0.5;

const ADVICE: Record<IncidentKind, string> = {
  'wrong-start':
    'stop the job and compare the base checkpoint, its division and the tokenizer of the dataset with the model',
  'lost-progress':
    'stop the job, for it repeats what it has done; continue from the newest complete checkpoint (cpt resume)',
  'not-a-number': 'stop the job and go back; weights that saw a NaN do not heal',
  'loss-spike': 'watch whether the loss comes back; when it does not, go back, leave out the data of the spike',
  divergence: 'stop the job and go back, leave out the data before the rise',
  plateau: 'none',
  'skipped-iterations': 'train in bf16 if it is fp16; look at the gradient norm for a rise',
  'learning-rate':
    'compare the learning rate, warm-up and train tokens with the schedule; after a restart, load optimizer and scheduler',
  restart: 'none',
  hang: 'look at the pods’ last lines and their GPUs; stop and start again when nothing moves',
  'idle-gpu':
    'look at the named pods’ last lines and events: a process may have ended or hang, or the data comes too slowly',
  slow: 'look for a slow node, slow storage or another job on the same machines',
};

/** What might help against an incident. */
export function proposeFor(
  incident: {
    kind: IncidentKind;
    state: string;
    onset: number;
    lastIteration: number;
    checkpoint?: Checkpoint;
  },
  { config, last, peakLearningRate }: DetectorState,
): Proposal {
  const { kind, onset, lastIteration, checkpoint } = incident;
  const usual = FACTORS[kind];
  if (usual === undefined) return { action: ADVICE[kind] };
  const factor = incident.state === 'diverged' ? DIVERGED_FACTOR : usual;
  const peak = config.learningRate?.peak ?? (peakLearningRate > 0 ? peakLearningRate : undefined);
  const to = peak === undefined ? undefined : Number((peak * factor).toPrecision(4));
  const rate =
    peak === undefined ? `the learning rate to ${factor} of what it was` : `the learning rate from ${peak} to ${to}`;
  const where = checkpoint
    ? `the checkpoint of iteration ${checkpoint.iteration}`
    : 'the start, for there is no checkpoint';
  return {
    action: `${ADVICE[kind]}; start again from ${where} and lower ${rate}`,
    ...(checkpoint ? { rollback: checkpoint } : {}),
    skipData: dataOf(
      Math.max((checkpoint?.iteration ?? 0) + 1, onset - SKIP_MARGIN),
      lastIteration + SKIP_MARGIN,
      last,
    ),
    learningRate: { factor, ...(peak === undefined || to === undefined ? {} : { from: peak, to }) },
  };
}

/** The samples of these iterations, counted back from the last line, so that a batch that grew before does not matter. */
function dataOf(
  fromIteration: number,
  toIteration: number,
  last: DetectorState['last'],
): NonNullable<Proposal['skipData']> {
  const { iteration, consumedSamples, globalBatchSize } = last ?? {};
  if (iteration === undefined || consumedSamples === undefined || globalBatchSize === undefined) {
    return { fromIteration, toIteration };
  }
  const samplesAfter = (of: number): number => Math.max(0, consumedSamples + (of - iteration) * globalBatchSize);
  return {
    fromIteration,
    toIteration,
    fromSample: samplesAfter(fromIteration - 1),
    toSample: samplesAfter(toIteration),
  };
}
