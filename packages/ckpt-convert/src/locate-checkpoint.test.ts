import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { withDirectory } from '../test/tiny-checkpoint.ts';
import {
  type IterationChoice,
  iterationDirectoryName,
  locateCheckpoint,
  rankDirectoryName,
} from './locate-checkpoint.ts';

/** Makes empty files below a directory; a name that ends in `/` is an empty directory, `a=b` a file with content. */
async function plant(root: string, ...names: string[]): Promise<void> {
  for (const name of names) {
    const [path, content = ''] = name.split('=') as [string, string?];
    await mkdir(path.endsWith('/') ? join(root, path) : dirname(join(root, path)), { recursive: true });
    if (!path.endsWith('/')) await writeFile(join(root, path), content);
  }
}

const TRACKER = 'latest_checkpointed_iteration.txt';
const rank = (directory: string, name: string) => `${directory}/mp_rank_${name}/model_optim_rng.pt`;
const at = (error: { code: string; message: string }) =>
  expect.objectContaining({ code: error.code, message: expect.stringContaining(error.message) });

function located(names: string[], iteration?: IterationChoice, path = '') {
  return withDirectory(async (root) => {
    await plant(root, ...names);
    const found = await locateCheckpoint(join(root, path), iteration);
    return { ...found, directory: found.directory.slice(root.length + 1) };
  });
}

describe('which iteration', () => {
  const both = [rank('iter_0000005', '00'), rank('iter_0000010', '00')];
  it.each([
    ['the tracker names it', [`${TRACKER}=5\n`, ...both], undefined, '', 'iter_0000005'],
    ['the tracker says release', [`${TRACKER}=release`, rank('release', '00'), ...both], undefined, '', 'release'],
    ['the caller names it', [`${TRACKER}=5`, ...both], 10, '', 'iter_0000010'],
    ['the caller names release', [`${TRACKER}=5`, rank('release', '00'), ...both], 'release', '', 'release'],
    ['the path is the one named', [rank('release', '00')], 'release', 'release', 'release'],
    ['the path names it', both, undefined, 'iter_0000010', 'iter_0000010'],
    [
      'a number past seven digits',
      [`${TRACKER}=12345678`, rank('iter_12345678', '00')],
      undefined,
      '',
      'iter_12345678',
    ],
  ] as const)('%s', async (_, names, iteration, path, directory) => {
    expect(await located([...names], iteration, path)).toMatchObject({ format: 'torch', directory, notes: [] });
  });

  it('without a tracker it is the newest, and that is said', async () => {
    const found = await located([rank('release', '00'), ...both]);
    expect(found).toMatchObject({
      directory: 'iter_0000010',
      notes: [expect.stringContaining('iter_0000010 is the newest')],
    });
  });

  it.each([
    [
      'a tracker ahead of the directories',
      [`${TRACKER}=20`, ...both],
      undefined,
      'names iter_0000020, which does not exist; there are iter_0000005, iter_0000010',
    ],
    ['a tracker with something else', [`${TRACKER}=latest`, ...both], undefined, '"latest" is neither'],
    ['an iteration that is not there', both, 7, 'no iter_0000007; there are iter_0000005, iter_0000010'],
    ['a directory of something else', ['notes.txt'], undefined, 'not a Megatron checkpoint'],
    ['an empty iteration', [`${TRACKER}=5`, 'iter_0000005/'], undefined, 'no mp_rank_… directory'],
  ])('%s is refused', async (_, names, iteration, message) => {
    await expect(located(names, iteration)).rejects.toThrow(at({ code: 'CPT_INPUT_CHECKPOINT_MISSING', message }));
  });

  it('a path that contradicts --iteration is refused', async () => {
    await expect(located(both, 5, 'iter_0000010')).rejects.toThrow('iteration 5 was asked for');
  });

  it('a missing path is refused, a rank file taken alone', async () => {
    await expect(located([], undefined, 'nowhere')).rejects.toThrow('no such directory');
    expect(await located(['a.pt'], undefined, 'a.pt')).toMatchObject({
      tensorParallelSize: 1,
      pipelineParallelSize: 1,
    });
  });
});

