import { copyFile, cp, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDatasetWriter } from '@pai-cpt/mmap';
import { openSafetensorsFile } from '@pai-cpt/safetensors';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FIXTURES, randomTensors, TINY, withDirectory } from '../test/tiny-checkpoint.ts';
import { convertCheckpoint } from './convert.ts';
import { type VerifyOptions, type VerifyReport, verifyCheckpoint } from './verify.ts';
import { writeMegatronRankFiles } from './write-torch.ts';

const fixture = (name: string) => join(FIXTURES, name, 'megatron');

/** Converts a fixture, lets `damage` work on the output or a copy of the checkpoint, and verifies. */
async function verifyAfter(
  name: string,
  damage: (paths: { hf: string; checkpoint: string }) => Promise<void> = async () => {},
  options: Partial<VerifyOptions> & { reference?: string; untie?: boolean } = {},
): Promise<VerifyReport> {
  return withDirectory(async (root) => {
    const { reference, untie = false, ...rest } = options;
    const [hf, checkpoint] = [join(root, 'hf'), join(root, 'ckpt')];
    await convertCheckpoint({ source: fixture(name), output: hf, untie, ...(reference && { reference }) });
    await cp(fixture(name), checkpoint, { recursive: true });
    await damage({ hf, checkpoint });
    return verifyCheckpoint({ hf, against: checkpoint, ...rest });
  });
}

const failed = (report: VerifyReport) => report.checks.filter(({ ok }) => !ok).map(({ name }) => name);
const detail = (report: VerifyReport, name: string) => report.checks.find((check) => check.name === name)?.detail;

/** Exchanges two byte ranges of one tensor in `model.safetensors`. */
async function swap(hf: string, tensor: string, first: number, second: number, length: number): Promise<void> {
  const path = join(hf, 'model.safetensors');
  const file = await openSafetensorsFile(path);
  const offset = file.tensors.get(tensor)?.byteOffset ?? 0;
  await file.close();
  const handle = await open(path, 'r+');
  const read = async (at: number) => (await handle.read(Buffer.alloc(length), 0, length, offset + at)).buffer;
  const [a, b] = [await read(first), await read(second)];
  await handle.write(a, 0, length, offset + second);
  await handle.write(b, 0, length, offset + first);
  await handle.close();
}

async function patchConfig(hf: string, fields: object): Promise<void> {
  const path = join(hf, 'config.json');
  await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), ...fields }));
}

describe('a conversion is found equal', () => {
  it.each([
    ['qwen2-tp2-pp2', 'qwen2'],
    ['qwen2-tp4-pp1-tied', 'qwen2'],
    ['qwen2-more-ranks-than-groups', 'qwen2'],
    ['qwen2-uneven-both-ends', 'qwen2'],
    ['qwen2-views', 'qwen2'],
    ['qwen2-virtual-stages', 'qwen2'],
    ['qwen2-virtual-stages-tied', 'qwen2'],
    ['legacy-names', 'qwen2'],
    ['legacy-version-0', 'qwen2'],
    ['legacy-version-1', 'llama'],
    ['qwen3-head-dim', 'qwen3'],
    ['llama-fp32-norms', 'llama'],
  ])('%s', async (name, family) => {
    const reference = family === 'llama' ? { reference: join(FIXTURES, name, 'reference') } : {};
    const report = await verifyAfter(name, undefined, reference);
    expect(failed(report)).toEqual([]);
    expect(report.ok).toBe(true);
    expect(report.checks.map((check) => check.name)).toEqual(['checksums', 'names', 'config', 'tensors', 'ranks']);
    expect(detail(report, 'names')).toContain(`tensors of ${family}`);
  });
});

