import { omitUndefined } from './omit-undefined.ts';
import { callGateway, firstModel, type ServiceEndpoint } from './service-gateway.ts';

/** A prompt for a service with the completions API of OpenAI, which vLLM has. */
export interface CompletionRequest {
  prompt: string;
  maxTokens?: number;
  temperature?: number;
  topP?: number;
  stop?: string[];
  seed?: number;
  /** By default the model that the service lists first. */
  model?: string;
  timeoutMs?: number;
  signal?: AbortSignal | undefined;
}

/** What the model went on with. */
export interface Completion {
  model: string;
  choices: { index: number; text: string; finishReason?: string }[];
  usage?: { promptTokens: number; completionTokens: number };
}

const COMPLETION_TIMEOUT_MS = 120_000;

/** Completes a prompt. @throws PaiError as `callGateway` does. */
export async function completePrompt(endpoint: ServiceEndpoint, request: CompletionRequest): Promise<Completion> {
  const { prompt, maxTokens, temperature, topP, stop, seed, signal, timeoutMs = COMPLETION_TIMEOUT_MS } = request;
  const model = request.model ?? (await firstModel(endpoint, signal));
  const body = omitUndefined({ model, prompt, max_tokens: maxTokens, temperature, top_p: topP, stop, seed });
  return toCompletion(model, await callGateway(endpoint, { path: '/v1/completions', body, timeoutMs, signal }));
}

function toCompletion(model: string, body: Record<string, unknown>): Completion {
  const choices = (Array.isArray(body.choices) ? body.choices : []) as Record<string, unknown>[];
  const usage = body.usage as Record<string, unknown> | undefined;
  return omitUndefined({
    model: typeof body.model === 'string' ? body.model : model,
    choices: choices.map((choice, index) =>
      omitUndefined({
        index: typeof choice.index === 'number' ? choice.index : index,
        text: String(choice.text ?? ''),
        finishReason: typeof choice.finish_reason === 'string' ? choice.finish_reason : undefined,
      }),
    ),
    usage: usage && {
      promptTokens: Number(usage.prompt_tokens ?? 0),
      completionTokens: Number(usage.completion_tokens ?? 0),
    },
  });
}
