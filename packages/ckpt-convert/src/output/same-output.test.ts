import { appendFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { faultyDisk } from '../../test/faulty-disk.ts';
import { treeOf } from '../../test/folders.ts';
import { FIXTURES, withDirectory } from '../../test/tiny-checkpoint.ts';
import { convertCheckpoint, convertOnDisk } from '../convert.ts';
import type { ConvertOptions } from '../convert-options.ts';

const source = join(FIXTURES, 'qwen2-uneven-first', 'megatron');
const maxShardBytes = 700;

describe('--resume on a finished folder', () => {
  const finished = async (body: (root: string, options: ConvertOptions) => Promise<void>) =>
    withDirectory(async (root) => {
      const options = { source, output: join(root, 'hf'), maxShardBytes };
      await convertCheckpoint(options);
      await body(root, { ...options, resume: true });
    });
  const refusal = (message: string) =>
    expect.objectContaining({ code: 'CPT_INPUT_OUTPUT_EXISTS', message: expect.stringContaining(message) });

  it('succeeds again and again when every byte is what it would write, and writes nothing', async () => {
    await finished(async (root, options) => {
      const output = join(root, 'expected');
      const { files } = await convertCheckpoint({ source, output, maxShardBytes });
      for (let run = 0; run < 2; run++) {
        const disk = faultyDisk();
        const result = await convertOnDisk(options, disk);
        expect(result).toMatchObject({ resumed: true, files });
        expect(disk.calls.filter((call) => call !== 'read')).toEqual([]);
      }
      expect(await treeOf(options.output)).toEqual(await treeOf(output));
    });
  });

  it('is refused for one changed bit, and a file that is longer, shorter, missing or too many', async () => {
    await finished(async (_, options) => {
      const path = join(options.output, 'model-00002-of-00006.safetensors');
      const bytes = await readFile(path);
      const at = bytes.length - 1;
      const flipped = Uint8Array.from(bytes, (byte, index) => (index === at ? byte ^ 1 : byte));
      await writeFile(path, flipped);
      await expect(convertCheckpoint(options)).rejects.toThrow(refusal(`${path}: differs between byte`));
      await writeFile(path, bytes.subarray(0, -1));
      await expect(convertCheckpoint(options)).rejects.toThrow(refusal(`${path}: `));
      await writeFile(path, Buffer.concat([bytes, Buffer.from([0])]));
      await expect(convertCheckpoint(options)).rejects.toThrow(
        refusal(`${path}: has ${bytes.length + 1} bytes instead of ${bytes.length}`),
      );
      await rm(path);
      await expect(convertCheckpoint(options)).rejects.toThrow(refusal(`${path}: is not there`));
      await writeFile(path, bytes);
      await writeFile(join(options.output, 'model.safetensors'), bytes);
      await expect(convertCheckpoint(options)).rejects.toThrow(refusal('model.safetensors: is not a file of it'));
    });
  });

  it('is refused for other options, and for another config.json', async () => {
    await finished(async (_, options) => {
      await expect(convertCheckpoint({ ...options, vocabSize: 12 })).rejects.toThrow(refusal('config.json: differs'));
      await expect(convertCheckpoint({ ...options, maxShardBytes: 3000 })).rejects.toThrow(
        refusal('is not a file of it'),
      );
      await appendFile(join(options.output, 'config.json'), '\n');
      await expect(convertCheckpoint(options)).rejects.toThrow(refusal('config.json: has'));
    });
  });
});
