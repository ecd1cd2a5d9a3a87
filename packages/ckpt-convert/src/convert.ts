import { checkTensors } from './check-tensors.ts';
import { openMegatronCheckpoint } from './checkpoint.ts';
import { chooseTensors } from './choose-tensors.ts';
import { requireFamily, requireUsableOutput } from './convert-checks.ts';
import type { ConversionResult, ConvertOptions } from './convert-options.ts';
import { estimateOutput } from './estimate.ts';
import { planHfFiles, readReference } from './hf-files.ts';
import { startMeter } from './node.ts';
import { type DiskCalls, namingReads } from './output/disk.ts';
import { folderOutput } from './output/folder-output.ts';
import { nodeDisk } from './output/node.ts';
import { writeOutput } from './output/write-output.ts';
import { planConversion } from './plan.ts';
import { checkShapes, type ResolvedParameter } from './resolve.ts';

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
  const { source, output: directory, force = false, resume = false, dryRun = false, part } = given;
  const reference = referencePath === undefined ? undefined : await readReference(referencePath);
  const { vocabSize } = given;
  const open = { ...(reference && { reference }), ...(vocabSize !== undefined && { vocabSize }) };
  const opened = await openMegatronCheckpoint(source, { ...given, ...open });
  try {
    const isFilled = await requireUsableOutput(directory, [source, opened.directory], { force, resume, part });
    requireFamily(opened);
    const { replica, untie } = options;
    const choice = { ...(replica !== undefined && { replica }), ...(untie && { untie }) };
    const { checkpoint, resolution } = chooseTensors(opened, choice);
    const { modelConfig: model, parallel, iteration } = checkpoint;
    checkShapes(checkpoint, resolution);
    const { maxShardBytes = DEFAULT_SHARD_BYTES } = options;
    const plan = planConversion(checkpoint, resolution, maxShardBytes, options);
    const dtype = options.dtype ?? (resolution.parameters[0] as ResolvedParameter).parameter.dtype;
    const hfFiles = await planHfFiles(model, dtype, reference, options);
    const cut = checkTensors(plan.checks, namingReads(disk.reads(checkpoint.readInto)), {
      ...(replica !== undefined && { replica }),
    });
    const { digest = 'sha256', allowCast = false, workers = 1 } = options;
    const cast = { allowCast, ...(options.dtype && { dtype: options.dtype }) };
    const task = { command: 'to-hf', source: checkpoint.directory, open, choice, cast, maxShardBytes } as const;
    const facts = { iteration, family: model.family, vocabSize: model.vocabSize, dtype, maxShardBytes };
    const job = {
      ...folderOutput(plan, task, { workers, digest }),
      ...{ directory, source: checkpoint.directory, readInto: checkpoint.readInto, companions: hfFiles },
      ...{ force, resume, isFilled, ...(part && { part }) },
      facts: { ...facts, ...(digest === 'none' && { digest }) },
    };
    const written = dryRun ? undefined : await writeOutput(job, disk, options);
    const { files = [], resumed = false } = written ?? {};
    const notes = [...checkpoint.problems, ...hfFiles.patches, ...cut];
    const size = { tensors: plan.tensorCount, bytes: plan.byteLength, files };
    const used = measure();
    const more = dryRun
      ? { estimate: estimateOutput(plan.outputShards, { ...used, workers, ...(part && { part }) }) }
      : written?.part && { part: written.part };
    return { ...size, iteration, model, parallel, notes, plan, resumed, ...more, ...used };
  } finally {
    await opened.close();
  }
}
