import type { CastOptions } from './cast.ts';
import type { ParallelLayout } from './checkpoint.ts';
import type { TensorChoice } from './choose-tensors.ts';
import type { DigestKind } from './digest/digests.ts';
import type { Estimate } from './estimate.ts';
import type { Progress, WrittenFile } from './execute.ts';
import type { IterationChoice } from './locate-checkpoint.ts';
import type { ModelConfig } from './model-config.ts';
import type { ResourceUse } from './node.ts';
import type { Part, PartResult } from './output/parts.ts';
import type { ConversionPlan } from './plan.ts';

export interface ConvertOptions extends CastOptions, TensorChoice {
  /** A checkpoint root, one iteration's directory, or a rank file. */
  readonly source: string;
  readonly output: string;
  /** A tokenizer.json or its folder, copied into the output. */
  readonly tokenizer?: string;
  /** A Hugging Face folder of the model the training started from: its config.json is patched rather than made up. */
  readonly reference?: string;
  readonly vocabSize?: number;
  /** Default 5 · 10⁹, as transformers had it. */
  readonly maxShardBytes?: number;
  readonly iteration?: IterationChoice;
  /** Default sha256; it takes longer than the copying, in a thread of its own. */
  readonly digest?: DigestKind;
  /** Threads that write output files at the same time; default 1. */
  readonly workers?: number;
  /** Replaces what an output directory holds, an unfinished conversion too. */
  readonly force?: boolean;
  /** Goes on with an unfinished conversion of the same source with the same options, if there is one. */
  readonly resume?: boolean;
  /** Writes this part only; others write the rest, on other machines perhaps, and the last one to end makes the output whole. */
  readonly part?: Part;
  /** Stops after the plan; nothing is written. */
  readonly dryRun?: boolean;
  onProgress?(progress: Progress): void;
  readonly signal?: AbortSignal;
}

export interface ConversionResult extends ResourceUse {
  readonly tensors: number;
  readonly bytes: number;
  /** Weights only; empty after a dry run. */
  readonly files: readonly WrittenFile[];
  readonly iteration: number;
  readonly model: ModelConfig;
  readonly parallel: ParallelLayout;
  /** What disagreed, what was cut, what was patched. */
  readonly notes: readonly string[];
  readonly plan: ConversionPlan;
  /** Took over what an earlier run had finished. */
  readonly resumed: boolean;
  /** After a dry run: files, bytes, memory and time. */
  readonly estimate?: Estimate;
  /** With `part`: which one this was, and whether all are done. */
  readonly part?: PartResult;
}
