import { join } from 'node:path';
import { CptError, InvalidInputError } from '@pai-cpt/core';
import { type MegatronCheckpoint, openMegatronCheckpoint } from './checkpoint.ts';
import { readReference } from './hf-files.ts';
import { openHfModel } from './hf-model.ts';
import type { IterationChoice } from './locate-checkpoint.ts';
import { pathExists } from './node.ts';
import { isHfFolder } from './open-tensors.ts';
import { requireFinished } from './output/output-directory.ts';
import { checkShapes, resolveParameters } from './resolve.ts';
import { failedByError, type VerifyCheck, type VerifyReport } from './verify.ts';
import { checkRanks, checkSums, type Outcome } from './verify-checks.ts';

export interface VerifyAloneOptions {
  /** Of a Megatron checkpoint. */
  readonly iteration?: IterationChoice;
  readonly signal?: AbortSignal;
}

/**
 * Checks what a checkpoint can be wrong in by itself: of a Hugging Face folder index, headers, names, shapes and config.json; of a
 * Megatron checkpoint the checksums of its files, names, shapes, and equality of the ranks. A check that fails is in the report.
 * @throws the errors of `openMegatronCheckpoint`; `CPT_INPUT_FILE_MISSING` for an output that is not finished.
 */
export async function verifyAlone(path: string, options: VerifyAloneOptions = {}): Promise<VerifyReport> {
  const checks = (await isHfFolder(path)) ? await checkHf(path) : await checkMegatron(path, options);
  return { ok: checks.every(({ ok }) => ok), checks };
}

/** Which of two is the Hugging Face folder. @throws InvalidInputError `CPT_INPUT_INVALID` when both are, or none. */
export async function orderSides(path: string, other: string): Promise<{ hf: string; against: string }> {
  const [isHf, isOtherHf] = await Promise.all([isHfFolder(path), isHfFolder(other)]);
  if (isHf && !isOtherHf) return { hf: path, against: other };
  if (!isHf && isOtherHf) return { hf: other, against: path };
  requireFinished(path);
  const what = isHf ? 'are both Hugging Face folders' : 'are both no Hugging Face folder';
  const why = `${path} and ${other} ${what}; compare two of a kind with ckpt-convert diff`;
  throw new InvalidInputError('CPT_INPUT_INVALID', why, { field: 'against' });
}

async function checkHf(path: string): Promise<VerifyCheck[]> {
  requireFinished(path);
  const names = await failedByError(async () => {
    const { model, parameters, pool } = await openHfModel(path);
    await pool.close();
    const detail = `${parameters.size} parameters of ${model.family} with ${model.layers} layers; config.json, index and headers agree`;
    return { ok: true, detail };
  });
  return [{ name: 'names', ...names }];
}

async function checkMegatron(path: string, options: VerifyAloneOptions): Promise<VerifyCheck[]> {
  const checkpoint = await openDescribed(path, options);
  try {
    const checks: VerifyCheck[] = [];
    const check = async (name: VerifyCheck['name'], judge: () => Promise<Outcome> | Outcome) => {
      options.signal?.throwIfAborted();
      checks.push({ name, ...(await failedByError(judge)) });
    };
    await check('checksums', () => checkSums(checkpoint, options.signal));
    await check('names', () => {
      checkShapes(checkpoint, resolveParameters(checkpoint));
      const { layers } = checkpoint.modelConfig;
      const detail = `${checkpoint.parameters().length} parameters of ${checkpoint.families.join(' or ')} with ${layers} layers`;
      return { ok: true, detail };
    });
    await check('ranks', () => checkRanks(checkpoint));
    return checks;
  } finally {
    await checkpoint.close();
  }
}

/** As its files describe it; by the config.json of its root where they do not. */
async function openDescribed(path: string, options: VerifyAloneOptions): Promise<MegatronCheckpoint> {
  try {
    return await openMegatronCheckpoint(path, options);
  } catch (error) {
    if (CptError.isInstance(error) && error.code === 'CPT_INPUT_CHECKPOINT_MISSING') requireFinished(path);
    const isUndescribed = CptError.isInstance(error) && error.code === 'CPT_CONFIG_MODEL';
    if (!isUndescribed || !(await pathExists(join(path, 'config.json')))) throw error;
    return openMegatronCheckpoint(path, { ...options, reference: await readReference(path) });
  }
}
