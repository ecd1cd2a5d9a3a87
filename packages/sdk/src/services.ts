import { InvalidInputError } from '@pai-cpt/core';
import type { PaiInput, PaiTransport } from './pai-transport.ts';
import type { PaiCalls } from './pai-wire.ts';
import { type Clock, pollUntil, systemClock } from './poll.ts';
import { type GateReport, runGate } from './prompt-gate.ts';
import type { GoldenPrompt } from './prompt-gate-prompts.ts';
import type { Service } from './schemas.ts';
import { type RollOutOptions, type RollOutReport, rollOut } from './service-canary.ts';
import { type Completion, type CompletionRequest, completePrompt } from './service-completion.ts';
import { type DeployOptions, deployService } from './service-deploy.ts';
import {
  callGateway,
  GATEWAY_TIMEOUT_MS,
  type ServiceEndpoint,
  type TokenScheme,
  type TokenSchemes,
} from './service-gateway.ts';
import {
  listEvents,
  listInstances,
  listServices,
  readLogs,
  type ServiceEvent,
  type ServiceInstance,
  type ServiceLogOptions,
  type TimeRange,
} from './service-lists.ts';
import {
  type AutoScaler,
  type AutoScalerView,
  type CronScaler,
  type CronScalerView,
  readAutoScaler,
  readCronScaler,
  toWireAutoScaler,
  toWireCronScaler,
} from './service-scaler.ts';
import type { ServiceSpecInput } from './service-spec.ts';
import { endpointOf, groupEndpointOf, serviceFailed, toService } from './service-view.ts';
import type { SERVICE_OPERATIONS, WireService } from './service-wire.ts';

interface CallOptions {
  signal?: AbortSignal | undefined;
}

/** How long to wait, and how often to look. */
export interface WaitForServiceOptions extends CallOptions {
  timeoutMs: number;
  pollMs?: number | undefined;
  clock?: Clock | undefined;
}

/** How to ask the golden prompts. */
export interface GateOptions extends CallOptions {
  /** Another service, which perplexities are held against. */
  reference?: string | undefined;
  /** For each prompt; by default two minutes. */
  timeoutMs?: number | undefined;
  clock?: Clock | undefined;
}

type OnServiceAction = Exclude<
  keyof typeof SERVICE_OPERATIONS,
  'CreateService' | 'ListServices' | 'DescribeMachineSpec' | 'DescribeGroup' | 'UpdateGroup'
>;

const PROMPT_TIMEOUT_MS = 120_000;

/** The services of a region on PAI EAS. */
export class Services {
  readonly #pai: PaiTransport;
  readonly #workspaceId: string | undefined;
  readonly #schemeOf: (name: string) => TokenScheme;

  constructor(pai: PaiTransport, workspaceId?: string, tokenScheme: TokenSchemes = 'bare') {
    this.#pai = pai;
    this.#workspaceId = workspaceId;
    this.#schemeOf = typeof tokenScheme === 'function' ? tokenScheme : () => tokenScheme;
  }