describe('a damaged output is found', () => {
  // Hidden 16 in BF16: a row of 32 bytes.
  it('two query rows exchanged', async () => {
    const report = await verifyAfter('qwen2-tp2-pp1', ({ hf }) =>
      swap(hf, 'model.layers.1.self_attn.q_proj.weight', 0, 64, 32),
    );
    expect(failed(report)).toEqual(['tensors']);
    expect(detail(report, 'tensors')).toMatch(
      /^1 faults: "model\.layers\.1\.self_attn\.q_proj\.weight" row 0, column 0: [0-9a-f]{4}, in the checkpoint [0-9a-f]{4}/,
    );
  });

  it('row 26: one bit of the last element', async () => {
    const report = await verifyAfter('qwen2-tp2-pp1', async ({ hf }) => {
      const path = join(hf, 'model.safetensors');
      const bytes = await readFile(path);
      bytes[bytes.byteLength - 1] = (bytes[bytes.byteLength - 1] as number) ^ 1;
      await writeFile(path, bytes);
    });
    expect(failed(report)).toEqual(['tensors']);
    expect(detail(report, 'tensors')).toContain('"lm_head.weight" row 16, column 15');
  });

  it('the wrong number of groups in config.json', async () => {
    const report = await verifyAfter('qwen2-tp2-pp1', ({ hf }) => patchConfig(hf, { num_key_value_heads: 8 }));
    expect(failed(report)).toEqual(['config']);
    expect(detail(report, 'config')).toContain('num_key_value_heads is 8, the checkpoint has 4');
  });

  it('a tie that the tensors do not have', async () => {
    const report = await verifyAfter('qwen2-tp2-pp1', ({ hf }) => patchConfig(hf, { tie_word_embeddings: true }));
    expect(failed(report)).toEqual(['config']);
  });

  it('constants that no tensor settles are told, not judged', async () => {
    const report = await verifyAfter('qwen2-tp2-pp1', ({ hf }) =>
      patchConfig(hf, { rms_norm_eps: 1e-5, rope_theta: undefined, rope_parameters: { rope_theta: 1e6 } }),
    );
    expect(report.ok).toBe(true);
    expect(detail(report, 'config')).toMatch(/; rms_norm_eps is 0\.00001, the checkpoint was trained with 0\.000001$/);
  });

  it('another architecture', async () => {
    const report = await verifyAfter('qwen2-tp2-pp1', ({ hf }) => patchConfig(hf, { model_type: 'llama' }));
    expect(failed(report)).toEqual(['names']);
    expect(detail(report, 'names')).toBe('model_type is "llama", the checkpoint holds qwen2');
  });

  it('a vocabulary cut below the last token', async () => {
    await withDirectory(async (root) => {
      const hf = join(root, 'hf');
      await convertCheckpoint({ source: fixture('qwen2-tp2-pp1'), output: hf, vocabSize: 16 });
      const report = await verifyCheckpoint({ hf, against: fixture('qwen2-tp2-pp1') });
      expect(failed(report)).toEqual(['config']);
      expect(detail(report, 'config')).toContain('vocab_size is 16, args.vocab_size 17');
    });
  });

  it('the weights of another model of the same shape', async () => {
    await withDirectory(async (root) => {
      await convertCheckpoint({ source: fixture('qwen2-tp4-pp1'), output: join(root, 'hf') });
      const report = await verifyCheckpoint({ hf: join(root, 'hf'), against: fixture('qwen2-tp2-pp1') });
      expect(failed(report)).toEqual(['tensors']);
      expect(detail(report, 'tensors')).toMatch(/^27 faults: .*; and 17 more$/);
    });
  });

  it('weights that no cast of the checkpoint gives', async () => {
    await withDirectory(async (root) => {
      const write = { iteration: 1, model: TINY, parallel: { tensorParallelSize: 1, pipelineParallelSize: 1 } };
      const tensors = randomTensors(TINY, 'F32');
      for (const dtype of ['F32', 'BF16'] as const) {
        await writeMegatronRankFiles({ ...write, directory: join(root, dtype), tensors, dtype });
      }
      await convertCheckpoint({ source: join(root, 'F32'), output: join(root, 'hf') });
      const report = await verifyCheckpoint({ hf: join(root, 'hf'), against: join(root, 'BF16') });
      expect(detail(report, 'tensors')).toMatch(/"model\.embed_tokens\.weight" row 0, column 0: [0-9a-f]{8}, in the/);
    });
  });

  it('a model with more layers', async () => {
    await withDirectory(async (root) => {
      await convertCheckpoint({ source: fixture('qwen2-tp2-pp2'), output: join(root, 'hf') });
      const report = await verifyCheckpoint({ hf: join(root, 'hf'), against: fixture('qwen2-tp2-pp1') });
      expect(detail(report, 'names')).toContain('"model.layers.2.input_layernorm.weight" is not of qwen2');
    });
  });

  it('a model with fewer layers', async () => {
    await withDirectory(async (root) => {
      await convertCheckpoint({ source: fixture('qwen2-tp2-pp1'), output: join(root, 'hf') });
      const report = await verifyCheckpoint({ hf: join(root, 'hf'), against: fixture('qwen2-tp2-pp2') });
      expect(failed(report)).toEqual(['names', 'config', 'tensors']);
      expect(detail(report, 'names')).toContain('"model.layers.2.input_layernorm.weight" is missing');
    });
  });
});

