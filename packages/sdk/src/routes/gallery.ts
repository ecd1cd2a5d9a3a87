import { InvalidInputError } from '@pai-cpt/core';
import { listPages } from '../list-pages.ts';
import type { ModelName } from '../models.ts';
import type { PaiTransport } from '../pai-transport.ts';
import type { CptRunSpec } from '../run-spec.ts';
import type { WireAlgorithmSpec, WireHyperParameter, WireInputChannel, WireLabel } from '../studio-wire.ts';
import type { WireModel, WireModelVersion, WireTrainingSpec } from '../workspace-wire.ts';

/** The card of the Model Gallery that continues the pre-training of a model, as PAI's guide names it. */
const CARDS: Partial<Record<ModelName, string>> = { 'qwen2-72b': 'Qwen2-72B-Pre-trained (Megatron Edition)' };

/** PAI itself, as the provider of cards and algorithms. */
export const GALLERY_PROVIDER = 'pai';

/** What to train with: an algorithm with its definitions, and the card's defaults. */
export interface TrainingTarget {
  readonly card: string;
  /** How CreateTrainingJob names the algorithm. */
  readonly algorithm:
    | { readonly AlgorithmName: string; readonly AlgorithmProvider: string; readonly AlgorithmVersion: string }
    | { readonly AlgorithmSpec: WireAlgorithmSpec };
  readonly spec: WireAlgorithmSpec;
  readonly hyperParameters: readonly WireHyperParameter[];
  readonly inputs: readonly WireInputChannel[];
  /** Where the job came from, as the console writes it. */
  readonly labels: readonly WireLabel[];
}

type CallOptions = { signal?: AbortSignal | undefined };

/**
 * The card of the run's model in the Model Gallery, and the algorithm it trains with.
 * @throws InvalidInputError `CPT_INPUT_INVALID` when the gallery has no such card or version, when it cannot be trained, and when it
 * has several methods of training and none of them is named.
 */
export async function findTrainingTarget(
  pai: PaiTransport,
  spec: CptRunSpec,
  options: CallOptions = {},
): Promise<TrainingTarget> {
  const card = spec.quickstart?.card ?? CARDS[spec.model];
  if (card === undefined) {
    throw invalid('/quickstart/card', `is missing; no card of the Model Gallery is known for ${spec.model}`);
  }
  const model = await findCard(pai, card, options);
  const version = await findVersion(pai, model, spec.quickstart?.version, options);
  const training = chooseMethod(version, card, spec.quickstart?.method);
  return {
    card,
    ...(await findAlgorithm(pai, training, options)),
    hyperParameters: training.HyperParameters ?? [],
    inputs: training.InputChannels ?? [],
    labels: labelsOf(model, version),
  };
}

/**
 * How a version is trained. Its TrainingSpec is one way, or an object of several by name, which are told apart by what names an
 * algorithm (aliyun/pai-python-sdk, RegisteredModel.get_recipe_spec; that takes the first when none is named).
 */
function chooseMethod(
  { VersionName, TrainingSpec = {} }: WireModelVersion,
  card: string,
  wanted: string | undefined,
): WireTrainingSpec {
  const which = `version ${VersionName} of "${card}"`;
  if (isTrainingSpec(TrainingSpec)) {
    if (wanted === undefined) return TrainingSpec;
    throw invalid('/quickstart/method', `is "${wanted}"; ${which} has one method, without a name; leave it out`);
  }
  const methods = Object.entries(TrainingSpec).flatMap(([name, value]) =>
    isTrainingSpec(value) ? [{ name, training: value }] : [],
  );
  const [only, ...others] = methods;
  if (!only) throw invalid('/quickstart/card', `is "${card}"; version ${VersionName} of it cannot be trained`);
  const names = methods.map(({ name }) => name).join(', ');
  if (wanted === undefined) {
    if (others.length === 0) return only.training;
    throw invalid('/quickstart/method', `is missing; ${which} has the methods ${names}: choose one`);
  }
  const found = methods.find(({ name }) => name === wanted);
  if (found) return found.training;
  throw invalid('/quickstart/method', `is "${wanted}"; ${which} has the methods ${names}`);
}

