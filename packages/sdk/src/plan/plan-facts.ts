import { type Static, Type } from 'typebox';
import { parseInput } from '../parse-input.ts';

const closed = { additionalProperties: false } as const;
const whole = (minimum: number, description: string) => Type.Optional(Type.Integer({ minimum, description }));
const positive = (description: string) => Type.Optional(Type.Number({ exclusiveMinimum: 0, description }));
const yes = (description: string) => Type.Optional(Type.Boolean({ description }));
const share = (description: string) => Type.Optional(Type.Number({ minimum: 0, maximum: 1, description }));
const name = (description: string) => Type.Optional(Type.String({ minLength: 1, description }));

/**
 * What is known from outside the run specification. Whoever can read it gives it: the SDK reads no files and knows no prices.
 * A check whose facts are missing says less, or names what it assumed.
 */
export const PlanFactsSchema = Type.Object(
  {
    dataset: Type.Optional(
      Type.Object(
        {
          tokens: Type.Integer({ minimum: 0, description: 'Tokens in the .bin file.' }),
          sequences: Type.Integer({ minimum: 0, description: 'Sequences in the .idx file.' }),
          documents: Type.Integer({ minimum: 0, description: 'Documents in the .idx file.' }),
          maxId: Type.Optional(Type.Integer({ minimum: 0, description: 'Largest token id.' })),
          vocabSize: Type.Optional(Type.Integer({ minimum: 1, description: 'Entries of the tokenizer that made it.' })),
          bytes: whole(0, 'Of the .bin file.'),
          fingerprint: name('sha256 of the tokenizer.json that made it.'),
          otherTokenizer: name(
            'Whose ids these are, when they are not those of the model; in the words of who found it.',
          ),
          eodShare: share('Share of the documents read that end with the model’s end of document.'),
          chatShare: share('Share of the documents read that look like questions with answers.'),
          source: Type.String({ description: 'Where these numbers come from.' }),
          decoded: Type.Optional(
            Type.Object(
              {
                fingerprint: name('sha256 of the model’s tokenizer.json.'),
                characters: Type.Integer({ minimum: 0, description: 'Characters of the sample.' }),
                validShare: Type.Number({ minimum: 0, maximum: 1, description: 'Share of them that are valid UTF-8.' }),
                reproducedShare: share('Share of the ids that come back when the text is encoded again.'),
                source: Type.String({ description: 'What was decoded, by which tokenizer.' }),
              },
              { ...closed, description: 'A sample of the dataset, decoded with the model’s own tokenizer.' },
            ),
          ),
        },
        closed,
      ),
    ),
    dataFolder: Type.Optional(
      Type.Object(
        {
          names: Type.Array(Type.String(), { description: 'Names of the files in it.' }),
          source: Type.String({ description: 'Who listed it.' }),
        },
        { ...closed, description: 'The folder that the training dataset is to be in.' },
      ),
    ),
    baseCheckpoint: Type.Optional(
      Type.Object(
        {
          tensorParallelSize: whole(1, 'Division it was saved with.'),
          pipelineParallelSize: whole(1, 'Division it was saved with.'),
          isDistributed: yes('True for torch_dist, which any division loads.'),
          parameters: whole(1, 'Parameters in all, without padding.'),
          layers: whole(1, 'Layers of its model.'),
          hiddenSize: whole(1, 'Hidden size of its model.'),
          ffnHiddenSize: whole(1, 'Hidden size of its feed-forward layers.'),
          heads: whole(1, 'Attention heads of its model.'),
          queryGroups: whole(1, 'Query groups of its model.'),
          paddedVocabSize: whole(1, 'Rows of its embedding table.'),
          dtypes: Type.Optional(Type.Array(Type.String(), { description: 'Dtypes of its parameters, such as BF16.' })),
          problems: Type.Optional(
            Type.Array(Type.String(), { description: 'Why it cannot be loaded as it is: unreadable, names, shapes.' }),
          ),
          source: Type.String({ description: 'Where these numbers come from.' }),
        },
        closed,
      ),
    ),
    storage: Type.Optional(
      Type.Object(
        {
          freeBytes: whole(0, 'Free space where the output goes.'),
          bytesPerSecond: positive('How fast the job reads and writes it.'),
          source: name('Where these numbers come from.'),
        },
        closed,
      ),
    ),
    gpu: Type.Optional(
      Type.Object(
        {
          peakTflops: positive('Dense bf16 peak of one GPU: 312 for A100, 989 for H100.'),
          hoursBetweenFailures: positive('GPU hours between two failures; by default those of two published runs.'),
          source: name('Where these numbers come from.'),
          utilization: Type.Optional(
            Type.Number({ exclusiveMinimum: 0, maximum: 1, description: 'Share of the peak that training reaches.' }),
          ),
        },
        closed,
      ),
    ),
    prices: Type.Optional(
      Type.Object(
        {
          currency: Type.String({ minLength: 1, description: 'Such as CNY.' }),
          perNodeHour: Type.Record(Type.String(), Type.Number({ minimum: 0 }), {
            description: 'Price of a node for an hour, by ecsSpec, quotaId or gpuType.',
          }),
          perGBMonth: Type.Optional(Type.Number({ minimum: 0, description: 'Price of 1 GB stored for a month.' })),
          keepMonths: positive('How long its files are kept; 1 by default.'),
          perGBTransferred: Type.Optional(
            Type.Number({ minimum: 0, description: 'Price of 1 GB that leaves the cloud.' }),
          ),
          most: positive('What the run may cost.'),
          source: name('Whose prices these are.'),
        },
        closed,
      ),
    ),
    launcher: Type.Optional(
      Type.Object(
        {
          savesOptimizer: yes('False for the scripts of Pai-Megatron-Patch as they are: --no-save-optim.'),
          loadsOptimizer: yes('False for them: --no-load-optim, --no-load-rng.'),
          loadsFromOutput: yes('True when --load names the folder of --save once that holds a checkpoint.'),
          restartsByItself: yes('True with AIMaster’s --enable-job-restart.'),
          hangSeconds: positive('AIMaster takes a job without a log line for this long as hanging; 1800 by default.'),
        },
        closed,
      ),
    ),
    platform: Type.Optional(
      Type.Object(
        {
          regionId: name('Where the job runs.'),
          quotaGpus: whole(0, 'GPUs of the quota that are free.'),
          isInstanceListed: yes('False when the region does not list the machine type.'),
          isInstanceAvailable: yes('False when the public pool has none of the machine type now.'),
          instanceGpus: whole(0, 'GPUs of the machine type.'),
          instanceGpuMemoryGiB: whole(0, 'Memory of each of them.'),
          source: name('Where the numbers of quota and machine type come from.'),
          quotaVpcId: name('Network of the quota.'),
          nasVpcId: name('Network that the NAS is mounted in.'),
          datasets: Type.Optional(
            Type.Array(
              Type.Object(
                {
                  datasetId: Type.String({ minLength: 1 }),
                  uri: Type.String({ description: 'Where it lies.' }),
                  sourceType: name('PAI’s kind of storage, such as NAS.'),
                },
                closed,
              ),
              { description: 'Where the datasets lie that the run names by id.' },
            ),
          ),
          torchVersion: name('Of the image, such as 2.10.0.'),
          isOutputWritable: yes('Whether the job may write to the output folder.'),
        },
        closed,
      ),
    ),
  },
  { ...closed, title: 'PlanFacts' },
);
/** See `PlanFactsSchema`. */
export type PlanFacts = Static<typeof PlanFactsSchema>;

/**
 * The facts that `value` holds.
 * @throws InvalidInputError `CPT_INPUT_INVALID`, as `parseRunSpec` does.
 */
export function parsePlanFacts(value: unknown): PlanFacts {
  return parseInput(PlanFactsSchema, value, 'plan facts');
}
