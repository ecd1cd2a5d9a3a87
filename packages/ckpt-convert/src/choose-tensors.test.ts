import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openSafetensorsDirectory } from '@pai-cpt/safetensors';
import { describe, expect, it } from 'vitest';
import { randomTensors, TINY, withDirectory } from '../test/tiny-checkpoint.ts';
import { writeTinyHf } from '../test/tiny-hf.ts';
import { convertCheckpoint } from './convert.ts';
import type { HfTensors } from './index.ts';
import { inspectCheckpoint } from './inspect.ts';
import { reshardCheckpoint } from './reshard.ts';
import { convertToMegatron } from './to-megatron.ts';
import { verifyCheckpoint } from './verify.ts';
import { writeMegatronRankFiles } from './write-torch.ts';

const EMBEDDING = 'model.embed_tokens.weight';
const HEAD = 'lm_head.weight';
const NORM = 'model.layers.0.input_layernorm.weight';

async function tensorsOf(folder: string): Promise<Map<string, Buffer>> {
  const hf = await openSafetensorsDirectory(folder);
  const found = new Map<string, Buffer>();
  for (const name of hf.tensors.keys()) found.set(name, Buffer.from(await hf.read(name)));
  await hf.close();
  return found;
}

const configOf = async (folder: string) => JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'));

/** Rank files of which each is written with tensors of its own. */
async function writeRanks(directory: string, isTied: boolean, stages: number, tensors: readonly HfTensors[]) {
  const model = { ...TINY, isTied };
  for (const [number, own] of tensors.entries()) {
    await writeMegatronRankFiles({
      ...{ directory, iteration: 3, model, tensors: own, dtype: 'BF16' },
      parallel: { tensorParallelSize: stages === 1 ? tensors.length : 1, pipelineParallelSize: stages },
      ranks: [stages === 1 ? { tensorRank: number, pipelineStage: 0 } : { tensorRank: 0, pipelineStage: number }],
    });
  }
}

/** `tensors` with other bytes for one of them. */
function replaced(tensors: HfTensors, changed: string, bytes: Uint8Array): HfTensors {
  return { ...tensors, read: async (name) => (name === changed ? bytes : tensors.read(name)) };
}

describe('--replica', () => {
  it("takes one rank's norm where ranks differ, and reports by how much", async () => {
    await withDirectory(async (root) => {
      const tensors = randomTensors({ ...TINY, isTied: false }, 'BF16');
      const [one, two] = [0x3f80, 0x4000].map((bits) => new Uint8Array(new Uint16Array(8).fill(bits).buffer));
      const ranks = [one, two].map((bytes) => replaced(tensors, NORM, bytes as Uint8Array));
      const source = join(root, 'ckpt');
      await writeRanks(source, false, 1, ranks);
      await expect(convertCheckpoint({ source, output: join(root, 'x') })).rejects.toThrow('--replica RANK');
      for (const [replica, bytes] of [one, two].entries()) {
        const output = join(root, `hf-${replica}`);
        const { notes } = await convertCheckpoint({ source, output, replica });
        const name = 'decoder.layers.0.self_attention.linear_qkv.layer_norm_weight';
        expect(notes).toContain(
          `${name}: tensor rank ${1 - replica} differs from rank ${replica}, by at most 1; rank ${replica}'s is taken`,
        );
        const found = await tensorsOf(output);
        expect(found.get(NORM)).toEqual(Buffer.from(bytes as Uint8Array));
        expect(found.get(HEAD)).toEqual(Buffer.from(await tensors.read(HEAD)));
        const other = join(root, `reshard-${replica}`);
        const grid = { parallel: { tensorParallelSize: 1, pipelineParallelSize: 1 } };
        await reshardCheckpoint({ source, output: other, replica, ...grid });
        await convertCheckpoint({ source: other, output: join(root, `back-${replica}`) });
        expect((await tensorsOf(join(root, `back-${replica}`))).get(NORM)).toEqual(found.get(NORM));
      }
      await expect(convertCheckpoint({ source, output: join(root, 'x'), replica: 2 })).rejects.toThrow(
        '--replica is 2, the checkpoint has tensor ranks 0 to 1',
      );
    });
  });
});

