import { MODELS, type ModelShape } from '../models.ts';
import { parallelOf } from '../parallel-layout.ts';
import type { CptRunSpec, HyperParameters, Parallel } from '../run-spec.ts';
import type { PlanFacts } from './plan-facts.ts';

/** Everything a check looks at, resolved once. */
export interface PlanInput {
  readonly spec: CptRunSpec;
  readonly hyper: HyperParameters;
  readonly model: ModelShape;
  readonly parallel: Parallel;
  readonly gpus: number;
  /** Replicas of the model: GPUs over (TP · PP · CP), rounded down. */
  readonly dataParallelSize: number;
  readonly steps: RunSteps;
  readonly facts: PlanFacts;
}

/** The lengths of a run, as the launch script computes them. */
export interface RunSteps {
  readonly tokensPerIteration: number;
  readonly iterations: number;
  readonly warmupIterations: number;
}

/** Resolves a run for the checks. */
export function planInput(spec: CptRunSpec, facts: PlanFacts): PlanInput {
  const parallel = parallelOf(spec);
  const { tensorParallelSize, pipelineParallelSize, contextParallelSize } = parallel;
  const gpus = spec.compute.nodes * spec.compute.gpusPerNode;
  return {
    spec,
    hyper: spec.hyperParameters,
    model: MODELS[spec.model],
    parallel,
    gpus,
    dataParallelSize: Math.floor(gpus / (tensorParallelSize * pipelineParallelSize * contextParallelSize)),
    steps: runSteps(spec.hyperParameters),
    facts,
  };
}

/** The script divides whole numbers in the shell, twice, so a remainder is dropped and too few tokens are 0 iterations. */
export function runSteps(hyper: HyperParameters): RunSteps {
  const { global_batch_size: samples, sequence_length: length } = hyper;
  const steps = (tokens: number): number => Math.floor(Math.floor(tokens / samples) / length);
  return {
    tokensPerIteration: samples * length,
    iterations: steps(hyper.train_tokens),
    warmupIterations: steps(hyper.warmup_tokens),
  };
}
