import { checkTensors } from './check-tensors.ts';
import { openMegatronCheckpoint } from './checkpoint.ts';
import { requireFamily, requireUsableOutput } from './convert-checks.ts';
import type { ConversionResult, ConvertOptions } from './convert-options.ts';
import { planHfFiles, readReference } from './hf-files.ts';
import { startMeter } from './node.ts';
import { type DiskCalls, namingReads } from './output/disk.ts';
import { nodeDisk } from './output/node.ts';
import { writeOutput } from './output/write-output.ts';
import { planConversion } from './plan.ts';
import { checkShapes, type ResolvedParameter, resolveParameters } from './resolve.ts';

const DEFAULT_SHARD_BYTES = 5_000_000_000;

/**
 * Converts a dense Megatron checkpoint to a Hugging Face folder. Memory does not grow with the model; nothing is visible under
 * a final name before all of it is written, and the index comes last. What was finished when it failed stays for `resume`.
 * @throws the errors of `openMegatronCheckpoint`, MappingError `CPT_MAPPING_NAMES`, FormatError `CPT_FORMAT_RANKS_DIFFER`,
 * `CPT_FORMAT_TIED_COPY`, InvalidInputError `CPT_INPUT_OUTPUT_EXISTS`, `CPT_INPUT_LOSSY_CAST`, `CPT_INPUT_RESUME_MISMATCH`, CptError
 * `CPT_INPUT_OUTPUT_LOCKED`, `CPT_DISK_FULL`, `CPT_DISK_FAILED`; `signal.reason` when aborted.
 */
export function convertCheckpoint(options: ConvertOptions): Promise<ConversionResult> {
  return convertOnDisk(options, nodeDisk);
}

/** `convertCheckpoint` on a disk that a test lets fail. */
export async function convertOnDisk(options: ConvertOptions, disk: DiskCalls): Promise<ConversionResult> {
  const measure = startMeter();
  const { reference: referencePath, ...given } = options;
  const { source, output: directory, force = false, resume = false, dryRun = false } = given;
  const reference = referencePath === undefined ? undefined : await readReference(referencePath);
  const checkpoint = await openMegatronCheckpoint(source, { ...given, ...(reference && { reference }) });
  try {
    await requireUsableOutput(directory, [source, checkpoint.directory], { force, resume });
    requireFamily(checkpoint);
    const { modelConfig: model, parallel, iteration } = checkpoint;
    const resolution = resolveParameters(checkpoint);
    checkShapes(checkpoint, resolution);
    const { maxShardBytes = DEFAULT_SHARD_BYTES } = options;
    const plan = planConversion(checkpoint, resolution, maxShardBytes, options);
    const dtype = options.dtype ?? (resolution.parameters[0] as ResolvedParameter).parameter.dtype;
    const hfFiles = await planHfFiles(model, dtype, reference, options);
    const cut = checkTensors(plan.checks, namingReads(disk.reads(checkpoint.readInto)));
    const facts = { iteration, family: model.family, vocabSize: model.vocabSize, dtype, maxShardBytes };
    const job = { directory, plan, hfFiles, readInto: checkpoint.readInto, source: checkpoint.directory, facts };
    const written = dryRun ? undefined : await writeOutput({ ...job, force, resume }, disk, options);
    const { files = [], resumed = false } = written ?? {};
    const notes = [...checkpoint.problems, ...hfFiles.patches, ...cut];
    const size = { tensors: plan.tensorCount, bytes: plan.byteLength, files };
    return { ...size, iteration, model, parallel, notes, plan, resumed, ...measure() };
  } finally {
    await checkpoint.close();
  }
}
