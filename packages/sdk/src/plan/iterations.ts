import type { Finding } from '../schemas.ts';
import { grouped, percent } from './format.ts';
import type { PlanInput } from './plan-input.ts';

/** Fewer are a test of the machinery, whatever the loss does. */
const FEW_ITERATIONS = 200;

/** Below it, continued pre-training does not move a model's knowledge (guide of PAI). */
const MEANINGFUL_TOKENS = 1e9;

/** P1: how many iterations, and whether the run is long enough to mean something. */
export function checkIterations({ hyper, steps }: PlanInput): Finding[] {
  const { tokensPerIteration, iterations } = steps;
  const { train_tokens: tokens, global_batch_size: samples, sequence_length: length } = hyper;
  const formula = `⌊${grouped(tokens)} tokens / (${grouped(samples)} samples × ${grouped(length)} tokens)⌋ = ${grouped(iterations)} iterations`;
  const numbers = { trainTokens: tokens, tokensPerIteration, iterations };
  if (iterations === 0) {
    return [
      {
        check: 'P1',
        level: 'block',
        message: `${formula}: nothing would be trained`,
        numbers,
        advice: `raise train_tokens to ${grouped(tokensPerIteration)} at least`,
      },
    ];
  }
  const remainder = tokens - iterations * tokensPerIteration;
  const rest = remainder === 0 ? '' : `; the last ${grouped(remainder)} tokens are not used`;
  const findings: Finding[] = [
    { check: 'P1', level: 'info', message: `${formula}${rest}`, numbers: { ...numbers, remainder } },
  ];
  if (iterations < FEW_ITERATIONS) {
    findings.push({
      check: 'P1',
      level: 'warn',
      message: `${grouped(iterations)} iterations are a smoke test, not continued pre-training; ${FEW_ITERATIONS} is the least that shows a trend`,
      numbers: { iterations, least: FEW_ITERATIONS },
      advice: 'raise train_tokens when the smoke test has passed',
    });
  }
  if (tokens < MEANINGFUL_TOKENS) {
    findings.push({
      check: 'P1',
      level: 'warn',
      message: `${grouped(tokens)} tokens are ${percent(tokens / MEANINGFUL_TOKENS)} of the 1,000,000,000 from which a model adapts to a domain`,
      numbers: { tokens, meaningfulTokens: MEANINGFUL_TOKENS },
      advice: 'use fine-tuning for small data, or collect more text',
    });
  }
  return findings;
}

/** P2: the warm-up, as a share of the run. */
export function checkWarmup({ hyper, steps }: PlanInput): Finding[] {
  const { tokensPerIteration, iterations, warmupIterations } = steps;
  const { warmup_tokens: tokens } = hyper;
  if (iterations === 0) return [];
  const formula = `⌊${grouped(tokens)} tokens / ${grouped(tokensPerIteration)}⌋ = ${grouped(warmupIterations)} warm-up iterations`;
  const share = warmupIterations / iterations;
  const numbers = { warmupTokens: tokens, warmupIterations, iterations, share };
  const tenth = grouped(Math.max(1, Math.floor(iterations / 10)) * tokensPerIteration);
  if (warmupIterations >= iterations) {
    return [
      {
        check: 'P2',
        level: 'block',
        message: `${formula}, but the run has ${grouped(iterations)}: Megatron stops at lr_warmup_steps < lr_decay_steps`,
        numbers,
        advice: `lower warmup_tokens to ${tenth}, a tenth of the run`,
      },
    ];
  }
  if (warmupIterations === 0) {
    return [
      {
        check: 'P2',
        level: 'warn',
        message: `${formula}: the first step has the full learning rate, which can spoil a trained model at once`,
        numbers,
        advice: `raise warmup_tokens to ${tenth}, a tenth of the run`,
      },
    ];
  }
  const isUsual = share >= 0.001 && share <= 0.1;
  return [
    {
      check: 'P2',
      level: isUsual ? 'info' : 'warn',
      message: `${formula}, ${percent(share)} of the run; 0.1 % to 10 % is usual`,
      numbers,
      ...(isUsual ? {} : { advice: `set warmup_tokens to ${tenth}, a tenth of the run, or less` }),
    },
  ];
}