describe('the grid of ranks', () => {
  it('row 28: is read from the names, stage by stage', async () => {
    const names = ['00_000', '00_001', '01_000', '01_001'].map((name) => rank('iter_0000001', name));
    const found = await located([`${TRACKER}=1`, ...names]);
    if (found.format !== 'torch') throw new Error(found.format);
    expect(found.rankFiles.map(({ tensorRank, pipelineStage }) => [tensorRank, pipelineStage])).toEqual([
      [0, 0],
      [1, 0],
      [0, 1],
      [1, 1],
    ]);
    expect(found).toMatchObject({ tensorParallelSize: 2, pipelineParallelSize: 2 });
  });

  it('takes model_rng.pt, which some versions wrote', async () => {
    const found = await located([
      `${TRACKER}=1`,
      'iter_0000001/mp_rank_00/model_rng.pt',
      'iter_0000001/mp_rank_00/optim.pt',
    ]);
    expect(found).toMatchObject({ rankFiles: [{ path: expect.stringContaining('model_rng.pt') }] });
  });

  it.each([
    ['a hole', ['00_000', '01_000', '00_001'], 'has 3 of 2 tensor ranks × 2 pipeline stages; missing: mp_rank_01_001'],
    ['a first rank missing', ['01'], 'missing: mp_rank_00'],
    ['two naming schemes', ['00', '01_000'], 'with and without a stage number'],
    ['a foreign name', ['00', 'x'], '"mp_rank_x"'],
  ])('%s is refused', async (_, ranks, message) => {
    const names = ranks.map((name) => rank('iter_0000001', name));
    await expect(located([`${TRACKER}=1`, ...names])).rejects.toThrow(at({ code: 'CPT_FORMAT_RANK_GRID', message }));
  });

  it('a rank directory without its file is refused', async () => {
    const names = [`${TRACKER}=1`, rank('iter_0000001', '00'), 'iter_0000001/mp_rank_01/distrib_optim.pt'];
    await expect(located(names)).rejects.toThrow('has no model_optim_rng.pt: it has distrib_optim.pt');
    await expect(located([`${TRACKER}=1`, 'iter_0000001/mp_rank_00/'])).rejects.toThrow('it is empty');
  });

  it('expert ranks are refused by name', async () => {
    const names = [`${TRACKER}=1`, rank('iter_0000001', '00_000_000')];
    await expect(located(names)).rejects.toThrow(
      expect.objectContaining({
        code: 'CPT_UNSUPPORTED_MODEL',
        details: expect.objectContaining({ feature: 'expert parallelism' }),
      }),
    );
  });
});

describe('a distributed checkpoint', () => {
  it.each([
    ['of Megatron', ['metadata.json', '.metadata', '__0_0.distcp'], []],
    ['of torch alone', ['.metadata', '__0_0.distcp'], [expect.stringContaining('metadata.json is missing')]],
  ])('%s', async (_, names, notes) => {
    const files = names.map((name) => `iter_0000001/${name}`);
    expect(await located([`${TRACKER}=1`, ...files])).toMatchObject({ format: 'torch_dist', notes });
  });

  it('metadata.json wins over rank directories, as in Megatron', async () => {
    expect(await located(['metadata.json', rank('.', '00')])).toMatchObject({ format: 'torch_dist' });
  });
});

it('names directories as Megatron does', () => {
  expect([iterationDirectoryName(7), iterationDirectoryName(12_345_678)]).toEqual(['iter_0000007', 'iter_12345678']);
  expect([rankDirectoryName(3, 0, 1), rankDirectoryName(3, 12, 16)]).toEqual(['mp_rank_03', 'mp_rank_03_012']);
});