  /**
   * Creates the service; it does not run yet: see `wait`. A create whose answer is lost is not repeated: it is looked for.
   * @throws InvalidInputError `CPT_INPUT_INVALID`, `CPT_INPUT_UNVERIFIED` and `CPT_INPUT_CHECKPOINT_MISSING` for a checkpoint
   * that is not proven. PaiError `CPT_PAI_REJECTED` for a name that is taken.
   */
  deploy(spec: ServiceSpecInput, options: DeployOptions): Promise<Service> {
    return deployService(this.#pai, spec, this.#workspaceId, options);
  }

  async get(name: string, { signal }: CallOptions = {}): Promise<Service> {
    return toService(await this.#describe(name, signal));
  }

  /** Every service, page by page as it is read on. */
  list(options: CallOptions & { filter?: string } = {}): AsyncGenerator<Service, void, undefined> {
    return listServices(this.#pai, this.#workspaceId, options);
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
      if (service.phase === 'failed' || service.phase === 'stopped') throw serviceFailed(service);
      if (service.status !== 'Running') return { service, isAnswering: false };
      await callGateway(endpointOf(wire, this.#schemeOf(name)), {
        path: '/v1/models',
        timeoutMs: GATEWAY_TIMEOUT_MS,
        signal,
      });
      return { service, isAnswering: true };
    };
    const what = `an answer of service ${name}`;
    const waiting = { what, timeoutMs, pollMs, signal, clock };
    const { service } = await pollUntil(read, ({ isAnswering }) => isAnswering, waiting);
    return service;
  }

  /** Where the service answers and its token, which does not show when the endpoint is printed. */
  async endpoint(name: string, { signal }: CallOptions = {}): Promise<ServiceEndpoint> {
    return endpointOf(await this.#describe(name, signal), this.#schemeOf(name));
  }

  /** Where a group of services answers, each call with one of them by their weights, and its token. */
  async groupEndpoint(group: string, { signal }: CallOptions = {}): Promise<ServiceEndpoint> {
    const path = { ClusterId: this.#pai.regionId, GroupName: group };
    return groupEndpointOf(group, await this.#pai.call('DescribeGroup', { path }, { signal }), this.#schemeOf(group));
  }

  /** Completes a prompt. @throws PaiError as `callGateway` does. */
  async complete(name: string, request: CompletionRequest): Promise<Completion> {
    return completePrompt(await this.endpoint(name, { signal: request.signal }), request);
  }

  /** Asks the service the golden prompts, at its own address. What does not hold is in the report and not thrown. */
  async gate(name: string, prompts: readonly GoldenPrompt[], options: GateOptions = {}): Promise<GateReport> {
    const { reference, timeoutMs = PROMPT_TIMEOUT_MS, clock = systemClock, signal } = options;
    const endpoint = await this.endpoint(name, { signal });
    const other = reference === undefined ? undefined : await this.endpoint(reference, { signal });
    return runGate(prompts, { endpoint, reference: other, timeoutMs, clock, signal });
  }

  /**
   * Gates a service and then gives it the traffic of its group step by step, watching it; at the first thing wrong the traffic is
   * put back where it was. The service before is never stopped or deleted.
   * @throws PaiError `CPT_PAI_GATE_FAILED`, `CPT_PAI_CANARY_FAILED`, `CPT_PAI_NO_WAY_BACK`, each with its `report` in the details.
   */
  rollOut(name: string, options: RollOutOptions): Promise<RollOutReport> {
    return rollOut(this, name, options);
  }

  /** Gives the service a share of its group's traffic, against the other weights; with 0 it gets none. */
  async release(name: string, weight: number, { signal }: CallOptions = {}): Promise<void> {
    if (!Number.isInteger(weight) || weight < 0 || weight > 1000) {
      throw new InvalidInputError('CPT_INPUT_INVALID', `the weight of ${name} is ${weight}; give 0 to 1000`);
    }
    const TrafficState = weight === 0 ? 'standalone' : 'grouping';
    await this.#on('ReleaseService', name, { body: { Weight: weight, TrafficState } }, signal);
  }

  /** Lets the weights decide, not the numbers of instances, which is what a group does by default. */
  async splitByWeight(group: string, { signal }: CallOptions = {}): Promise<void> {
    const path = { ClusterId: this.#pai.regionId, GroupName: group };
    await this.#pai.call('UpdateGroup', { path, body: { TrafficMode: 'customized' } }, { signal });
  }

  /** Gives the service all traffic of its group. The others go on running beside it, without traffic. */
  async promote(name: string, options: CallOptions = {}): Promise<void> {
    const { group } = await this.get(name, options);
    if (group === undefined) {
      throw new InvalidInputError('CPT_INPUT_INVALID', `${name} is in no group, so it has all of its traffic already`);
    }
    await this.splitByWeight(group, options);
    await this.release(name, 100, options);
    for await (const other of this.list(options)) {
      if (other.group === group && other.name !== name) await this.release(other.name, 0, options);
    }
  }

  /**
   * Puts an earlier version of the service's configuration in place, by default the one before; the version now there serves until
   * the earlier one is ready.
   * @throws InvalidInputError `CPT_INPUT_INVALID` when there is none before.
   */
  async rollback(name: string, { version, signal }: CallOptions & { version?: number } = {}): Promise<number> {
    const current = (await this.get(name, { signal })).version ?? 1;
    const Version = version ?? current - 1;
    if (Version < 1) {
      throw new InvalidInputError('CPT_INPUT_INVALID', `${name} has version ${current} and none before it`);
    }
    await this.#on('UpdateServiceVersion', name, { body: { Version } }, signal);
    return Version;
  }

  /** Changes the service JSON, which makes a new version: `merge` keeps what is not named, `replace` does not. */
  async update(
    name: string,
    config: Record<string, unknown>,
    { how = 'merge', signal }: CallOptions & { how?: 'merge' | 'replace' } = {},
  ): Promise<void> {
    await this.#on('UpdateService', name, { query: { UpdateType: how }, body: config }, signal);
  }

  /** Sets how many instances run. */
  async scale(name: string, instances: number, { signal }: CallOptions = {}): Promise<void> {
    if (!Number.isInteger(instances) || instances < 0) {
      throw new InvalidInputError('CPT_INPUT_INVALID', `${instances} instances; give a whole number from 0`);
    }
    await this.#on('ScaleService', name, { body: { Instance: instances } }, signal);
  }

  /** Lets EAS set the number of instances; a scaler that is there is replaced. */
  async autoscale(name: string, scaler: AutoScaler, { signal }: CallOptions = {}): Promise<void> {
    const body = toWireAutoScaler(scaler);
    const isThere = (await this.autoscaler(name, { signal })) !== undefined;
    await this.#on(isThere ? 'UpdateServiceAutoScaler' : 'CreateServiceAutoScaler', name, { body }, signal);
  }

  /** The scaler of the service; undefined when it has none. */
  autoscaler(name: string, { signal }: CallOptions = {}): Promise<AutoScalerView | undefined> {
    return readAutoScaler(() => this.#on('DescribeServiceAutoScaler', name, {}, signal));
  }

  /** Takes the scaler away; the instances stay as they are. */
  async deleteAutoscaler(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#on('DeleteServiceAutoScaler', name, {}, signal);
  }

  /** Lets EAS set the number of instances by the clock; a cron scaler that is there is replaced. */
  async cronScale(name: string, scaler: CronScaler, { signal }: CallOptions = {}): Promise<void> {
    const body = toWireCronScaler(scaler);
    const isThere = (await this.cronScaler(name, { signal })) !== undefined;
    await this.#on(isThere ? 'UpdateServiceCronScaler' : 'CreateServiceCronScaler', name, { body }, signal);
  }

  /** The cron scaler of the service; undefined when it has none. */
  cronScaler(name: string, { signal }: CallOptions = {}): Promise<CronScalerView | undefined> {
    return readCronScaler(() => this.#on('DescribeServiceCronScaler', name, {}, signal));
  }

  /** Takes the cron scaler away; the instances stay as they are. */
  async deleteCronScaler(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#on('DeleteServiceCronScaler', name, {}, signal);
  }

  /** The lines that the instances wrote, oldest first, page by page. */
  logs(name: string, options: ServiceLogOptions = {}): AsyncGenerator<string, void, undefined> {
    return readLogs(this.#pai, this.#path(name), options);
  }

  /** What happened to the service, as EAS lists it; by default in the last seven days. */
  events(
    name: string,
    options: TimeRange & { type?: 'Normal' | 'Warning' } = {},
  ): AsyncGenerator<ServiceEvent, void, undefined> {
    return listEvents(this.#pai, this.#path(name), options);
  }

  /** The containers of the service. */
  instances(name: string, options: CallOptions = {}): AsyncGenerator<ServiceInstance, void, undefined> {
    return listInstances(this.#pai, this.#path(name), options);
  }

  /** Starts a stopped service. */
  async start(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#on('StartService', name, {}, signal);
  }

  /** Stops a service; it keeps its name and its configuration, and costs nothing. */
  async stop(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#on('StopService', name, {}, signal);
  }

  /** Starts the instances anew. */
  async restart(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#on('RestartService', name, {}, signal);
  }

  async delete(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#on('DeleteService', name, {}, signal);
  }

  #describe(name: string, signal?: AbortSignal): Promise<WireService> {
    return this.#on('DescribeService', name, {}, signal);
  }

  #on<Action extends OnServiceAction>(
    action: Action,
    name: string,
    input: Omit<PaiInput<Action>, 'path'>,
    signal?: AbortSignal,
  ): Promise<PaiCalls[Action]['answer']> {
    return this.#pai.call(action, { path: this.#path(name), ...input } as PaiInput<Action>, { signal });
  }

  #path(name: string): { ClusterId: string; ServiceName: string } {
    return { ClusterId: this.#pai.regionId, ServiceName: name };
  }
}
