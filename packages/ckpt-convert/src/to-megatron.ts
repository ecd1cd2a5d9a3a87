import { requireUsableOutput } from './convert-checks.ts';
import { planHfFiles } from './hf-files.ts';
import { openHfModel } from './hf-model.ts';
import { startMeter } from './node.ts';
import { type GridOptions, type RankFilesResult, writeCheckpoint } from './rank-files/write-checkpoint.ts';

export interface ToMegatronOptions extends GridOptions {
  /** A Hugging Face folder: config.json and safetensors. */
  readonly source: string;
  /** Default `release`, as for weights that no Megatron run has trained. */
  readonly iteration?: number | 'release';
}

/**
 * Writes a Hugging Face folder as Megatron rank files for a grid, with its config.json and tokenizer in the checkpoint's root.
 * Memory does not grow with the model.
 * @throws the errors of `openHfModel`, InvalidInputError `CPT_CONFIG_MODEL` for a grid that does not divide the model,
 * `CPT_INPUT_LOSSY_CAST`, `CPT_INPUT_OUTPUT_EXISTS`; `signal.reason` when aborted.
 */
export async function convertToMegatron(options: ToMegatronOptions): Promise<RankFilesResult> {
  const measure = startMeter();
  const { source, output, iteration = 'release', spec = 'te', force = false } = options;
  const { model, config, parameters, pool, notes } = await openHfModel(source, options.vocabSize);
  try {
    await requireUsableOutput(output, [source], { force, resume: false });
    const { patches, ...result } = await writeCheckpoint(
      {
        model,
        iteration,
        spec,
        parameters,
        readInto: pool.readInto,
        args: {},
        companions: (dtype) => planHfFiles(model, dtype, config, { reference: source }),
      },
      options,
    );
    return { ...result, notes: [...notes, ...patches], ...measure() };
  } finally {
    await pool.close();
  }
}
