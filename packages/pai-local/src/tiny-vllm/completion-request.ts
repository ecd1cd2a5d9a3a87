import { badRequest, notFound } from './openai-error.ts';

/** A body of `POST /v1/completions` that can be served. */
export interface CompletionRequest {
  /** Text, or the ids of one prompt. */
  readonly prompt: string | readonly number[];
  /** `undefined` asks for all that the context still holds. */
  readonly maxTokens: number | undefined;
  readonly temperature: number;
  readonly topP: number;
  readonly seed: number | undefined;
  readonly stop: readonly string[];
  /** True when the log-probability of every token is asked for. */
  readonly hasLogprobs: boolean;
  /** True when the prompt itself is wanted back with its log-probabilities, and nothing generated. */
  readonly isScoring: boolean;
  readonly isStream: boolean;
  /** True when a stream ends with a chunk that holds the usage. */
  readonly hasStreamUsage: boolean;
}

const DEFAULT_MAX_TOKENS = 16;

/**
 * Fields that change what is generated and are not computed here, with the values that mean "off". Any other value is
 * refused: a client must not believe that its penalty was applied.
 */
const NOT_COMPUTED: Readonly<Record<string, readonly unknown[]>> = {
  n: [1],
  best_of: [1],
  suffix: [''],
  frequency_penalty: [0],
  presence_penalty: [0],
  repetition_penalty: [1],
  top_k: [0, -1],
  min_p: [0],
  use_beam_search: [false],
  logit_bias: [],
};

type Fields = Readonly<Record<string, unknown>>;

/**
 * The request that `body` holds. Unknown fields are ignored, as vLLM does.
 * @throws OpenAiError 400 with the field in `param`; 404 when it names another model.
 */
export function parseCompletionRequest(body: unknown, servedModelName: string): CompletionRequest {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw badRequest('The body must be a JSON object', 'body');
  }
  const fields = body as Fields;
  checkModel(fields.model, servedModelName);
  for (const [name, neutral] of Object.entries(NOT_COMPUTED)) {
    const value = fields[name] ?? undefined;
    if (value !== undefined && !neutral.includes(value)) {
      throw badRequest(`${name} is ${JSON.stringify(value)}; this server does not compute it, leave it out`, name);
    }
  }
  const temperature = range(fields, 'temperature', 0, 2) ?? 1;
  const isStream = boolean(fields, 'stream');
  const isScoring = parseScoring(fields, isStream);
  return {
    prompt: parsePrompt(fields.prompt),
    maxTokens: isScoring ? 0 : parseMaxTokens(fields.max_tokens),
    temperature,
    topP: range(fields, 'top_p', Number.MIN_VALUE, 1) ?? 1,
    seed: whole(fields, 'seed', Number.MIN_SAFE_INTEGER),
    stop: parseStop(fields.stop),
    hasLogprobs: parseLogprobs(fields, temperature),
    isScoring,
    isStream,
    hasStreamUsage: parseStreamUsage(fields.stream_options, isStream),
  };
}

function checkModel(model: unknown, served: string): void {
  if (model === undefined || model === served) return;
  if (typeof model !== 'string') throw badRequest('model must be a string', 'model');
  throw notFound(`The model \`${model}\` does not exist. This server has \`${served}\`.`, 'model');
}

function parsePrompt(prompt: unknown): CompletionRequest['prompt'] {
  if (typeof prompt === 'string') {
    if (prompt === '') throw badRequest('prompt is empty; at least one token is needed', 'prompt');
    return prompt;
  }
  if (!Array.isArray(prompt)) throw badRequest('prompt must be a string or an array of token ids', 'prompt');
  if (prompt.length === 0) throw badRequest('prompt is empty; at least one token is needed', 'prompt');
  if (prompt.every((id) => Number.isSafeInteger(id))) return prompt as number[];
  throw badRequest('prompt must be one string or one array of token ids; send several prompts one by one', 'prompt');
}

/** `echo` with no token to generate scores the prompt, as in vLLM. The prompt before an answer is not given back here. */
function parseScoring(fields: Fields, isStream: boolean): boolean {
  if (!boolean(fields, 'echo')) return false;
  if (fields.max_tokens === 0 && !isStream) return true;
  throw badRequest('echo is true; this server gives a prompt back only with max_tokens 0 and without stream', 'echo');
}

/** Absent is OpenAI's 16; null lifts the limit, as in vLLM. */
function parseMaxTokens(value: unknown): number | undefined {
  if (value === undefined) return DEFAULT_MAX_TOKENS;
  if (value === null) return undefined;
  if (Number.isSafeInteger(value) && (value as number) >= 1) return value as number;
  throw badRequest(`max_tokens must be at least 1, got ${JSON.stringify(value)}.`, 'max_tokens');
}

function parseStop(value: unknown): string[] {
  if (value === undefined || value === null) return [];
  const stops: unknown[] = Array.isArray(value) ? value : [value];
  if (stops.every((stop) => typeof stop === 'string' && stop !== '')) return stops as string[];
  throw badRequest('stop must be a string or an array of strings, none empty', 'stop');
}

/** The generator knows the log-probability of the token it took; at temperature 0 that is the likeliest one. */
function parseLogprobs(fields: Fields, temperature: number): boolean {
  const count = whole(fields, 'logprobs', 0);
  if (count === undefined || count === 0 || (count === 1 && temperature === 0)) return count !== undefined;
  const message = `logprobs is ${count}; this server gives 0 (the chosen token), or 1 with temperature 0`;
  throw badRequest(message, 'logprobs');
}

function parseStreamUsage(options: unknown, isStream: boolean): boolean {
  if (options === undefined || options === null) return false;
  if (!isStream) throw badRequest('stream_options is only allowed with stream', 'stream_options');
  if (typeof options !== 'object') throw badRequest('stream_options must be an object', 'stream_options');
  return boolean(options as Fields, 'include_usage', 'stream_options.include_usage');
}

function range(fields: Fields, name: string, least: number, most: number): number | undefined {
  const value = fields[name] ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value === 'number' && value >= least && value <= most) return value;
  const bounds = least > 0 ? `in (0, ${most}]` : `in [${least}, ${most}]`;
  throw badRequest(`${name} must be ${bounds}, got ${JSON.stringify(value)}.`, name);
}

function whole(fields: Fields, name: string, least: number): number | undefined {
  const value = fields[name] ?? undefined;
  if (value === undefined) return undefined;
  if (Number.isSafeInteger(value) && (value as number) >= least) return value as number;
  throw badRequest(`${name} must be a whole number from ${least}, got ${JSON.stringify(value)}.`, name);
}

function boolean(fields: Fields, name: string, param = name): boolean {
  const value = fields[name] ?? false;
  if (typeof value === 'boolean') return value;
  throw badRequest(`${param} must be true or false, got ${JSON.stringify(value)}.`, param);
}
