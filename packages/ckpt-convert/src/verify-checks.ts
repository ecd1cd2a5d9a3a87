import type { Shape } from '@pai-cpt/core';
import type { SafetensorsDirectory } from '@pai-cpt/safetensors';
import { checkTensors } from './check-tensors.ts';
import type { MegatronCheckpoint } from './checkpoint.ts';
import { FAMILIES, isFamilyName } from './families/index.ts';
import { type HfConfig, numberArg, ropeThetaOf } from './model-config.ts';
import type { PlannedCheck } from './plan.ts';
import { expectedRows, outputsOf } from './resolve.ts';
import { describeRopeScaling, ropeScalingOfConfig } from './rope-scaling.ts';

export interface Outcome {
  readonly ok: boolean;
  readonly detail: string;
}

/** Most faults that one detail lists. */
const LISTED = 10;

/** `found` when there are no faults, else how many there are and the first of them. */
export function outcomeOf(faults: readonly string[], found: string): Outcome {
  if (faults.length === 0) return { ok: true, detail: found };
  const more = faults.length > LISTED ? `; and ${faults.length - LISTED} more` : '';
  return { ok: false, detail: `${faults.length} faults: ${faults.slice(0, LISTED).join('; ')}${more}` };
}

/** The output has exactly the tensors of its family, in the shapes of the checkpoint's model. */
export function checkNames(hf: SafetensorsDirectory, config: HfConfig, checkpoint: MegatronCheckpoint): Outcome {
  const name = config.model_type;
  if (!isFamilyName(name) || !checkpoint.families.includes(name)) {
    const fitting = checkpoint.families.join(' or ');
    return { ok: false, detail: `model_type is ${JSON.stringify(name)}, the checkpoint holds ${fitting}` };
  }
  const model = { ...checkpoint.modelConfig, family: name, vocabSize: Number(config.vocab_size) };
  const expected = new Map<string, Shape>();
  for (const { mapping, layer } of expectedRows(FAMILIES[name], model)) {
    for (const { hfName, shape } of outputsOf(mapping, layer, model)) expected.set(hfName, shape);
  }
  const faults: string[] = [];
  for (const [hfName, shape] of expected) {
    const found = hf.tensors.get(hfName);
    if (!found) faults.push(`"${hfName}" is missing`);
    else if (found.shape.join() !== shape.join()) {
      faults.push(`"${hfName}" is [${found.shape.join(', ')}], [${shape.join(', ')}] is needed`);
    }
  }
  for (const hfName of hf.tensors.keys()) if (!expected.has(hfName)) faults.push(`"${hfName}" is not of ${name}`);
  return outcomeOf(faults, `${expected.size} tensors of ${name} with ${model.layers} layers`);
}

/** config.json describes the model that the checkpoint describes. */
export function checkConfig(config: HfConfig, checkpoint: MegatronCheckpoint): Outcome {
  const { modelConfig: model, paddedVocabSize } = checkpoint;
  const heads = config.num_attention_heads;
  const headDim = config.head_dim ?? Number(config.hidden_size) / Number(heads);
  const rows = [
    ['num_hidden_layers', config.num_hidden_layers, model.layers],
    ['hidden_size', config.hidden_size, model.hiddenSize],
    ['intermediate_size', config.intermediate_size, model.ffnHiddenSize],
    ['num_attention_heads', heads, model.heads],
    ['num_key_value_heads', config.num_key_value_heads ?? heads, model.queryGroups],
    ['head_dim', headDim, model.headDim],
    ['tie_word_embeddings', config.tie_word_embeddings, model.isTied],
  ] as const;
  const faults = rows
    .filter(([, claimed, found]) => claimed !== found)
    .map(([name, claimed, found]) => `${name} is ${claimed}, the checkpoint has ${found}`);
  const vocabSize = config.vocab_size;
  if (typeof vocabSize !== 'number' || vocabSize > paddedVocabSize) {
    faults.push(`vocab_size is ${vocabSize}, the checkpoint has ${paddedVocabSize} rows`);
  }
  const trained = numberArg(checkpoint.args, 'vocab_size');
  if (trained !== undefined && Number(vocabSize) < trained) {
    faults.push(`vocab_size is ${vocabSize}, args.vocab_size ${trained}: rows of tokens are missing`);
  }
  const kept = `config.json agrees with the checkpoint; ${vocabSize} of ${paddedVocabSize} rows kept`;
  return outcomeOf(faults, [kept, ...constantsOf(config, checkpoint)].join('; '));
}

/** Constants that no tensor can settle: launchers pass other ones than the model was made with, so they are told, not judged. */
function constantsOf(config: HfConfig, { modelConfig }: MegatronCheckpoint): string[] {
  const rows = [
    ['rms_norm_eps', config.rms_norm_eps, modelConfig.normEpsilon],
    ['rope_theta', ropeThetaOf(config), modelConfig.ropeTheta],
    ['rope_scaling', scalingOf(config), describeRopeScaling(modelConfig.ropeScaling)],
  ] as const;
  return rows
    .filter(([, written, trained]) => written !== trained)
    .map(([name, written, trained]) => `${name} is ${written}, the checkpoint was trained with ${trained}`);
}

function scalingOf(config: HfConfig): string {
  const { kind, scaling } = ropeScalingOfConfig(config);
  return scaling || kind === 'default' ? describeRopeScaling(scaling) : kind;
}

/** Norms are equal on all ranks, and a tied model's output table equals its embedding. */
export function checkRanks(checkpoint: MegatronCheckpoint): Outcome {
  const parameters = checkpoint.parameters();
  const norms = parameters.filter(({ megatronName }) => /layer_?norm/.test(megatronName));
  const checks: PlannedCheck[] = norms.map((parameter) => ({ kind: 'replicas', parameter }));
  const find = (name: string) => parameters.find(({ megatronName }) => megatronName === name);
  const [parameter, embedding] = [find('output_layer.weight'), find('embedding.word_embeddings.weight')];
  const isCopy = checkpoint.modelConfig.isTied && parameter !== undefined && embedding !== undefined;
  if (isCopy) checks.push({ kind: 'tiedCopy', parameter, embedding });
  checkTensors(checks, checkpoint.readInto);
  const { tensorParallelSize } = checkpoint.parallel;
  return outcomeOf(
    [],
    `${norms.length} norms equal on ${tensorParallelSize} tensor ranks${isCopy ? ', and the tied copy' : ''}`,
  );
}

/** All rank files against the checksums that torch stored. */
export async function checkSums(checkpoint: MegatronCheckpoint, signal: AbortSignal | undefined): Promise<Outcome> {
  const files = await checkpoint.verifyChecksums(signal);
  return outcomeOf([], `${files} rank files agree with their own checksums`);
}