describe('a damaged checkpoint is found', () => {
  it('a flipped bit, which torch loads without a word', async () => {
    const report = await verifyAfter('qwen2-tp2-pp1', async ({ checkpoint }) => {
      const path = join(checkpoint, 'release', 'mp_rank_01', 'model_optim_rng.pt');
      const bytes = await readFile(path);
      const { size } = await stat(path);
      const at = bytes.indexOf('e040e040', size / 2, 'hex'); // a padding row of the output table
      bytes[at] = 0xe1;
      await writeFile(path, bytes);
    });
    expect(failed(report)).toEqual(['checksums']);
    expect(detail(report, 'checksums')).toContain('CPT_ZIP_CRC');
  });

  it.each([
    [
      'a norm',
      { tensorParallelSize: 2, pipelineParallelSize: 1 },
      'model.norm.weight',
      'differs from the one of tensor rank 0',
    ],
    [
      'a tied copy',
      { tensorParallelSize: 1, pipelineParallelSize: 2 },
      'model.embed_tokens.weight',
      'differs from the embedding',
    ],
  ])('%s that differs on the last rank', async (_, parallel, changed, message) => {
    await withDirectory(async (root) => {
      const model = { ...TINY, isTied: true };
      const [tensors, others] = [randomTensors(model, 'BF16', 1), randomTensors(model, 'BF16', 2)];
      const write = { directory: join(root, 'ckpt'), iteration: 1, model, parallel, dtype: 'BF16' as const };
      await writeMegatronRankFiles({ ...write, tensors });
      await convertCheckpoint({ source: join(root, 'ckpt'), output: join(root, 'hf') });
      const read = (name: string) => (name === changed ? others : tensors).read(name);
      const last = { tensorRank: parallel.tensorParallelSize - 1, pipelineStage: parallel.pipelineParallelSize - 1 };
      await writeMegatronRankFiles({ ...write, tensors: { ...tensors, read }, ranks: [last] });
      const report = await verifyCheckpoint({ hf: join(root, 'hf'), against: join(root, 'ckpt') });
      expect(failed(report)).toEqual(['ranks']);
      expect(detail(report, 'ranks')).toContain(message);
    });
  });

  it('a rank of another run', async () => {
    const report = await verifyAfter('qwen2-tp2-pp1', ({ checkpoint }) =>
      copyFile(
        join(fixture('qwen2-tp2-pp1-tied'), 'release/mp_rank_01/model_optim_rng.pt'),
        join(checkpoint, 'release/mp_rank_01/model_optim_rng.pt'),
      ),
    ).catch((error: unknown) => error);
    expect(report).toMatchObject({ code: 'CPT_FORMAT_RANKS_DIFFER' });
  });
});

