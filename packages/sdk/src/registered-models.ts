import { CptError } from '@pai-cpt/core';
import { type FinishedConversion, readConversion } from './conversion.ts';
import { fromLabels, toLabels } from './datasets.ts';
import type { FolderView } from './folder.ts';
import { listPages } from './list-pages.ts';
import { omitUndefined } from './omit-undefined.ts';
import type { PaiTransport } from './pai-transport.ts';
import { isTrainingJobId } from './training-jobs.ts';
import type { WireModel, WireModelVersion } from './workspace-wire.ts';

interface CallOptions {
  signal?: AbortSignal | undefined;
}

/** Where a checkpoint comes from. Whoever knows it gives it: the converter does not see the job. */
export interface Lineage {
  /** The job that trained it, of DLC or of QuickStart. */
  readonly jobId?: string;
  readonly iteration?: number;
  /** Digest of the data set, as its sidecar or `cpt-mmap` gives it. */
  readonly datasetFingerprint?: string;
  /** Digest of the converted files; by default of their names, sizes and metadata. */
  readonly conversionDigest?: string;
}

/** A version of a model of the workspace. */
export interface ModelVersion {
  readonly modelId: string;
  readonly name: string;
  /** Such as 0.1.0. */
  readonly version: string;
  /** Where the files lie; a service is deployed from it, and training goes on from it. */
  readonly uri?: string;
  readonly lineage: Lineage;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAt?: string;
}

/** A model of the workspace or, with the provider `pai`, a card of the Model Gallery. */
export interface RegisteredModel {
  readonly modelId: string;
  readonly name: string;
  readonly provider?: string;
  readonly description?: string;
  readonly createdAt?: string;
  readonly latest?: ModelVersion;
}

/** A converted checkpoint to register. */
export interface ModelInput {
  /** The model; it is made when the workspace has none of this name. */
  name: string;
  /** Where the checkpoint lies. PAI documents OSS and HTTP addresses for a model; one on NAS is kept as it is given. */
  uri: string;
  /** The same folder, as this machine sees it. */
  folder: FolderView;
  lineage: Lineage;
  /** By default PAI counts: 0.1.0, 0.2.0, … */
  version?: string;
  description?: string;
  labels?: Record<string, string>;
  /** How EAS is to serve it, and Studio to train on from it, as PAI writes these. */
  inferenceSpec?: Record<string, unknown>;
  trainingSpec?: Record<string, unknown>;
}

/** The labels that carry the lineage. */
const LINEAGE_LABELS = {
  jobId: 'cpt-job-id',
  iteration: 'cpt-iteration',
  datasetFingerprint: 'cpt-dataset-fingerprint',
  conversionDigest: 'cpt-conversion-digest',
} as const;

/** The models of a workspace. */
export class Models {
  readonly #pai: PaiTransport;
  readonly #workspaceId: string | undefined;

  constructor(pai: PaiTransport, workspaceId?: string) {
    this.#pai = pai;
    this.#workspaceId = workspaceId;
  }

