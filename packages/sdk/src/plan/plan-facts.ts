import { type Static, Type } from 'typebox';

const closed = { additionalProperties: false } as const;
const whole = (minimum: number, description: string) => Type.Optional(Type.Integer({ minimum, description }));
const positive = (description: string) => Type.Optional(Type.Number({ exclusiveMinimum: 0, description }));
const yes = (description: string) => Type.Optional(Type.Boolean({ description }));
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
          source: Type.String({ description: 'Where these numbers come from.' }),
        },
        closed,
      ),
    ),
    baseCheckpoint: Type.Optional(
      Type.Object(
        {
          tensorParallelSize: whole(1, 'Division it was saved with.'),
          pipelineParallelSize: whole(1, 'Division it was saved with.'),
          isDistributed: yes('True for torch_dist, which any division loads.'),
          parameters: whole(1, 'Parameters in all, without padding.'),
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
        },
        closed,
      ),
    ),
    gpu: Type.Optional(
      Type.Object(
        {
          peakTflops: positive('Dense bf16 peak of one GPU: 312 for A100, 989 for H100.'),
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
          most: positive('What the run may cost.'),
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
