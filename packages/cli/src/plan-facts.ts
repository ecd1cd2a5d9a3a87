import { type CptRunSpec, type PlanFacts, parsePlanFacts } from '@pai-cpt/sdk';
import type { Command } from 'commander';
import { checkpointFacts } from './checkpoint-facts.ts';
import { type ConnectOptions, connect } from './connect.ts';
import { datasetFacts } from './dataset-facts.ts';
import { printAside, probeFolder, readJsonFile } from './node.ts';

/** What the caller can tell a plan beside the specification. */
export interface FactOptions extends ConnectOptions {
  facts?: string;
  dataset?: string;
  tokenizer?: string;
  base?: string;
  output?: string;
  ask?: boolean;
}

/** Adds the options that bring facts to a plan. */
export function withFacts(command: Command): Command {
  return command
    .option('--dataset <prefix>', 'the training dataset as this machine sees it: counts its tokens, looks at its ids')
    .option('--tokenizer <file>', 'with --dataset, the model’s tokenizer.json: decodes a sample')
    .option('--base <folder>', 'the base checkpoint as this machine sees it: reads its headers')
    .option('--output <folder>', 'the output folder as this machine sees it: free space, and whether it can be written')
    .option(
      '--facts <file>',
      'other facts (JSON): prices, speed of the storage, peak of the GPU, flags of the launcher',
    )
    .option('--ask', 'ask PAI, too: free GPUs of the quota, size and stock of the machine type, places of datasets');
}

/** Everything that the options tell; what PAI does not say is told beside and costs no plan. */
export async function factsOf(options: FactOptions, spec: CptRunSpec): Promise<PlanFacts> {
  const { dataset, tokenizer, base, output, facts: file } = options;
  const given: PlanFacts = file === undefined ? {} : parsePlanFacts(await readJsonFile(file));
  const known: PlanFacts = {
    ...given,
    ...(dataset !== undefined && (await datasetFacts(dataset, { model: spec.model, ...(tokenizer && { tokenizer }) }))),
    ...(base !== undefined && { baseCheckpoint: await checkpointFacts(base) }),
    ...(output !== undefined && (await outputFacts(output, given))),
  };
  if (!options.ask) return known;
  const { facts, unreached } = await connect(options).gatherFacts(spec, known);
  for (const why of unreached) printAside(`not known: ${why}`);
  return facts;
}

async function outputFacts(folder: string, given: PlanFacts): Promise<Pick<PlanFacts, 'storage' | 'platform'>> {
  const { freeBytes, isWritable } = await probeFolder(folder);
  return {
    storage: { ...given.storage, freeBytes, source: `statfs of ${folder}` },
    platform: { ...given.platform, isOutputWritable: isWritable },
  };
}
