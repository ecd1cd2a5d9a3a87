import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CptError } from '@pai-cpt/core';
import { namespace, orderedDict, tensorDeclaration, type WritableValue } from '@pai-cpt/torch-checkpoint';
import { describe, expect, it } from 'vitest';
import { argsOf, callOf, oldTorchFileOf, pickleOf, torchZipOf } from '../test/attack-files.ts';
import { FIXTURES, TINY, withDirectory, writeRankFile } from '../test/tiny-checkpoint.ts';
import { writeTinyHf } from '../test/tiny-hf.ts';
import { runCommand } from './commands.ts';
import { convertToMegatron } from './to-megatron.ts';

const RANK = 'release/mp_rank_01_000/model_optim_rng.pt';

/** Runs `to-hf` on a copy of a good checkpoint that `damage` has worked on; the error, and whether anything can be seen of an output. */
async function convertAfter(damage: (checkpoint: string) => Promise<unknown>, ...flags: string[]) {
  return withDirectory(async (root) => {
    const [checkpoint, output] = [join(root, 'ckpt'), join(root, 'hf')];
    await cp(join(FIXTURES, 'qwen2-tp2-pp2', 'megatron'), checkpoint, { recursive: true });
    await damage(checkpoint);
    const silent = { write: () => {}, log: () => {} };
    const error = await runCommand(['to-hf', checkpoint, output, ...flags], silent).catch((reason: unknown) => reason);
    return { error, isVisible: existsSync(output) };
  });
}

const replaced = (path: string, bytes: Uint8Array | string) => (checkpoint: string) =>
  writeFile(join(checkpoint, path), bytes);

async function flipped(checkpoint: string): Promise<void> {
  const path = join(checkpoint, RANK);
  const bytes = await readFile(path);
  const at = bytes.indexOf('num_layers');
  bytes[at] = (bytes[at] as number) ^ 1;
  await writeFile(path, bytes);
}

