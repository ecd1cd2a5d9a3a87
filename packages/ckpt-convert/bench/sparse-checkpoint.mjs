/** Rank files of a real size whose tensors are holes: all names, shapes and checksums, and no room on the disk. */
import { closeSync, ftruncateSync, linkSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { orderedDict, TorchFileWriter, tensorDeclaration } from '@pai-cpt/torch-checkpoint';
import { FAMILIES } from '../dist/families/index.js';
import { parametersOfHf } from '../dist/global-parameters.js';
import { argsOf } from '../dist/megatron-args.js';
import { planRankFile } from '../dist/rank-plan.js';
import { expectedRows, outputsOf } from '../dist/resolve.js';
import { commitCheckpoint, paddedVocabSize, rankFileHead, rankFilePath, VOCAB_MULTIPLE } from '../dist/write-torch.js';

const zeros = new Uint8Array(1 << 20);

/** Writes one file; what is zero is skipped. */
async function writeWithHoles(path, root) {
  mkdirSync(dirname(path), { recursive: true });
  const fd = openSync(path, 'w');
  let position = 0;
  const sink = {
    async write(bytes) {
      if (bytes.buffer !== zeros.buffer) writeSync(fd, bytes, 0, bytes.byteLength, position);
      position += bytes.byteLength;
    },
  };
  const writer = new TorchFileWriter(sink, 'model_optim_rng', root);
  await writer.start();
  for (const { dtype, shape } of writer.tensors) {
    const bytes = shape.reduce((product, size) => product * size, dtype === 'F32' ? 4 : 2);
    for (let at = 0; at < bytes; at += zeros.length) await writer.append(zeros.subarray(0, bytes - at));
  }
  await writer.finish();
  ftruncateSync(fd, position);
  closeSync(fd);
  return position;
}

/**
 * A checkpoint of zeros. The tensor ranks of one stage hold equal bytes, so they are links to one file.
 * @returns bytes of all rank files.
 */
export async function writeSparseCheckpoint(directory, model, grid) {
  const dtype = 'BF16';
  const shapes = new Map(
    expectedRows(FAMILIES[model.family], model).flatMap(({ mapping, layer }) =>
      outputsOf(mapping, layer, model).map(({ hfName, shape }) => [hfName, shape]),
    ),
  );
  const parameters = parametersOfHf(model, (file) => ({ dtype, shape: shapes.get(file), file, byteOffset: 0 }));
  const padded = paddedVocabSize(model.vocabSize, grid.tensorParallelSize);
  const common = { model, grid, spec: 'te', paddedVocabSize: padded, dtype };
  const args = argsOf({ ...common, vocabMultiple: VOCAB_MULTIPLE, iteration: 1 });
  const root = `${directory}/iter_0000001`;
  let total = 0;
  for (let stage = 0; stage < grid.pipelineParallelSize; stage++) {
    const { chunks } = planRankFile({ ...common, padFill: 'repeat' }, parameters, 0, stage);
    const models = chunks.map(({ key, tensors, extraStates }) => [
      key,
      orderedDict([
        ...tensors.map(({ localName, shape }) => [localName, tensorDeclaration(dtype, shape)]),
        ...extraStates.map((name) => [name, null]),
      ]),
    ]);
    const first = rankFilePath(root, 0, stage, grid);
    total += grid.tensorParallelSize * (await writeWithHoles(first, new Map([...rankFileHead(args, 1), ...models])));
    for (let rank = 1; rank < grid.tensorParallelSize; rank++) {
      const path = rankFilePath(root, rank, stage, grid);
      mkdirSync(dirname(path), { recursive: true });
      linkSync(first, path);
    }
  }
  await commitCheckpoint(directory, 1);
  return total;
}
