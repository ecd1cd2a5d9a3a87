import { buildIndex, INDEX_FILE } from '@pai-cpt/safetensors';
import { checkTensors } from './check-tensors.ts';
import { openMegatronCheckpoint } from './checkpoint.ts';
import { requireFamily, requireUsableOutput, staleFiles } from './convert-checks.ts';
import type { ConversionResult, ConvertOptions } from './convert-options.ts';
import { executePlan, type WrittenFile } from './execute.ts';
import { planHfFiles, readReference, writeHfFiles } from './hf-files.ts';
import { openOutputDirectory, startMeter } from './node.ts';
import { planConversion } from './plan.ts';
import { checkShapes, type ResolvedParameter, resolveParameters } from './resolve.ts';

const DEFAULT_SHARD_BYTES = 5_000_000_000;

/**
 * Converts a dense Megatron checkpoint to a Hugging Face folder. Memory does not grow with the model; nothing is visible under
 * a final name before all of it is written, and the index comes last.
 * @throws the errors of `openMegatronCheckpoint`, MappingError `CPT_MAPPING_NAMES`, FormatError `CPT_FORMAT_RANKS_DIFFER`,
 * `CPT_FORMAT_TIED_COPY`, InvalidInputError `CPT_INPUT_OUTPUT_EXISTS`; `signal.reason` when aborted.
 */
export async function convertCheckpoint(options: ConvertOptions): Promise<ConversionResult> {
  const measure = startMeter();
  const { reference: referencePath, ...given } = options;
  const { source, output: directory, force = false, dryRun = false } = given;
  const reference = referencePath === undefined ? undefined : await readReference(referencePath);
  const checkpoint = await openMegatronCheckpoint(source, { ...given, ...(reference && { reference }) });
  try {
    await requireUsableOutput(directory, [source, checkpoint.directory], force);
    requireFamily(checkpoint);
    const { modelConfig: model, parallel, iteration } = checkpoint;
    const resolution = resolveParameters(checkpoint);
    checkShapes(checkpoint, resolution);
    const plan = planConversion(checkpoint, resolution, options.maxShardBytes ?? DEFAULT_SHARD_BYTES);
    const dtype = (resolution.parameters[0] as ResolvedParameter).parameter.dtype;
    const hfFiles = await planHfFiles(model, dtype, reference, options);
    const cut = checkTensors(plan.checks, checkpoint.readInto);
    const files: WrittenFile[] = [];
    if (!dryRun) {
      const output = await openOutputDirectory(directory);
      try {
        files.push(...(await executePlan(plan.outputShards, { ...output, readInto: checkpoint.readInto }, options)));
        if (files.length > 1) await output.addFile(INDEX_FILE, buildIndex(plan.outputShards));
        await writeHfFiles(hfFiles, output);
        await output.commit([...files.map(({ name }) => name), INDEX_FILE], await staleFiles(directory));
      } finally {
        await output.discard();
      }
    }
    const notes = [...checkpoint.problems, ...hfFiles.patches, ...cut];
    const size = { tensors: plan.tensorCount, bytes: plan.byteLength, files };
    return { ...size, iteration, model, parallel, notes, plan, resumed: false, ...measure() };
  } finally {
    await checkpoint.close();
  }
}