describe('a hostile or broken file stops a conversion: one line, its path, and no output under any name', () => {
  const cases: [string, string, (checkpoint: string) => Promise<unknown>][] = [
    ['row 1: os.system', 'CPT_PICKLE_FORBIDDEN_GLOBAL', replaced(RANK, torchZipOf(argsOf(callOf('os', 'system'))))],
    [
      'row 2: operator.attrgetter',
      'CPT_PICKLE_FORBIDDEN_GLOBAL',
      replaced(RANK, torchZipOf(argsOf(callOf('operator', 'attrgetter')))),
    ],
    [
      'row 1: in a file of before zip',
      'CPT_PICKLE_FORBIDDEN_GLOBAL',
      replaced(RANK, oldTorchFileOf(argsOf(callOf('nt', 'system')))),
    ],
    [
      'row 2: a second pickle behind the first',
      'CPT_PICKLE_TRAILING_BYTES',
      replaced(RANK, torchZipOf(Buffer.concat([pickleOf('N'), pickleOf(callOf('os', 'system'))]))),
    ],
    [
      'row 5: an opcode that torch never writes',
      'CPT_PICKLE_OPCODE',
      replaced(RANK, torchZipOf(pickleOf('(ios\nsystem\n'))),
    ],
    [
      'row 6: a file that is cut',
      'CPT_ZIP_TRUNCATED',
      async (checkpoint) =>
        writeFile(join(checkpoint, RANK), (await readFile(join(checkpoint, RANK))).subarray(0, 3000)),
    ],
    ['row 15: a bit of the pickle', 'CPT_ZIP_CRC', flipped],
    [
      'row 17: a tar',
      'CPT_',
      replaced(RANK, Buffer.concat([Buffer.alloc(257), Buffer.from('ustar\0'), Buffer.alloc(249)])),
    ],
    ['row 17: an empty file', 'CPT_ZIP_', replaced(RANK, '')],
    [
      'row 25: the text of an LFS pointer',
      'CPT_',
      replaced(RANK, 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n'),
    ],
    ['a file without a model', 'CPT_FORMAT_RANK_FILE', replaced(RANK, torchZipOf(pickleOf('}')))],
    [
      'a file with an empty model',
      'CPT_',
      replaced(RANK, torchZipOf(pickleOf('}', Buffer.from('X\x05\0\0\0model'), '}', 's'))),
    ],
    ['a file that is a list', 'CPT_FORMAT_TORCH_LAYOUT', replaced(RANK, torchZipOf(pickleOf(']')))],
    [
      'row 28: a rank directory too many',
      'CPT_FORMAT_RANK_GRID',
      (checkpoint) =>
        cp(join(checkpoint, 'release/mp_rank_01_000'), join(checkpoint, 'release/mp_rank_02_000'), { recursive: true }),
    ],
  ];
  it.each(cases)('%s', async (_, code, damage) => {
    const { error, isVisible } = await convertAfter(damage);
    expect(error).toBeInstanceOf(CptError);
    const { message, code: found } = error as CptError;
    expect(found).toMatch(new RegExp(`^${code}`));
    expect(message).not.toContain('\n');
    expect(message).toMatch(/mp_rank_0[12]_000|release/);
    expect(isVisible).toBe(false);
    expect(existsSync('canary')).toBe(false);
  });

  it('a whole file without any tensor of a model', async () => {
    await withDirectory(async (root) => {
      const state = new Map<string, WritableValue>([
        ['args', namespace({ num_layers: 1 })],
        ['model', orderedDict([['optimizer.step', tensorDeclaration('F32', [1])]])],
      ]);
      await writeRankFile(join(root, 'mp_rank_00/model_optim_rng.pt'), state);
      const silent = { write: () => {}, log: () => {} };
      const failing = runCommand(['to-hf', root, join(root, 'hf')], silent);
      await expect(failing).rejects.toThrow('no rank file has "embedding.word_embeddings.weight"');
    });
  });
});

it('the program ends with 1 or more, one line on stderr and no stack trace', async () => {
  await withDirectory(async (root) => {
    await mkdir(join(root, 'mp_rank_00'));
    await writeFile(join(root, 'mp_rank_00/model_optim_rng.pt'), torchZipOf(argsOf(callOf('os', 'system'))));
    const program = [...process.execArgv, join(import.meta.dirname, 'cli.ts')];
    const done = spawnSync(process.execPath, [...program, 'to-hf', root, join(root, 'hf')], { encoding: 'utf8' });
    expect(done.status).toBeGreaterThan(0);
    expect(done.stderr.trim().split('\n')).toHaveLength(1);
    expect(done.stderr).toContain('it names os.system');
    expect(done.stderr).not.toMatch(/^\s+at /m);
    expect(existsSync('canary')).toBe(false);
    expect(existsSync(join(root, 'hf'))).toBe(false);
  });
});

describe('row 29: groups that the ranks cannot share', () => {
  it('are refused in the plan, before a tensor is read', async () => {
    await withDirectory(async (root) => {
      await writeTinyHf(join(root, 'hf'), TINY);
      const parallel = { tensorParallelSize: 4, pipelineParallelSize: 1 };
      const refused = convertToMegatron({ source: join(root, 'hf'), output: join(root, 'out'), parallel });
      await expect(refused).rejects.toMatchObject({ code: 'CPT_CONFIG_MODEL' });
      expect(existsSync(join(root, 'out'))).toBe(false);
    });
  });
});

describe('row 30: a vocabulary that does not fit', () => {
  it('is named with both numbers, and rows are never invented', async () => {
    const { error, isVisible } = await convertAfter(async () => {}, '--vocab-size', '33');
    expect(error).toMatchObject({ code: 'CPT_CONFIG_VOCAB_SIZE' });
    expect((error as CptError).message).toMatch(/--vocab-size is 33, the embedding has 24 rows/);
    expect(isVisible).toBe(false);
  });
});
