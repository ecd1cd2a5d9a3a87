import { requireUsableOutput } from './convert-checks.ts';
import { planHfFiles } from './hf-files.ts';
import { type HfModel, openHfModel } from './hf-model.ts';
import { startMeter } from './node.ts';
import type { DiskCalls } from './output/disk.ts';
import { nodeDisk } from './output/node.ts';
import {
  type CheckpointContent,
  type GridOptions,
  type RankFilesResult,
  withoutCallbacks,
  writeCheckpoint,
} from './rank-files/write-checkpoint.ts';

export interface ToMegatronOptions extends GridOptions {
  /** A Hugging Face folder: config.json and safetensors. */
  readonly source: string;
  /** Default `release`, as for weights that no Megatron run has trained. */
  readonly iteration?: number | 'release';
  /** Writes the head of a tied model as a table of its own, with the embedding's values. */
  readonly untie?: boolean;
}

/**
 * Writes a Hugging Face folder as Megatron rank files for a grid, with its config.json and tokenizer in the checkpoint's root.
 * Memory does not grow with the model.
 * @throws the errors of `openHfModel`, InvalidInputError `CPT_CONFIG_MODEL` for a grid that does not divide the model,
 * `CPT_INPUT_LOSSY_CAST`, `CPT_INPUT_OUTPUT_EXISTS`, `CPT_INPUT_RESUME_MISMATCH`, CptError `CPT_INPUT_OUTPUT_LOCKED`, `CPT_DISK_FULL`,
 * `CPT_DISK_FAILED`; `signal.reason` when aborted. What was finished then stays for `resume`.
 */
export function convertToMegatron(options: ToMegatronOptions): Promise<RankFilesResult> {
  return convertToMegatronOnDisk(options, nodeDisk);
}

/** `convertToMegatron` on a disk that a test lets fail. */
export async function convertToMegatronOnDisk(options: ToMegatronOptions, disk: DiskCalls): Promise<RankFilesResult> {
  const measure = startMeter();
  const { source, output, force = false, resume = false, part } = options;
  const { content, notes, close } = await openHfSource(options);
  try {
    const isFilled = await requireUsableOutput(output, [source], { force, resume, part });
    const task = { command: 'to-megatron', source, options: withoutCallbacks(options) } as const;
    const { patches, ...result } = await writeCheckpoint(content, task, { ...options, isFilled }, disk);
    return { ...result, notes: [...notes, ...patches], ...measure() };
  } finally {
    await close();
  }
}

/** Opens the folder for `planCheckpoint`. @throws the errors of `openHfModel`. */
export async function openHfSource(options: ToMegatronOptions) {
  const { source, iteration = 'release', spec = 'te' } = options;
  const { pool, notes, config, ...opened } = await openHfModel(source, options.vocabSize);
  const { model, parameters } = options.untie ? untied(opened) : opened;
  const content: CheckpointContent = {
    ...{ model, iteration, spec, parameters, source },
    readInto: pool.readInto,
    facts: { family: model.family, vocabSize: model.vocabSize },
    args: {},
    companions: (dtype) => planHfFiles(model, dtype, config, { reference: source }),
  };
  return { content, notes, close: () => pool.close() };
}

function untied<T extends Pick<HfModel, 'model' | 'parameters'>>(opened: T): T {
  const embedding = opened.parameters.get('embedding.word_embeddings.weight');
  if (!opened.model.isTied || !embedding) return opened;
  const parameters = new Map(opened.parameters).set('output_layer.weight', embedding);
  return { ...opened, model: { ...opened.model, isTied: false }, parameters };
}
