import type { Finding } from '../schemas.ts';
import { grouped } from './format.ts';
import type { PlanInput } from './plan-input.ts';

/** The launch scripts divide the dataset 99, 1, 0 into training, validation and test. */
export const TRAIN_SHARE = 0.99;

/** Passes over the training part of the dataset; `undefined` when the dataset is not known or empty. */
export function epochsOf({ steps, facts }: PlanInput): number | undefined {
  if (!facts.dataset || facts.dataset.tokens === 0) return undefined;
  return (steps.iterations * steps.tokensPerIteration) / (facts.dataset.tokens * TRAIN_SHARE);
}

/** P6: the data is there, mounted, and not repeated too often. */
export function checkData(input: PlanInput): Finding[] {
  const { spec, steps, facts } = input;
  const findings = [...checkMounted(input), ...checkFiles(input)];
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

/** The two files are where the launch script looks for them, by their names. */
function checkFiles({ spec, facts }: PlanInput): Finding[] {
  const { names, source } = facts.dataFolder ?? {};
  if (!names) return [];
  const name = spec.data.train.split('/').at(-1) ?? '';
  const missing = ['.bin', '.idx'].filter((suffix) => !names.includes(`${name}${suffix}`));
  if (missing.length === 0) return [];
  const other = names.find((file) => file.endsWith('.bin') && names.includes(file.replace(/bin$/, 'idx')));
  const pair = other?.replace(/\.bin$/, '');
  const advice =
    pair === undefined
      ? 'build the dataset there: cpt-mmap build'
      : `rename ${pair}.bin and ${pair}.idx, or set data.train to the prefix that ends in ${pair} (QuickStart takes only "dataset")`;
  const message = `${missing.map((suffix) => `${name}${suffix}`).join(' and ')} ${missing.length > 1 ? 'are' : 'is'} not there (${source})`;
  return [{ check: 'P6', level: 'block', message, numbers: { missing: missing.length }, advice }];
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