describe('running both', () => {
  let scratch = '';
  let data = '';
  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'ckpt-convert-'));
    data = join(scratch, 'tokens');
    const writer = await createDatasetWriter({ prefix: data, dtype: 'uint16' });
    for (let document = 0; document < 3; document++) {
      await writer.addDocument([Int32Array.from({ length: 15 }, (_, at) => (at * (document + 3) + document) % 13)]);
    }
    await writer.finish();
  });
  afterAll(() => rm(scratch, { recursive: true }));

  it('gives equal hidden states and losses over all windows of the data', async () => {
    const report = await verifyAfter('qwen2-tp2-pp2-tied', undefined, { run: true, data, sequenceLength: 9 });
    expect(failed(report)).toEqual([]);
    // 45 tokens: a fifth window would need a 46th as the target of its last.
    expect(report).toMatchObject({ ok: true, sequences: 4, sequenceLength: 9, tokens: 36 });
    expect(report.layers).toHaveLength(4);
    expect(report.maxLayerRelativeL2).toBeLessThan(1e-5);
    const { hf = 0, megatron = 1 } = report.validationLoss ?? {};
    expect(Math.abs(hf - megatron)).toBeLessThan(1e-4);
  });

  it.each(['qwen2-tp2-pp2-tied', 'qwen2-tp4-pp1-tied'])('%s, written untied', async (name) => {
    const report = await verifyAfter(name, undefined, { run: true, data, sequenceLength: 9, untie: true });
    expect([failed(report), report.ok]).toEqual([[], true]);
    const { hf = 0, megatron = 1 } = report.validationLoss ?? {};
    expect(Math.abs(hf - megatron)).toBeLessThan(1e-4);
  });

  it('an untied head that is not the embedding', async () => {
    const report = await verifyAfter('qwen2-tp4-pp1-tied', ({ hf }) => swap(hf, 'lm_head.weight', 0, 64, 16), {
      untie: true,
    });
    expect(failed(report)).toEqual(['tensors']);
    expect(detail(report, 'tensors')).toContain('"lm_head.weight" row 0');
  });

  it.each([
    ['qwen2-virtual-stages', 8],
    ['qwen2-virtual-stages-tied', 6],
    ['dist-stacked', 4],
    ['dist-per-layer', 2],
    ['legacy-version-0', 2],
    ['qwen2-more-ranks-than-groups', 2],
    ['qwen2-eight-ranks', 1],
    ['qwen2-standalone-embedding', 4],
    ['qwen2-before-zip', 2],
    ['qwen3-head-dim', 2],
    ['qwen3-more-ranks-than-groups', 2],
    ['llama3-scaled', 2],
  ])('runs %s, chunk by chunk', async (name, layers) => {
    const reference = name.startsWith('llama') ? { reference: join(FIXTURES, name, 'reference') } : {};
    const options = { run: true, data, sequenceLength: 4, maxSequences: 1, ...reference };
    const report = await verifyAfter(name, undefined, options);
    expect(failed(report)).toEqual([]);
    expect(report.layers).toHaveLength(layers);
    expect(report.maxLayerRelativeL2).toBeLessThan(1e-5);
  });

  it('row 32: NaN and infinities are kept to the bit, and counted', async () => {
    const report = await verifyAfter('qwen2-fp32');
    expect(report.ok).toBe(true);
    // generate.py writes NaN twice with payloads, once negative, and two infinities, into each of two tensors.
    expect(detail(report, 'tensors')).toMatch(/; 10 elements are NaN or infinite, first in "model\.layers\./);
    expect(detail(await verifyAfter('qwen2-tp1-pp1'), 'tensors')).not.toContain('NaN');
  });

  it('fails where hidden states are not numbers', async () => {
    const report = await verifyAfter('qwen2-fp32', undefined, { run: true, data, sequenceLength: 8 });
    expect(failed(report)).toEqual(['layers']);
    expect(detail(report, 'layers')).toContain('layer 0 is the first to differ: NaN');
  });

  it('takes the sequence length of the training, and as many sequences as are asked for', async () => {
    const report = await verifyAfter('qwen2-tp1-pp1', undefined, {
      run: true,
      data,
      sequenceLength: 4,
      maxSequences: 2,
    });
    expect(report).toMatchObject({ ok: true, sequences: 2, tokens: 8 });
    const short = await verifyAfter('qwen2-tp1-pp1', undefined, { run: true, data });
    expect(detail(short, 'layers')).toContain('has 45 tokens; a sequence of 128 needs 129');
  });

  it('names the first layer that differs', async () => {
    const report = await verifyAfter(
      'qwen2-tp2-pp2',
      ({ hf }) => swap(hf, 'model.layers.2.mlp.gate_proj.weight', 0, 32, 32),
      { run: true, data, sequenceLength: 8 },
    );
    expect(failed(report)).toEqual(['tensors', 'layers']);
    expect(detail(report, 'layers')).toMatch(/^layer 2 is the first to differ: /);
    expect(report.layers?.[1]?.relativeL2).toBeLessThan(1e-5);
  });

  it('needs data', async () => {
    await expect(verifyAfter('qwen2-tp1-pp1', undefined, { run: true })).rejects.toThrow('pass --data');
  });
});

it('leaves the folders as they are', async () => {
  await verifyAfter('qwen2-tp1-pp1', async ({ hf, checkpoint }) => {
    await verifyCheckpoint({ hf, against: checkpoint });
    expect((await readdir(hf)).sort()).toEqual(['config.json', 'model.safetensors']);
  });
});
