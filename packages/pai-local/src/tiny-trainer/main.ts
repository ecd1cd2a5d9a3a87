import { createHash } from 'node:crypto';
import { InvalidInputError } from '@pai-cpt/core';
import { runCli } from '@pai-cpt/core/node';
import { openDataset, readSidecar, type Sidecar } from '@pai-cpt/mmap';
import { createTrainer, type Trainer } from '@pai-cpt/model-runner';
import { joinReplicaGroup, type ReplicaGroup } from './all-reduce.ts';
import { saveCheckpoint } from './checkpoint.ts';
import { loadCheckpoint } from './load-checkpoint.ts';
import {
  accumulationSteps,
  type Placement,
  parsePlacement,
  parseTrainerOptions,
  type TrainerOptions,
} from './options.ts';
import { openSamples, shuffledOrder } from './samples.ts';
import { type TrainingRun, train } from './train.ts';

/** What a shell reports of a process that SIGTERM ended. */
const STOPPED_EXIT_CODE = 143;

await runCli(async () => {
  const options = parseTrainerOptions(process.argv.slice(2));
  const placement = parsePlacement(process.env);
  accumulationSteps(options, placement.worldSize);
  return runReplica(options, placement);
});

/** One pod's replica: trains, together with the others, and gives the exit code. */
async function runReplica(options: TrainerOptions, placement: Placement): Promise<number> {
  // As in Megatron: losses come from the last rank, which has them; loading, saving and the clock from the first.
  const printOn = (rank: number) => (line: string) => {
    if (placement.rank === rank) process.stdout.write(`${line}\n`);
  };
  const printFirst = printOn(0);
  const printLast = printOn(placement.worldSize - 1);
  const facts = await datasetFacts(options.dataPath);
  const dataset = await openDataset(options.dataPath);
  const validDataset = options.validDataPath ? await openDataset(options.validDataPath) : undefined;
  const { vocabSize } = facts.tokenizer;
  const trainer = await openTrainer(options, vocabSize);
  try {
    const source = { parameters: trainer.parameters, vocabSize };
    const startIteration = await loadCheckpoint(options.loadDirectory, source, printFirst);
    const samples = openSamples(dataset, options.sequenceLength);
    const validation = validDataset && openSamples(validDataset, options.sequenceLength);
    const timeoutMs = options.distributedTimeoutMs;
    const group = await joinReplicaGroup({ ...placement, fingerprint: fingerprint(options, facts), timeoutMs });
    const prints = { printFirst, printLast };
    return await trainTogether(group, { options, trainer, startIteration, samples, validation, vocabSize, ...prints });
  } finally {
    await trainer.close();
    await dataset.close();
    await validDataset?.close();
  }
}

type Replica = Pick<
  TrainingRun,
  'options' | 'trainer' | 'startIteration' | 'samples' | 'validation' | 'printFirst' | 'printLast'
> & {
  vocabSize: number;
};

/** Trains until the end, SIGTERM or an error, of which the other replicas are told. */
async function trainTogether(group: ReplicaGroup, replica: Replica): Promise<number> {
  const { options, trainer, samples, vocabSize, printFirst } = replica;
  const { saveDirectory: directory, seed } = options;
  const target = directory && {
    directory,
    options,
    vocabSize,
    group,
    parameters: trainer.parameters,
    print: printFirst,
  };
  let isStopRequested = false;
  process.on('SIGTERM', () => {
    isStopRequested = true;
  });
  try {
    const outcome = await train({
      ...replica,
      group,
      order: shuffledOrder(samples.count, seed),
      save: async (iteration) => {
        if (target) await saveCheckpoint(target, iteration);
      },
      isStopRequested: () => isStopRequested,
    });
    await group.leave();
    return outcome === 'stopped' ? STOPPED_EXIT_CODE : 0;
  } catch (error) {
    await group.leave(error as Error);
    throw error;
  }
}

/** What `cpt-mmap build` wrote down beside the dataset; the tokens alone do not tell how many ids there are. */
async function datasetFacts(prefix: string): Promise<Sidecar> {
  const file = `${prefix}.json`;
  const facts = await readSidecar(prefix);
  if (!facts) {
    const message = `${file}: does not exist; cpt-mmap build writes it beside ${prefix}.bin, copy all three files`;
    throw new InvalidInputError('CPT_INPUT_FILE_MISSING', message, { file });
  }
  const { vocabSize } = facts.tokenizer;
  if (facts.maxId < vocabSize) return facts;
  throw new InvalidInputError(
    'CPT_INPUT_TOKEN_RANGE',
    `${file}: the largest token id is ${facts.maxId}, the tokenizer has ${vocabSize} ids; build the dataset with the model's tokenizer`,
    { file },
  );
}

async function openTrainer(options: TrainerOptions, vocabSize: number): Promise<Trainer> {
  const { layers, hiddenSize, ffnHiddenSize, heads, queryGroups, headDim } = options;
  const { normEpsilon, ropeTheta, isTied, hasQkvBias } = options;
  const { microBatchSize, sequenceLength, seed, weightDecay, betas, clipGrad, initStd } = options;
  const sizes = { layers, hiddenSize, ffnHiddenSize, heads, queryGroups, headDim, vocabSize };
  return createTrainer({
    shape: { ...sizes, normEpsilon, ropeTheta, isTied, hasQkvBias },
    ...{ microBatchSize, sequenceLength, seed, weightDecay, betas, clipGrad, initStd },
    threads: 1,
  });
}

/** Equal for replicas of one run only: the options and the data. */
function fingerprint(options: TrainerOptions, facts: Sidecar): string {
  return createHash('sha256')
    .update(JSON.stringify([options, facts.sha256]))
    .digest('hex');
}
