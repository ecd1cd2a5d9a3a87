import type { JobEvent, Tick } from './follow-job.ts';
import type { MetricsEvent } from './job-metrics.ts';
import type { RuleId } from './rules.ts';
import type { IterationLine, TrainingLine } from './training-log.ts';
import { emptyWindow, type Window } from './window.ts';

/** What is known of the run beforehand. Every field may be absent; the rule that needs it is then silent or less exact. */
export interface DetectorConfig {
  /** Rows of the embedding table; a uniform guess has a loss of their logarithm. */
  readonly vocabSize?: number | undefined;
  /** True when the run continues from trained weights, so that its first loss is low. */
  readonly isContinued?: boolean | undefined;
  /** Loss of the base model on the training text, measured before the run. */
  readonly referenceLoss?: number | undefined;
  /** Where the run starts from; named in proposals to go back. */
  readonly baseCheckpoint?: string | undefined;
  /** The rate that was asked for: linear warm-up, then a cosine. */
  readonly learningRate?: LearningRateSchedule | undefined;
}

/** Megatron's warm-up and cosine, in iterations. */
export interface LearningRateSchedule {
  readonly peak: number;
  readonly min: number;
  readonly warmupIterations: number;
  readonly decayIterations: number;
  /** Iterations that were trained before the scheduler began; 0 unless the run goes on from a checkpoint without its state. */
  readonly startIteration?: number;
}

/** What a rule has to say about one event. `info` is noted, `warn` and `critical` open an incident. */
export interface Signal {
  readonly rule: RuleId;
  readonly level: 'info' | 'warn' | 'critical';
  readonly iteration: number;
  /** What was measured; absent when it is not a number. */
  readonly value?: number;
  readonly threshold?: number;
  readonly message: string;
}

/** What the detector looks at: the events of a job, the lines of a log, the passing of time. */
export type DetectorEvent = JobEvent | TrainingLine | Tick | MetricsEvent;

/** What is kept of the last line: the fields the next is compared with, where they are finite, as JSON needs. */
export type LastLine = Pick<
  IterationLine,
  | 'iteration'
  | 'trainIterations'
  | 'lmLoss'
  | 'gradNorm'
  | 'lossScale'
  | 'learningRate'
  | 'consumedSamples'
  | 'globalBatchSize'
>;

/** A number of something at an iteration. */
export type CountAt = readonly [iteration: number, count: number];

/**
 * What the detector remembers: a constant amount, whatever the length of the run, and plain data: JSON takes it and gives
 * it back, and detection goes on as if it had not stopped. Windows count log lines, which are iterations at log interval 1.
 */
export interface DetectorState {
  readonly config: DetectorConfig;
  readonly last?: LastLine | undefined;
  /** Iterations between the last two lines. */
  readonly interval?: number | undefined;
  readonly firstIteration?: number | undefined;
  /** True once a checkpoint was read; another reading is a restart. */
  readonly hasLoaded?: boolean | undefined;
  readonly isFirstLossSeen: boolean;
  /** Losses that were no spikes, the last 64. */
  readonly loss: Window;
  /** Losses that were, since the last that was not. */
  readonly rejectedLosses: readonly number[];
  /** Moving average of the loss over 16 lines, each value counted as 1.25 × the median at most. */
  readonly lossTrend?: number | undefined;
  /** The spike that is being watched: the median before it, lines since, and how many of them the trend was above it. */
  readonly spike?: { readonly baseline: number; readonly lines: number; readonly above: number } | undefined;
  readonly lastLossSpike?: number | undefined;
  readonly gradNorm: Window;
  readonly rejectedNorms: readonly number[];
  readonly normRepeats: number;
  readonly recentLoss: Window;
  readonly bestLevel?: number | undefined;
  readonly driftLines: number;
  readonly plateau?: { readonly iteration: number; readonly level: number } | undefined;
  readonly peakLearningRate: number;
  readonly skips: readonly CountAt[];
  readonly skippedInRow: number;
  readonly skippedInAll: number;
  /** True once an iteration was not skipped: fp16 begins with a search for its loss scale. */
  readonly isScaleFound: boolean;
  readonly halvings: readonly CountAt[];
  readonly stepMs: Window;
  readonly bestStepMs?: number | undefined;
  /** When the last sign of life was seen, by the reader's clock; absent while none is expected. */
  readonly seenAtMs?: number | undefined;
  /** Looks in a row at which a pod's GPUs were idle; pods that were not are left out. */
  readonly idleLooks: Readonly<Record<string, number>>;
}

/** The state while one event is observed: fields are replaced, values never changed in place. */
export type Draft = { -readonly [Name in keyof DetectorState]: DetectorState[Name] };

/** What is forgotten when training restarts from an earlier iteration. */
export const freshSegment = {
  interval: undefined,
  isFirstLossSeen: false,
  loss: emptyWindow,
  rejectedLosses: [],
  lossTrend: undefined,
  spike: undefined,
  lastLossSpike: undefined,
  gradNorm: emptyWindow,
  rejectedNorms: [],
  normRepeats: 0,
  recentLoss: emptyWindow,
  bestLevel: undefined,
  driftLines: 0,
  plateau: undefined,
  skips: [],
  skippedInRow: 0,
  isScaleFound: false,
  halvings: [],
  stepMs: emptyWindow,
  bestStepMs: undefined,
} satisfies Partial<DetectorState>;
