import { CptError, PaiError } from '@pai-cpt/core';
import { omitUndefined } from './omit-undefined.ts';
import type { Clock } from './poll.ts';
import { type Answer, judgeAnswer, perplexityOf } from './prompt-gate-judge.ts';
import type { GoldenPrompt } from './prompt-gate-prompts.ts';
import { callGateway, firstModel, type ServiceEndpoint } from './service-gateway.ts';

/** What came of one golden prompt. */
export interface PromptResult {
  readonly id: string;
  readonly ok: boolean;
  /** What did not hold; one line each. */
  readonly faults: readonly string[];
  /** True when there was no answer at all. */
  readonly isUnanswered: boolean;
  readonly latencyMs: number;
  readonly answer?: string;
  readonly perplexity?: number;
  readonly referencePerplexity?: number;
}

/** What came of all of them. */
export interface GateReport {
  readonly ok: boolean;
  readonly prompts: number;
  readonly failed: number;
  /** Of the failed ones. */
  readonly unanswered: number;
  readonly p95LatencyMs: number;
  readonly results: readonly PromptResult[];
}

/** Whom to ask, and how patiently. */
export interface GateContext {
  readonly endpoint: ServiceEndpoint;
  /** What perplexities are held against. */
  readonly reference?: ServiceEndpoint | undefined;
  /** For each prompt. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/** Asks a service every prompt once, one after the other and at temperature 0. A fault is in the report and not thrown. */
export async function runGate(prompts: readonly GoldenPrompt[], context: GateContext): Promise<GateReport> {
  const results: PromptResult[] = [];
  for (const prompt of prompts) results.push(await askPrompt(prompt, context));
  return reportOf(results);
}

/** The sum of some results. */
export function reportOf(results: readonly PromptResult[]): GateReport {
  const failed = results.filter(({ ok }) => !ok);
  const latencies = results.map(({ latencyMs }) => latencyMs).sort((a, b) => a - b);
  return {
    ok: failed.length === 0,
    prompts: results.length,
    failed: failed.length,
    unanswered: failed.filter(({ isUnanswered }) => isUnanswered).length,
    p95LatencyMs: latencies[Math.ceil(latencies.length * 0.95) - 1] ?? 0,
    results,
  };
}

/** One prompt. Only the end of `signal`, and what is no answer of a service, is thrown. */
export async function askPrompt(prompt: GoldenPrompt, context: GateContext): Promise<PromptResult> {
  const { clock, signal } = context;
  signal?.throwIfAborted();
  const began = clock.now();
  const done = (faults: readonly string[], more: Partial<PromptResult> = {}): PromptResult => ({
    ...{ id: prompt.id, ok: faults.length === 0, faults, isUnanswered: false, latencyMs: clock.now() - began },
    ...more,
  });
  try {
    if (prompt.text !== undefined) {
      const { faults, ...scores } = await scoreText(prompt.text, prompt, context);
      return done(faults, scores);
    }
    const answer = await askAnswer(prompt, context);
    return done(judgeAnswer(prompt, answer), { answer: answer.text });
  } catch (error) {
    if (!CptError.isInstance(error)) throw error;
    return done([`no answer: ${error.message} [${error.code}]`], { isUnanswered: true });
  }
}

/** Asked for once: each prompt's time would hold it otherwise. */
const models = new WeakMap<ServiceEndpoint, string>();

async function modelOf(endpoint: ServiceEndpoint, signal: AbortSignal | undefined): Promise<string> {
  const model = models.get(endpoint) ?? (await firstModel(endpoint, signal));
  models.set(endpoint, model);
  return model;
}

async function askAnswer(prompt: GoldenPrompt, { endpoint, timeoutMs, signal }: GateContext): Promise<Answer> {
  const model = await modelOf(endpoint, signal);
  const isChat = prompt.messages !== undefined;
  const body = omitUndefined({
    ...{ model, prompt: prompt.prompt, messages: prompt.messages, max_tokens: prompt.maxTokens },
    ...{ temperature: 0, seed: 0 },
  });
  const path = isChat ? '/v1/chat/completions' : '/v1/completions';
  const { choices } = await callGateway(endpoint, { path, body, timeoutMs, signal });
  const [choice] = Array.isArray(choices) ? (choices as Record<string, unknown>[]) : [];
  const text = isChat ? (choice?.message as { content?: unknown } | undefined)?.content : choice?.text;
  if (typeof text !== 'string') throw new PaiError('CPT_PAI_UNAVAILABLE', `${endpoint.url}${path}: holds no choice`);
  const finishReason = choice?.finish_reason;
  return omitUndefined({ text, finishReason: typeof finishReason === 'string' ? finishReason : undefined });
}

async function scoreText(
  text: string,
  { maxPerplexity, maxPerplexityRatio }: GoldenPrompt,
  context: GateContext,
): Promise<Pick<PromptResult, 'faults' | 'perplexity' | 'referencePerplexity'>> {
  const perplexity = await readPerplexity(text, context.endpoint, context);
  const faults: string[] = [];
  const found = perplexity.toFixed(3);
  if (maxPerplexity !== undefined && !(perplexity <= maxPerplexity)) {
    faults.push(`has a perplexity of ${found}, above ${maxPerplexity}`);
  }
  if (maxPerplexityRatio === undefined) return { faults, perplexity };
  if (!context.reference) {
    faults.push('is to be held against a reference service, and there is none');
    return { faults, perplexity };
  }
  const referencePerplexity = await readPerplexity(text, context.reference, context);
  if (!(perplexity <= maxPerplexityRatio * referencePerplexity)) {
    const other = referencePerplexity.toFixed(3);
    faults.push(`has a perplexity of ${found}, above ${maxPerplexityRatio} × ${other} of the reference`);
  }
  return { faults, perplexity, referencePerplexity };
}

/** vLLM gives the log-probability of each token of the prompt for `echo` with `logprobs`, and generates nothing for 0 tokens. */
async function readPerplexity(text: string, endpoint: ServiceEndpoint, { timeoutMs, signal }: GateContext) {
  const model = await modelOf(endpoint, signal);
  const body = { model, prompt: text, echo: true, logprobs: 0, max_tokens: 0, temperature: 0 };
  const { choices } = await callGateway(endpoint, { path: '/v1/completions', body, timeoutMs, signal });
  const [choice] = Array.isArray(choices) ? (choices as { logprobs?: { token_logprobs?: unknown } }[]) : [];
  const logprobs = choice?.logprobs?.token_logprobs;
  const perplexity = Array.isArray(logprobs) ? perplexityOf(logprobs) : undefined;
  if (perplexity !== undefined) return perplexity;
  throw new PaiError('CPT_PAI_UNAVAILABLE', `${endpoint.url}: gives no log-probabilities for echo with logprobs`);
}
