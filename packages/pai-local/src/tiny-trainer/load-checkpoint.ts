import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { convertCheckpoint } from '@pai-cpt/ckpt-convert';
import { castDtype, elementCount, FormatError } from '@pai-cpt/core';
import type { Trainer } from '@pai-cpt/model-runner';
import { openSafetensorsDirectory } from '@pai-cpt/safetensors';
import { loadedLine, loadingLine, noCheckpointLines } from './log-lines.ts';

/** Named by the tracker file: the checkpoint that a loader takes. */
const TRACKER_FILE = 'latest_checkpointed_iteration.txt';

/**
 * Reads the weights that `--load` names into the trainer and gives the iteration to go on from: that of the checkpoint, 0 for
 * a `release`, as Megatron does with --no-load-optim. A folder without a checkpoint gives the two lines by which Megatron says
 * that it starts from random values; no `--load` gives none.
 * @throws FormatError `CPT_FORMAT_RANKS_DIFFER` for a checkpoint of another model, and what `convertCheckpoint` throws.
 */
export async function loadCheckpoint(
  loadDirectory: string | undefined,
  { parameters, vocabSize }: { parameters: Trainer['parameters']; vocabSize: number },
  print: (line: string) => void,
): Promise<number> {
  if (loadDirectory === undefined) return 0;
  const tracker = join(loadDirectory, TRACKER_FILE);
  if (!existsSync(tracker)) {
    for (const line of noCheckpointLines(tracker)) print(line);
    return 0;
  }
  const folder = await mkdtemp(join(tmpdir(), 'tiny-trainer-load-'));
  try {
    // The converter is the reader of rank files: whatever division they have, it gives whole tensors.
    const output = join(folder, 'hf');
    const { iteration, parallel } = await convertCheckpoint({ source: loadDirectory, output, vocabSize });
    print(loadingLine(iteration, loadDirectory));
    await readInto(parameters, output, loadDirectory);
    print(loadedLine(iteration, loadDirectory, parallel));
    return iteration;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function readInto(parameters: Trainer['parameters'], folder: string, source: string): Promise<void> {
  const opened = await openSafetensorsDirectory(folder);
  try {
    for (const [name, { shape, data }] of parameters) {
      const found = opened.tensors.get(name);
      if (found?.shape.join() !== shape.join()) {
        const is = found ? `[${found.shape.join(', ')}]` : 'not there';
        const message = `${source}: "${name}" is ${is}; this model needs [${shape.join(', ')}]: load a checkpoint of the same model`;
        throw new FormatError('CPT_FORMAT_RANKS_DIFFER', message, { file: source });
      }
      const tensor = opened.tensorSource(name);
      const bytes = castDtype(await tensor.read(0, tensor.byteLength), found.dtype, 'F32');
      const values = new Float32Array(bytes.slice().buffer, 0, elementCount(shape));
      data.set(values);
    }
  } finally {
    await opened.close();
  }
}
