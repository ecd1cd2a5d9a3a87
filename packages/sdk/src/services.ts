import { PaiError } from '@pai-cpt/core';
import { omitUndefined } from './omit-undefined.ts';
import type { PaiTransport } from './pai-transport.ts';
import type { WireService } from './pai-wire.ts';
import { type Clock, pollUntil, systemClock } from './poll.ts';
import type { Service } from './schemas.ts';
import { callGateway, type ServiceEndpoint, serviceEndpoint } from './service-gateway.ts';
import { parseServiceSpec, type ServiceSpecInput, toServiceJson } from './service-spec.ts';
import { servicePhaseOf } from './service-status.ts';

interface CallOptions {
  signal?: AbortSignal | undefined;
}

/** How long to wait, and how often to look. */
export interface WaitForServiceOptions extends CallOptions {
  timeoutMs: number;
  pollMs?: number | undefined;
  clock?: Clock | undefined;
}

/** A prompt for a service with the completions API of OpenAI, which vLLM has. */
export interface CompletionRequest extends CallOptions {
  prompt: string;
  maxTokens?: number;
  temperature?: number;
  topP?: number;
  stop?: string[];
  seed?: number;
  /** By default the model that the service lists first. */
  model?: string;
  timeoutMs?: number;
}

/** What the model went on with. */
export interface Completion {
  model: string;
  choices: { index: number; text: string; finishReason?: string }[];
  usage?: { promptTokens: number; completionTokens: number };
}

const PAGE_SIZE = 100;
const GATEWAY_TIMEOUT_MS = 10_000;
const COMPLETION_TIMEOUT_MS = 120_000;

/** The services of a region on PAI EAS. */
export class Services {
  readonly #pai: PaiTransport;
  readonly #workspaceId: string | undefined;

  constructor(pai: PaiTransport, workspaceId?: string) {
    this.#pai = pai;
    this.#workspaceId = workspaceId;
  }

  /**
   * Creates the service; it does not run yet: see `wait`. A create whose answer is lost is not repeated.
   * @throws InvalidInputError `CPT_INPUT_INVALID`. PaiError `CPT_PAI_REJECTED` for a name that is taken.
   */
  async deploy(spec: ServiceSpecInput, { signal }: CallOptions = {}): Promise<Service> {
    const parsed = parseServiceSpec(spec);
    const workspaceId = parsed.workspaceId ?? this.#workspaceId;
    const query = omitUndefined({ WorkspaceId: workspaceId });
    const { ServiceName, ServiceId, Status } = await this.#pai.call(
      'CreateService',
      { query, body: toServiceJson(parsed, workspaceId) },
      { signal },
    );
    return toService(
      omitUndefined({ ServiceName: ServiceName ?? parsed.name, ServiceId, Status: Status ?? 'Creating' }),
    );
  }

  async get(name: string, { signal }: CallOptions = {}): Promise<Service> {
    return toService(await this.#describe(name, signal));
  }

  /** Every service, page by page as it is read on. */
  async *list({ filter, signal }: CallOptions & { filter?: string } = {}): AsyncGenerator<Service, void, undefined> {
    const seen = new Set<string>();
    for (let page = 1; ; page++) {
      const query = omitUndefined({
        Filter: filter,
        WorkspaceId: this.#workspaceId,
        PageNumber: page,
        PageSize: PAGE_SIZE,
      });
      const { Services: services = [], TotalCount } = await this.#pai.call('ListServices', { query }, { signal });
      for (const service of services) {
        if (seen.has(service.ServiceName)) continue; // one that moved to this page while it was listed
        seen.add(service.ServiceName);
        yield toService(service);
      }
      if (services.length === 0 || page * PAGE_SIZE >= TotalCount) return;
    }
  }

  /**
   * Waits until the service runs and the gateway answers for it: `Running` comes some seconds before the route.
   * @throws PaiError `CPT_PAI_SERVICE_FAILED` when it fails or stops instead. WaitTimeoutError `CPT_WAIT_TIMEOUT`.
   */
  async wait(name: string, options: WaitForServiceOptions): Promise<Service> {
    const { timeoutMs, pollMs = 3000, signal, clock = systemClock } = options;
    const read = async (): Promise<{ service: Service; isAnswering: boolean }> => {
      const wire = await this.#describe(name, signal);
      const service = toService(wire);
      if (service.phase === 'failed' || service.phase === 'stopped') throw failed(service);
      if (service.status !== 'Running') return { service, isAnswering: false };
      await callGateway(endpointOf(wire), { path: '/v1/models', timeoutMs: GATEWAY_TIMEOUT_MS, signal });
      return { service, isAnswering: true };
    };
    const what = `an answer of service ${name}`;
    const { service } = await pollUntil(read, ({ isAnswering }) => isAnswering, {
      what,
      timeoutMs,
      pollMs,
      signal,
      clock,
    });
    return service;
  }

  /** Where the service answers and its token, which does not show when the endpoint is printed. */
  async endpoint(name: string, { signal }: CallOptions = {}): Promise<ServiceEndpoint> {
    return endpointOf(await this.#describe(name, signal));
  }

  /** Completes a prompt. @throws PaiError as `callGateway` does. */
  async complete(name: string, request: CompletionRequest): Promise<Completion> {
    const { prompt, maxTokens, temperature, topP, stop, seed, signal, timeoutMs = COMPLETION_TIMEOUT_MS } = request;
    const endpoint = await this.endpoint(name, { signal });
    const model = request.model ?? (await firstModel(endpoint, signal));
    const body = omitUndefined({ model, prompt, max_tokens: maxTokens, temperature, top_p: topP, stop, seed });
    return toCompletion(model, await callGateway(endpoint, { path: '/v1/completions', body, timeoutMs, signal }));
  }

  /** Starts a stopped service. */
  async start(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#pai.call('StartService', { path: this.#path(name) }, { signal });
  }

  /** Stops a service; it keeps its name and its configuration, and costs nothing. */
  async stop(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#pai.call('StopService', { path: this.#path(name) }, { signal });
  }

  async delete(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#pai.call('DeleteService', { path: this.#path(name) }, { signal });
  }

  #describe(name: string, signal?: AbortSignal): Promise<WireService> {
    return this.#pai.call('DescribeService', { path: this.#path(name) }, { signal });
  }

  #path(name: string): { ClusterId: string; ServiceName: string } {
    return { ClusterId: this.#pai.regionId, ServiceName: name };
  }
}