function isTrainingSpec(value: unknown): value is WireTrainingSpec {
  const { AlgorithmSpec, AlgorithmName } = (value ?? {}) as WireTrainingSpec;
  return Boolean(AlgorithmSpec ?? AlgorithmName);
}

async function findCard(pai: PaiTransport, card: string, options: CallOptions): Promise<WireModel> {
  // In double quotes the name is meant as a whole; without them any part of it would do.
  const filter = { Provider: GALLERY_PROVIDER, ModelName: `"${card}"` };
  const models = listPages(
    async (page) => {
      const { Models, TotalCount } = await pai.call('ListModels', { query: { ...filter, ...page } }, options);
      return { items: Models, total: TotalCount };
    },
    ({ ModelId }) => ModelId,
  );
  for await (const model of models) if (model.ModelName === card) return model;
  throw invalid('/quickstart/card', `is "${card}"; the Model Gallery of ${pai.regionId} has no such card`);
}

async function findVersion(
  pai: PaiTransport,
  model: WireModel,
  wanted: string | undefined,
  options: CallOptions,
): Promise<WireModelVersion> {
  if (model.LatestVersion && (wanted === undefined || model.LatestVersion.VersionName === wanted)) {
    return model.LatestVersion;
  }
  const path = { ModelId: model.ModelId };
  const versions = listPages(
    async (page) => {
      const query = { ...page, Order: 'DESC' as const };
      const { Versions, TotalCount } = await pai.call('ListModelVersions', { path, query }, options);
      return { items: Versions, total: TotalCount };
    },
    ({ VersionName }) => VersionName,
  );
  const known: string[] = [];
  for await (const version of versions) {
    if (wanted === undefined || version.VersionName === wanted) return version;
    known.push(version.VersionName);
  }
  throw invalid(
    '/quickstart/version',
    `is ${wanted ?? 'not given'}; "${model.ModelName}" has the versions ${known.join(', ') || 'none'}`,
  );
}

async function findAlgorithm(
  pai: PaiTransport,
  training: WireTrainingSpec,
  options: CallOptions,
): Promise<Pick<TrainingTarget, 'algorithm' | 'spec'>> {
  const { AlgorithmSpec, AlgorithmName = '', AlgorithmProvider = GALLERY_PROVIDER, AlgorithmVersion = '' } = training;
  if (AlgorithmSpec) return { algorithm: { AlgorithmSpec }, spec: AlgorithmSpec };
  const algorithms = listPages(
    async (page) => {
      const query = { AlgorithmName, AlgorithmProvider, ...page };
      const { Algorithms, TotalCount } = await pai.call('ListAlgorithms', { query }, options);
      return { items: Algorithms, total: TotalCount };
    },
    ({ AlgorithmId }) => AlgorithmId,
  );
  for await (const found of algorithms) {
    if (found.AlgorithmName !== AlgorithmName) continue;
    const path = { AlgorithmId: found.AlgorithmId, AlgorithmVersion };
    const { AlgorithmSpec: spec } = await pai.call('GetAlgorithmVersion', { path }, options);
    return { algorithm: { AlgorithmName, AlgorithmProvider, AlgorithmVersion }, spec };
  }
  throw invalid('/quickstart/card', `trains with ${AlgorithmName}, which ${AlgorithmProvider} does not list`);
}

/** The labels by which the console knows a job as one of QuickStart's (aliyun/pai-python-sdk, RegisteredModel). */
function labelsOf(model: WireModel, version: WireModelVersion): WireLabel[] {
  const labels: Record<string, unknown> = {
    BaseModelUri: version.Uri,
    CreatedBy: 'QuickStart',
    Domain: model.Domain,
    RootModelID: model.ModelId,
    RootModelName: model.ModelName,
    RootModelVersion: version.VersionName,
    Task: model.Task,
  };
  return Object.entries(labels).flatMap(([Key, Value]) => (typeof Value === 'string' ? [{ Key, Value }] : []));
}

function invalid(pointer: string, message: string): InvalidInputError {
  return new InvalidInputError('CPT_INPUT_INVALID', `run specification: ${pointer} ${message}`, {
    field: pointer,
    errors: [{ pointer, message }],
  });
}
