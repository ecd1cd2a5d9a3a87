import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findCheckpoints } from './checkpoints.ts';
import { localTree } from './node.ts';

/** The 22 bytes at the end of a zip without entries (APPNOTE 4.3.16): signature, then zeros. */
const ZIP_END = Buffer.from([0x50, 0x4b, 5, 6, ...Array(18).fill(0)]);
const WHOLE = Buffer.concat([Buffer.from('weights'), ZIP_END]);
const RANKS = ['mp_rank_00_000', 'mp_rank_00_001', 'mp_rank_01_000', 'mp_rank_01_001'];
const PARALLEL = { tensorParallelSize: 2, pipelineParallelSize: 2 };
const TRACKER = 'latest_checkpointed_iteration.txt';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'checkpoints-'));
});
afterEach(() => rm(root, { recursive: true }));

async function write(files: Record<string, string | Uint8Array>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(root, 'run', name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
}
const save = (iteration: string, changed: Record<string, Uint8Array | undefined> = {}): Record<string, Uint8Array> => {
  const files = Object.fromEntries(
    RANKS.map((rank) => [`${rank}/model_optim_rng.pt`, WHOLE as Uint8Array | undefined]),
  );
  const all = Object.entries({ ...files, ...changed });
  return Object.fromEntries(all.flatMap(([name, bytes]) => (bytes ? [[`iter_${iteration}/${name}`, bytes]] : [])));
};
const find = (parallel = PARALLEL) => findCheckpoints(localTree(root), 'run', parallel);

describe('findCheckpoints', () => {
  it('takes the newest, which the tracker names', async () => {
    await write({ ...save('0000010'), ...save('0000020'), [TRACKER]: '20\n' });
    expect(await find()).toEqual({
      newest: { iteration: 20, folder: 'run', format: 'torch', hasOptimizer: false },
      ...{ incomplete: [], tracker: '20', notes: [] },
    });
  });

  it.each([
    ['a rank file is missing', { 'mp_rank_01_001/model_optim_rng.pt': undefined }, 'mp_rank_01_001: is not there'],
    [
      'one is empty',
      { 'mp_rank_00_001/model_optim_rng.pt': new Uint8Array() },
      'mp_rank_00_001/model_optim_rng.pt: is empty',
    ],
    [
      'one is cut',
      { 'mp_rank_00_000/model_optim_rng.pt': WHOLE.subarray(0, -1) },
      'mp_rank_00_000/model_optim_rng.pt: its 28 bytes do not end as torch.save ends a file; it is cut',
    ],
    ['the optimizer is cut', { 'mp_rank_00_000/distrib_optim.pt': new Uint8Array(9) }, 'distrib_optim.pt: its 9 bytes'],
  ])('takes the one before the tracker’s when of that %s', async (_, changed, problem) => {
    await write({ ...save('0000010'), ...save('0000020', changed), [TRACKER]: '20' });
    const { newest, incomplete } = await find();
    expect(newest?.iteration).toBe(10);
    expect(incomplete).toMatchObject([{ iteration: 20, problems: [expect.stringContaining(problem)] }]);
  });

  it('does not trust a save that is newer than the tracker, nor a tracker that names nothing', async () => {
    await write({ ...save('0000010'), ...save('0000020'), [TRACKER]: '10' });
    expect(await find()).toMatchObject({ newest: { iteration: 10 }, incomplete: [{ iteration: 20 }] });
    await write({ [TRACKER]: '30' });
    const { newest, notes } = await find();
    expect(newest?.iteration).toBe(20);
    expect(notes).toEqual([`${TRACKER} names 30, whose folder iter_0000030 is not there`]);
  });

  it('wants the ranks of the run’s own division', async () => {
    await write({ ...save('0000010'), [TRACKER]: '10' });
    expect((await find({ tensorParallelSize: 4, pipelineParallelSize: 2 })).incomplete[0]?.problems).toEqual([
      ...['mp_rank_02_000: is not there', 'mp_rank_03_000: is not there'],
      ...['mp_rank_02_001: is not there', 'mp_rank_03_001: is not there'],
    ]);
  });

  it('tells whether the optimizer is there', async () => {
    const optimizer = Object.fromEntries(RANKS.map((rank) => [`${rank}/distrib_optim.pt`, WHOLE]));
    await write({ ...save('0000010', optimizer), [TRACKER]: '10' });
    expect((await find()).newest?.hasOptimizer).toBe(true);
  });

  it('looks at a distributed save by its metadata, which is written last', async () => {
    const files = { 'iter_0000010/__0_0.distcp': 'x', 'iter_0000010/metadata.json': '{}', [TRACKER]: '10' };
    await write(files);
    expect((await find()).incomplete[0]?.problems).toEqual(['.metadata is not there; it is written last']);
    await write({ 'iter_0000010/.metadata': 'm' });
    expect((await find()).newest).toMatchObject({ iteration: 10, format: 'torch_dist' });
    await write({ 'iter_0000010/__1_0.distcp': '' });
    expect((await find()).incomplete[0]?.problems).toEqual(['__1_0.distcp is empty']);
  });

  it('finds nothing in a folder that is not there, and follows no link that leads nowhere', async () => {
    expect(await find()).toEqual({ incomplete: [], notes: [] });
    await write({ [TRACKER]: '5' });
    await symlink(join(root, 'nowhere'), join(root, 'run/iter_0000005'));
    expect((await find()).newest).toBeUndefined();
  });
});