/** A service in our words, without its access token. */
export function toService(wire: WireService): Service {
  return omitUndefined({
    name: wire.ServiceName,
    serviceId: wire.ServiceId || undefined,
    phase: servicePhaseOf(wire.Status),
    status: wire.Status,
    reason: wire.Reason || undefined,
    message: wire.Message || undefined,
    url: urlOf(wire),
    image: wire.Image || undefined,
    runningInstances: wire.RunningInstance,
    instances: wire.TotalInstance,
    workspaceId: wire.WorkspaceId || undefined,
    createdAt: wire.CreateTime || undefined,
    updatedAt: wire.UpdateTime || undefined,
  });
}

const urlOf = (wire: WireService): string | undefined =>
  (wire.InternetEndpoint || wire.IntranetEndpoint || undefined)?.replace(/\/+$/, '');

function endpointOf(wire: WireService): ServiceEndpoint {
  const url = urlOf(wire);
  if (url) return serviceEndpoint(url, wire.AccessToken ?? '');
  throw new PaiError(
    'CPT_PAI_UNAVAILABLE',
    `service ${wire.ServiceName} is ${wire.Status} and has no endpoint yet; wait for it first`,
  );
}

function failed(service: Service): PaiError {
  const why = [service.reason, service.message].filter(Boolean).join(': ');
  return new PaiError(
    'CPT_PAI_SERVICE_FAILED',
    `service ${service.name} is ${service.status}${why ? `: ${why}` : ''}; its events in the console say more`,
    { status: service.status },
  );
}

async function firstModel(endpoint: ServiceEndpoint, signal?: AbortSignal): Promise<string> {
  const { data } = await callGateway(endpoint, { path: '/v1/models', timeoutMs: GATEWAY_TIMEOUT_MS, signal });
  const [first] = Array.isArray(data) ? (data as { id?: unknown }[]) : [];
  if (typeof first?.id === 'string') return first.id;
  throw new PaiError('CPT_PAI_UNAVAILABLE', `${endpoint.url}/v1/models: lists no model`);
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