  /**
   * Registers a converted checkpoint as a version of a model, with its lineage in labels and extra information.
   * @throws InvalidInputError `CPT_INPUT_CHECKPOINT_MISSING` for a folder without a finished conversion.
   */
  async register(input: ModelInput, { signal }: CallOptions = {}): Promise<ModelVersion> {
    const conversion = await readConversion(input.uri, input.folder);
    const lineage = { conversionDigest: conversion.digest, ...omitUndefined(input.lineage) };
    const modelId = await this.#modelId(input, signal);
    const labels = { ...input.labels, ...lineageLabels(lineage) };
    const body = omitUndefined({
      Uri: input.uri,
      VersionName: input.version,
      VersionDescription: input.description,
      FrameworkType: 'Pytorch',
      ...this.#sourceOf(lineage.jobId),
      Labels: toLabels(labels),
      ExtraInfo: { cpt: { ...lineage, ...toExtraInfo(conversion) } },
      InferenceSpec: input.inferenceSpec,
      TrainingSpec: input.trainingSpec,
    });
    const { VersionName } = await this.#pai.call(
      'CreateModelVersion',
      { path: { ModelId: modelId }, body },
      { signal },
    );
    return { modelId, name: input.name, version: VersionName, uri: input.uri, lineage, labels };
  }

  /** Models, newest first, page by page as it is read on. `provider: 'pai'` lists the Model Gallery instead. */
  async *list({
    name,
    provider,
    signal,
  }: CallOptions & { name?: string; provider?: string } = {}): AsyncGenerator<RegisteredModel, void, undefined> {
    const workspaceId = provider === undefined ? this.#workspaceId : undefined;
    const filter = omitUndefined({ WorkspaceId: workspaceId, Provider: provider, ModelName: name });
    const pages = listPages(
      async (page) => {
        const query = { ...filter, Order: 'DESC' as const, ...page };
        const { Models, TotalCount } = await this.#pai.call('ListModels', { query }, { signal });
        return { items: Models, total: TotalCount };
      },
      ({ ModelId }) => ModelId,
    );
    for await (const model of pages) yield toModel(model);
  }

  /** The versions of a model, newest first. */
  async *versions(
    { modelId, name }: { modelId: string; name: string },
    { signal }: CallOptions = {},
  ): AsyncGenerator<ModelVersion, void, undefined> {
    const pages = listPages(
      async (page) => {
        const query = { Order: 'DESC' as const, ...page };
        const answer = await this.#pai.call('ListModelVersions', { path: { ModelId: modelId }, query }, { signal });
        return { items: answer.Versions, total: answer.TotalCount };
      },
      ({ VersionName }) => VersionName,
    );
    for await (const version of pages) yield toVersion(modelId, name, version);
  }

  async #modelId({ name }: ModelInput, signal: AbortSignal | undefined): Promise<string> {
    const find = async (): Promise<string | undefined> => {
      // In double quotes PAI takes the name as a whole.
      for await (const model of this.list({ name: `"${name}"`, signal })) if (model.name === name) return model.modelId;
      return undefined;
    };
    const found = await find();
    if (found !== undefined) return found;
    const body = omitUndefined({ ModelName: name, WorkspaceId: this.#workspaceId, Domain: 'nlp' });
    try {
      return (await this.#pai.call('CreateModel', { body }, { signal })).ModelId;
    } catch (error) {
      // Its answer may be lost, or another was faster: the name is the workspace's only one.
      const made = CptError.isInstance(error) ? await find().catch(() => undefined) : undefined;
      if (made !== undefined) return made;
      throw error;
    }
  }

  #sourceOf(jobId: string | undefined): { SourceType: 'Custom' | 'TrainingService'; SourceId?: string } {
    if (jobId === undefined) return { SourceType: 'Custom' };
    if (!isTrainingJobId(jobId) || this.#workspaceId === undefined) return { SourceType: 'Custom', SourceId: jobId };
    const id = `region=${this.#pai.regionId},workspaceId=${this.#workspaceId},kind=TrainingJob,id=${jobId}`;
    return { SourceType: 'TrainingService', SourceId: id };
  }
}

function lineageLabels(lineage: Lineage): Record<string, string> {
  return Object.fromEntries(
    Object.entries(LINEAGE_LABELS).flatMap(([field, label]) => {
      const value = lineage[field as keyof Lineage];
      return value === undefined ? [] : [[label, String(value)]];
    }),
  );
}

function toExtraInfo({ files, bytes, architecture }: FinishedConversion) {
  return omitUndefined({ files, bytes, architecture });
}

function toModel(wire: WireModel): RegisteredModel {
  return omitUndefined({
    modelId: wire.ModelId,
    name: wire.ModelName,
    provider: wire.Provider || undefined,
    description: wire.ModelDescription,
    createdAt: wire.GmtCreateTime,
    latest: wire.LatestVersion && toVersion(wire.ModelId, wire.ModelName, wire.LatestVersion),
  });
}

function toVersion(modelId: string, name: string, wire: WireModelVersion): ModelVersion {
  const labels = fromLabels(wire.Labels);
  const iteration = labels[LINEAGE_LABELS.iteration];
  return omitUndefined({
    ...{ modelId, name, version: wire.VersionName, uri: wire.Uri, labels, createdAt: wire.GmtCreateTime },
    lineage: omitUndefined({
      jobId: labels[LINEAGE_LABELS.jobId],
      iteration: iteration === undefined ? undefined : Number(iteration),
      datasetFingerprint: labels[LINEAGE_LABELS.datasetFingerprint],
      conversionDigest: labels[LINEAGE_LABELS.conversionDigest],
    }),
  });
}
