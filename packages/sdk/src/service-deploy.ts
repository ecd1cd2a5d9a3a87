import { randomUUID } from 'node:crypto';
import { CptError, InvalidInputError, PaiError } from '@pai-cpt/core';
import type { FolderView } from './folder.ts';
import { omitUndefined } from './omit-undefined.ts';
import type { PaiTransport } from './pai-transport.ts';
import type { Service } from './schemas.ts';
import { requireVerified } from './service-checkpoint.ts';
import { readMachine, suggestServing } from './service-sizing.ts';
import { parseServiceSpec, type ServiceSpec, type ServiceSpecInput, toServiceJson } from './service-spec.ts';
import { toService } from './service-view.ts';

/** Why the checkpoint may be served. One of the first two must be given. */
export interface DeployOptions {
  /** The checkpoint's folder as this machine sees it; see `localFolder` of `@pai-cpt/sdk/node`. It must be verified. */
  folder?: FolderView | undefined;
  /** True serves it unproven; a label of the service tells so. */
  isUnverified?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** Labels that tell what is served, and which creation it came from. */
const CONVERSION_LABEL = 'pai-cpt-conversion';
const CREATION_LABEL = 'pai-cpt-creation';
/** What held the weights to what was verified when they were deployed: sha256, time or length. */
const BINDING_LABEL = 'pai-cpt-weights-bound-by';

/** See `Services.deploy`. */
export async function deployService(
  pai: PaiTransport,
  value: ServiceSpecInput,
  defaultWorkspaceId: string | undefined,
  { folder, isUnverified = false, signal }: DeployOptions,
): Promise<Service> {
  const spec = parseServiceSpec(value);
  const { uri } = spec.checkpoint;
  if (!folder && !isUnverified) {
    throw new InvalidInputError(
      'CPT_INPUT_UNVERIFIED',
      `${uri}: give the folder as this machine sees it, so that its verification is found, or say that it is unverified`,
      { uri },
    );
  }
  const verified = folder && !isUnverified ? await requireVerified(uri, folder, signal) : undefined;
  const sized = folder && verified ? await fitToMachine(pai, spec, verified.bytes, folder, signal) : spec;
  const creation = randomUUID();
  const workspaceId = spec.workspaceId ?? defaultWorkspaceId;
  const query = omitUndefined({
    WorkspaceId: workspaceId,
    Labels: {
      ...{ [CONVERSION_LABEL]: verified?.digest ?? 'unverified', [CREATION_LABEL]: creation },
      ...(verified && { [BINDING_LABEL]: verified.boundBy }),
    },
  });
  try {
    const { ServiceName, ServiceId, Status } = await pai.call(
      'CreateService',
      { query, body: toServiceJson(sized, workspaceId) },
      { signal },
    );
    const created = { ServiceName: ServiceName ?? spec.name, ServiceId, Status: Status ?? 'Creating' };
    return toService(omitUndefined(created));
  } catch (error) {
    if (!isUnknownOutcome(error)) throw error;
    const found = await findCreated(pai, spec.name, creation, signal);
    if (found) return found;
    throw error;
  }
}

/** The specification with what it leaves open, where PAI knows the GPUs of its instance type. */
async function fitToMachine(
  pai: PaiTransport,
  spec: ServiceSpec,
  weightBytes: number,
  folder: FolderView,
  signal: AbortSignal | undefined,
): Promise<ServiceSpec> {
  const machine = spec.instanceType && (await readMachine(pai, spec.instanceType, signal));
  if (!machine || spec.tensorParallelSize !== undefined) return spec;
  const config = JSON.parse(await folder.readText('config.json')) as Record<string, unknown>;
  return { ...suggestServing(weightBytes, config, machine), ...spec };
}

const isUnknownOutcome = (error: unknown): boolean =>
  CptError.isInstance(error) && ['CPT_PAI_TIMEOUT', 'CPT_PAI_UNAVAILABLE'].includes(error.code);

/** The service of a creation whose answer was lost. Names are unique in a region, but the name alone may be another's. */
async function findCreated(
  pai: PaiTransport,
  name: string,
  creation: string,
  signal: AbortSignal | undefined,
): Promise<Service | undefined> {
  const path = { ClusterId: pai.regionId, ServiceName: name };
  const wire = await pai.call('DescribeService', { path }, { signal }).catch((error: unknown) => {
    if (PaiError.isInstance(error) && error.code === 'CPT_PAI_NOT_FOUND') return undefined;
    throw error;
  });
  const labels = wire?.Labels ?? [];
  const isOurs = labels.some(({ LabelKey, LabelValue }) => LabelKey === CREATION_LABEL && LabelValue === creation);
  return wire && isOurs ? toService(wire) : undefined;
}