describe('--replica mean', () => {
  const mean = { replica: 'mean' as const };

  it('takes the mean where ranks differ and nothing else, in every way of writing, and reports by how much', async () => {
    await withDirectory(async (root) => {
      const tensors = randomTensors({ ...TINY, isTied: false }, 'BF16');
      // 1 and 2: 1.5; 1 and 1 + 2^-7: the middle goes to the even 1; NaN stays one.
      const values = [
        [0x3f80, 0x3f80, 0x7fc0],
        [0x4000, 0x3f81, 0x3f80],
      ].map((bits) => new Uint8Array(Uint16Array.from({ length: 8 }, (_, at) => bits[at] ?? 0x3f80).buffer));
      const source = join(root, 'ckpt');
      await writeRanks(
        source,
        false,
        1,
        values.map((bytes) => replaced(tensors, NORM, bytes)),
      );
      const { notes } = await convertCheckpoint({ source, output: join(root, 'hf'), ...mean });
      const name = 'decoder.layers.0.self_attention.linear_qkv.layer_norm_weight';
      for (const rank of [0, 1]) {
        expect(notes).toContain(
          `${name}: tensor rank ${rank} differs from the mean, by at most NaN; the mean is taken`,
        );
      }
      const found = await tensorsOf(join(root, 'hf'));
      const norm = new Uint16Array(Uint8Array.from(found.get(NORM) ?? []).buffer);
      expect([...norm.subarray(0, 2), ...norm.subarray(3)]).toEqual([0x3fc0, ...Array(6).fill(0x3f80)]);
      expect((norm[2] as number) & 0x7fff).toBeGreaterThan(0x7f80);
      found.delete(NORM);
      for (const [other, bytes] of found) expect(bytes, other).toEqual(Buffer.from(await tensors.read(other)));
      const grid = { parallel: { tensorParallelSize: 1, pipelineParallelSize: 1 } };
      await reshardCheckpoint({ source, output: join(root, 'other'), ...mean, ...grid });
      await convertCheckpoint({ source: join(root, 'other'), output: join(root, 'back') });
      const threads = { maxShardBytes: 300, workers: 2 };
      await convertCheckpoint({ source, output: join(root, 'threads'), ...mean, ...threads });
      for (const folder of ['back', 'threads']) {
        expect(await tensorsOf(join(root, folder)), folder).toEqual(await tensorsOf(join(root, 'hf')));
      }
    });
  });
});

describe('--untie', () => {
  const model = { ...TINY, isTied: true };

  it('writes the head of a tied model as a table of its own, equal to the embedding', async () => {
    await withDirectory(async (root) => {
      const source = join(root, 'ckpt');
      await writeRanks(source, true, 1, [randomTensors(model, 'BF16')]);
      await convertCheckpoint({ source, output: join(root, 'tied') });
      await convertCheckpoint({ source, output: join(root, 'untied'), untie: true });
      const [tied, untied] = [await tensorsOf(join(root, 'tied')), await tensorsOf(join(root, 'untied'))];
      expect(tied.has(HEAD)).toBe(false);
      expect(untied.get(HEAD)).toEqual(untied.get(EMBEDDING));
      untied.delete(HEAD);
      expect(untied).toEqual(tied);
      const report = await verifyCheckpoint({ hf: join(root, 'untied'), against: source });
      expect(report.checks.filter(({ ok }) => !ok)).toEqual([]);
      expect(report.checks.find(({ name }) => name === 'config')?.detail).toContain(
        'the checkpoint is tied and the folder is not: its lm_head.weight is held against the embedding again',
      );
      expect([await configOf(join(root, 'tied')), await configOf(join(root, 'untied'))]).toMatchObject([
        { tie_word_embeddings: true },
        { tie_word_embeddings: false },
      ]);
    });
  });

  it('keeps both tables where the copy of the last stage has drifted from the embedding', async () => {
    await withDirectory(async (root) => {
      const source = join(root, 'ckpt');
      const first = randomTensors(model, 'BF16');
      const drifted = await randomTensors(model, 'BF16', 2).read(EMBEDDING);
      await writeRanks(source, true, 2, [first, replaced(first, EMBEDDING, drifted)]);
      await expect(convertCheckpoint({ source, output: join(root, 'x') })).rejects.toThrow('--untie writes both');
      await convertCheckpoint({ source, output: join(root, 'hf'), untie: true });
      const found = await tensorsOf(join(root, 'hf'));
      expect(found.get(EMBEDDING)).toEqual(Buffer.from(await first.read(EMBEDDING)));
      expect(found.get(HEAD)).toEqual(Buffer.from(drifted));
      const report = await verifyCheckpoint({ hf: join(root, 'hf'), against: source });
      expect(report.checks.filter(({ ok }) => !ok)).toEqual([]);
      expect(report.checks.find(({ name }) => name === 'config')?.detail).toContain("the last stage's copy");
    });
  });

  it('goes the other way too, and from grid to grid', async () => {
    await withDirectory(async (root) => {
      await writeTinyHf(join(root, 'hf'), model);
      const parallel = { tensorParallelSize: 2, pipelineParallelSize: 1 };
      await convertToMegatron({ source: join(root, 'hf'), output: join(root, 'tied'), parallel });
      await convertToMegatron({ source: join(root, 'hf'), output: join(root, 'a'), parallel, untie: true });
      const { loadFlags } = await reshardCheckpoint({
        ...{ source: join(root, 'tied'), output: join(root, 'b'), untie: true },
        parallel: { tensorParallelSize: 1, pipelineParallelSize: 2 },
      });
      expect(loadFlags).toContain('--untie-embeddings-and-output-weights');
      for (const name of ['a', 'b']) {
        expect((await inspectCheckpoint(join(root, name))).model.isTied).toBe(false);
        const output = join(root, `back-${name}`);
        await convertCheckpoint({ source: join(root, name), output });
        const found = await tensorsOf(output);
        expect(found.get(HEAD)).toEqual(found.get(EMBEDDING));
      }
    });
  });
});
