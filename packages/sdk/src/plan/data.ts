import type { Finding } from '../schemas.ts';
import { grouped } from './format.ts';
import type { PlanInput } from './plan-input.ts';

/** The launch scripts divide the dataset 99, 1, 0 into training, validation and test. */
export const TRAIN_SHARE = 0.99;

/** Qwen's tokenizers have 151,643 tokens before the added ones. A dataset with fewer was made by another tokenizer. */
const QWEN_BASE_VOCABULARY = 151_643;

/** Passes over the training part of the dataset; `undefined` when the dataset is not known or empty. */
export function epochsOf({ steps, facts }: PlanInput): number | undefined {
  if (!facts.dataset || facts.dataset.tokens === 0) return undefined;
  return (steps.iterations * steps.tokensPerIteration) / (facts.dataset.tokens * TRAIN_SHARE);
}

/** P6: the data is there, mounted, and not repeated too often. */
export function checkData(input: PlanInput): Finding[] {
  const { spec, steps, facts } = input;
  const findings = checkMounted(input);
  if (!facts.dataset) {
    return [
      ...findings,
      {
        check: 'P6',
        level: 'info',
        message: `the tokens of ${spec.data.train} were not counted here`,
        numbers: {},
        advice: 'plan with the dataset at hand to see epochs and token ids',
      },
    ];
  }
  const { tokens: have, documents, source } = facts.dataset;
  const need = steps.iterations * steps.tokensPerIteration;
  const epochs = epochsOf(input);
  if (epochs === undefined) {
    return [...findings, { check: 'P6', level: 'block', message: `${source} holds no token`, numbers: { have } }];
  }
  const isRepeated = epochs > 1;
  findings.push({
    check: 'P6',
    level: isRepeated ? 'warn' : 'info',
    message: `${grouped(need)} tokens needed / (${grouped(have)} in ${source} × ${TRAIN_SHARE} for training) = ${epochs.toFixed(2)} epochs over ${grouped(documents)} documents`,
    numbers: { need, have, trainShare: TRAIN_SHARE, epochs, documents },
    ...(isRepeated ? { advice: 'add data or lower train_tokens: text seen again teaches less and is memorised' } : {}),
  });
  return findings;
}

function checkMounted({ spec }: PlanInput): Finding[] {
  const mounts = [...spec.dataSources, spec.output].map(({ mountPath }) => `${mountPath.replace(/\/$/, '')}/`);
  const paths = { train: spec.data.train, validation: spec.data.validation, baseCheckpoint: spec.baseCheckpoint };
  return Object.entries(paths)
    .filter(([, path]) => path !== undefined && !mounts.some((mount) => path.startsWith(mount)))
    .map(([name, path]) => ({
      check: 'P6',
      level: 'warn' as const,
      message: `${name} ${path} lies under none of the mount paths ${mounts.map((mount) => mount.slice(0, -1)).join(', ')}`,
      numbers: {},
      advice: 'mount the folder that holds it, unless the image does',
    }));
}

/** P7: every token id has a row in the embedding table, and the tokenizer is the model's. */
export function checkVocabulary({ spec, model, facts }: PlanInput): Finding[] {
  const { maxId, vocabSize, source } = facts.dataset ?? {};
  const rows = model.vocabSize ?? vocabSize;
  const findings: Finding[] = [];
  if (maxId !== undefined && rows !== undefined) {
    const isInside = maxId < rows;
    findings.push({
      check: 'P7',
      level: isInside ? 'info' : 'block',
      message: `largest token id ${grouped(maxId)} ${isInside ? '<' : '≥'} ${grouped(rows)} rows of the embedding table of ${spec.model}`,
      numbers: { maxId, vocabSize: rows },
      ...(isInside
        ? {}
        : { advice: 'tokenise again with the model’s own tokenizer; with TP > 1 Megatron would not stop' }),
    });
  }
  if (vocabSize !== undefined && model.vocabSize !== undefined && vocabSize < QWEN_BASE_VOCABULARY) {
    const name = vocabSize === 128_256 ? ', as many as Llama-3’s' : '';
    findings.push({
      check: 'P7',
      level: 'block',
      message: `the tokenizer of ${source} has ${grouped(vocabSize)} entries${name}; that of ${spec.model} has ${grouped(QWEN_BASE_VOCABULARY)} and more: the ids are in range but mean other text, and the run would train on noise`,
      numbers: { vocabSize, expected: QWEN_BASE_VOCABULARY },
      advice: 'tokenise again with the model’s own tokenizer',
    });
  }
  return findings;
}
