import { InvalidInputError } from '@pai-cpt/core';
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
 * @throws InvalidInputError `CPT_INPUT_INVALID` when the gallery has no such card or version, or it cannot be trained.
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
  const training = version.TrainingSpec;
  if (!training?.AlgorithmSpec && !training?.AlgorithmName) {
    throw invalid('/quickstart/card', `is "${card}"; version ${version.VersionName} of it cannot be trained`);
  }
  return {
    card,
    ...(await findAlgorithm(pai, training, options)),
    hyperParameters: training.HyperParameters ?? [],
    inputs: training.InputChannels ?? [],
    labels: labelsOf(model, version),
  };
}

async function findCard(pai: PaiTransport, card: string, options: CallOptions): Promise<WireModel> {
  // In double quotes the name is meant as a whole; without them any part of it would do.
  const query = { Provider: GALLERY_PROVIDER, ModelName: `"${card}"`, PageNumber: 1, PageSize: 50 };
  const { Models: models = [] } = await pai.call('ListModels', { query }, options);
  const found = models.find(({ ModelName }) => ModelName === card);
  if (found) return found;
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
  const query = { PageNumber: 1, PageSize: 50, Order: 'DESC' as const };
  const path = { ModelId: model.ModelId };
  const { Versions: versions = [] } = await pai.call('ListModelVersions', { path, query }, options);
  const found = wanted === undefined ? versions[0] : versions.find(({ VersionName }) => VersionName === wanted);
  if (found) return found;
  const known = versions.map(({ VersionName }) => VersionName).join(', ') || 'none';
  throw invalid('/quickstart/version', `is ${wanted ?? 'not given'}; "${model.ModelName}" has the versions ${known}`);
}

async function findAlgorithm(
  pai: PaiTransport,
  training: WireTrainingSpec,
  options: CallOptions,
): Promise<Pick<TrainingTarget, 'algorithm' | 'spec'>> {
  const { AlgorithmSpec, AlgorithmName = '', AlgorithmProvider = GALLERY_PROVIDER, AlgorithmVersion = '' } = training;
  if (AlgorithmSpec) return { algorithm: { AlgorithmSpec }, spec: AlgorithmSpec };
  const query = { AlgorithmName, AlgorithmProvider, PageNumber: 1, PageSize: 50 };
  const { Algorithms: algorithms = [] } = await pai.call('ListAlgorithms', { query }, options);
  const found = algorithms.find((algorithm) => algorithm.AlgorithmName === AlgorithmName);
  if (!found)
    throw invalid('/quickstart/card', `trains with ${AlgorithmName}, which ${AlgorithmProvider} does not list`);
  const path = { AlgorithmId: found.AlgorithmId, AlgorithmVersion };
  const { AlgorithmSpec: spec } = await pai.call('GetAlgorithmVersion', { path }, options);
  return { algorithm: { AlgorithmName, AlgorithmProvider, AlgorithmVersion }, spec };
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
