import { type Dtype, type Shape, tensorBytes } from '@pai-cpt/core';
import type { WritableValue } from '@pai-cpt/torch-checkpoint';
import type { ExecuteOptions, WrittenFile } from '../execute.ts';
import type { HfFiles } from '../hf-files.ts';
import { iterationDirectoryName, TRACKER_FILE } from '../locate-checkpoint.ts';
import type { PlannedFile } from '../output/journal.ts';
import type { OutputIo, OutputJob } from '../output/output-job.ts';
import type { PlannedFiles } from './plan-files.ts';
import { writeStage } from './write-stage.ts';

interface NamedFile {
  readonly name: string;
  readonly byteLength: number;
  readonly pipelineStage: number;
  readonly parts: PlannedFiles['files'][number]['parts'];
}

/** A Megatron checkpoint as an output: one directory that gets its name as a whole, and the tracker file after it. */
export function checkpointOutput(
  plan: PlannedFiles,
  iteration: number | 'release',
  companions: HfFiles | undefined,
): Pick<OutputJob, 'weights' | 'make' | 'companions' | 'final' | 'isStale'> & {
  planned: readonly (PlannedFile & { byteLength: number })[];
} {
  const folder = iteration === 'release' ? 'release' : iterationDirectoryName(iteration);
  const files = plan.files.map(({ name, pipelineStage, parts }): NamedFile => {
    const tensors = parts.flatMap((part) => part.tensors);
    return { name: `${folder}/${name}`, byteLength: sumOf(tensors), pipelineStage, parts };
  });
  const inside = plan.contents.map(({ name, content }) => ({ name: `${folder}/${name}`, content }));
  return {
    planned: files.map(({ name, byteLength, parts }) => ({
      ...{ name, byteLength },
      tensors: parts.flatMap(({ tensors }) => tensors.map((tensor) => ({ ...tensor, name: tensor.localName }))),
    })),
    weights: files,
    make: (names, io, options) =>
      makeFiles(
        files.filter(({ name }) => names.has(name)),
        io,
        options,
      ),
    companions: { contents: [...inside, ...(companions?.contents ?? [])], copies: companions?.copies ?? [] },
    final: { name: TRACKER_FILE, content: String(iteration) },
    isStale: () => false,
  };
}

/** One file after another, so that a kill costs one: files side by side would all be begun and none of them finished. */
async function makeFiles(files: readonly NamedFile[], io: OutputIo, options: ExecuteOptions): Promise<WrittenFile[]> {
  const { finished, digest, hasOwnDigests, signal } = options;
  const written = new Map(finished);
  const totalBytes = files.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const missing = files.filter(({ name }) => !written.has(name));
  let doneBytes = totalBytes - missing.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const stageIo = {
    readInto: io.readInto,
    createOutput: io.createOutput,
    onBytes(bytes: number, file: string) {
      doneBytes += bytes;
      options.onProgress?.({ doneBytes, totalBytes, file });
    },
    ...(digest && { digest }),
    ...(hasOwnDigests && { hasOwnDigests }),
    ...(signal && { signal }),
  };
  for (const { name, parts } of missing) {
    const made = await writeStage([{ path: name, parts }], stageIo);
    for (const { path, bytes, sha256 } of made) {
      const file = { name: path, bytes, sha256 };
      await options.onFile?.(file);
      written.set(path, file);
    }
  }
  return files.map(({ name }) => written.get(name) as WrittenFile);
}

function sumOf(tensors: readonly { readonly shape: Shape; readonly dtype: Dtype }[]): number {
  return tensors.reduce((sum, { shape, dtype }) => sum + tensorBytes(shape, dtype), 0);
}

/** What is in the files beside tensors, as text that is the same for the same content. */
export function serializeHead(head: readonly (readonly [string, WritableValue])[]): string {
  return JSON.stringify(head, (_, value: unknown) => {
    if (value instanceof Map) return [...value];
    return typeof value === 'bigint' ? `${value}n` : value;
  });
}
