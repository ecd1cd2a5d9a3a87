import { describe, expect, it } from 'vitest';
import { run72B } from '../../test/sample-specs.ts';
import { wireJob } from '../../test/scripted-job.ts';
import { scriptedPai } from '../../test/scripted-pai.ts';
import { megatronCommand } from '../megatron-command.ts';
import type { WireJob } from '../pai-wire.ts';
import type { FolderTree } from './checkpoints.ts';
import { planJobResume, readCheckpoints, readRestartTruth } from './resume-job.ts';

const TOKENS = 32_768;
const spec = run72B(
  { train_tokens: 1000 * TOKENS, warmup_tokens: 100 * TOKENS },
  { parallel: { tensorParallelSize: 1, pipelineParallelSize: 1 } },
);
const FOLDER = 'pretrain-mcore-qwen2-72B-ti-1000-wi-100';
const saved = (iteration: number): string =>
  `  successfully saved checkpoint from iteration ${iteration} to /somewhere/checkpoint/${FOLDER} [ t 1/1, p 1/1 ]`;
const line = (iteration: number): string => ` iteration ${iteration}/ 1000 | lm loss: 2.0E+00 |`;

const paiWith = (job: Partial<WireJob> & { Status?: string }, logs: readonly string[] = []) =>
  scriptedPai({
    GetJob: () =>
      wireJob(job.Status ?? 'Failed', [{ PodId: 'dlc1-master-0' }], { UserCommand: megatronCommand(spec), ...job }),
    GetPodLogs: () => ({ Logs: [...logs], JobId: 'dlc1', PodId: 'dlc1-master-0' }),
  });

/** A tree in memory; every rank file is a whole zip unless its text is given. */
function tree(files: Record<string, string>): FolderTree {
  const zipEnd = `PK\u0005\u0006${'\0'.repeat(18)}`;
  const bytes = (path: string): Buffer => Buffer.from(files[path] === 'zip' ? zipEnd : (files[path] ?? ''), 'latin1');
  return {
    async list(path) {
      const names = new Map<string, boolean>();
      for (const file of Object.keys(files)) {
        if (!file.startsWith(`${path}/`)) continue;
        const [name = '', ...rest] = file.slice(path.length + 1).split('/');
        names.set(name, rest.length > 0);
      }
      return [...names].map(([name, isFolder]) => ({
        name,
        isFolder,
        bytes: isFolder ? 0 : bytes(`${path}/${name}`).length,
      }));
    },
    readText: async (path) => files[path],
    readEnd: async (path, count) => bytes(path).subarray(-count),
  };
}
const rank = (iteration: string, folder = FOLDER): string =>
  `checkpoint/${folder}/iter_${iteration}/mp_rank_00/model_optim_rng.pt`;
const tracker = `checkpoint/${FOLDER}/latest_checkpointed_iteration.txt`;
const refused = (message: string) => ({ code: 'CPT_INPUT_JOB_RESUME', message: expect.stringContaining(message) });

describe('readCheckpoints', () => {
  it('G7: finds the newest complete checkpoint of the run below `checkpoint`, and says what is wrong with a newer one', async () => {
    const output = tree({ [rank('0000400')]: 'zip', [rank('0000500')]: 'cut', [tracker]: '500' });
    expect(await readCheckpoints(paiWith({}), 'dlc1', spec, { output })).toMatchObject({
      newest: { iteration: 400, folder: `checkpoint/${FOLDER}`, format: 'torch', hasOptimizer: false },
      incomplete: [{ iteration: 500, problems: [expect.stringContaining('its 3 bytes')] }],
      tracker: '500',
    });
    await expect(readCheckpoints(paiWith({}), 'dlc1', spec, { output: tree({}) })).rejects.toMatchObject(
      refused('which folder is this run’s is not clear'),
    );
  });
});

describe('planJobResume', () => {
  it('goes on from the newest complete checkpoint in the output folder', async () => {
    const output = tree({ [rank('0000400')]: 'zip', [rank('0000500')]: 'cut', [tracker]: '500' });
    const plan = await planJobResume(paiWith({}), 'dlc1', spec, { output });
    expect(plan.checkpoint).toEqual({ iteration: 400, directory: `/mnt/output/checkpoint/${FOLDER}` });
    expect(plan.notes.join()).toContain('iteration 500 is not complete: mp_rank_00/model_optim_rng.pt: its 3 bytes');
    expect(plan.spec.tags).toMatchObject({ 'cpt-resumed-from': 'dlc1', 'cpt-resumed-at': '400' });
  });

  it('without a view of it, from what the log says, and says so', async () => {
    const plan = await planJobResume(paiWith({}, [saved(300), line(310), saved(400), line(444)]), 'dlc1', spec);
    expect(plan.checkpoint).toEqual({ iteration: 400, directory: `/mnt/output/checkpoint/${FOLDER}` });
    expect(plan.notes).toEqual(['the files were not looked at: the log says that this checkpoint was saved']);
    await expect(planJobResume(paiWith({}, [line(9)]), 'dlc1', spec)).rejects.toMatchObject(
      refused('no complete checkpoint'),
    );
  });

  it('from the iteration that is asked for, when that one is complete', async () => {
    const output = tree({
      [rank('0000300')]: 'zip',
      [rank('0000400')]: 'zip',
      [rank('0000200')]: 'cut',
      [tracker]: '400',
    });
    const at = (iteration: number) => planJobResume(paiWith({}), 'dlc1', spec, { output, iteration });
    expect((await at(300)).checkpoint.iteration).toBe(300);
    await expect(at(200)).rejects.toMatchObject(refused('no complete checkpoint of iteration 200'));
    await expect(at(350)).rejects.toMatchObject(refused('no complete checkpoint of iteration 350'));
  });

  it('refuses a job that runs, one of another specification, and one of QuickStart', async () => {
    await expect(planJobResume(paiWith({ Status: 'Running' }), 'dlc1', spec)).rejects.toMatchObject(
      refused('stop it first'),
    );
    const other = paiWith({ UserCommand: 'sleep 1' });
    await expect(planJobResume(other, 'dlc1', spec)).rejects.toMatchObject(refused('is not that of dlc1'));
    await expect(planJobResume(paiWith({}), 'train1', spec)).rejects.toMatchObject(refused('QuickStart'));
  });

  it('does not guess which folder is the run’s', async () => {
    const twice = { [rank('0000400')]: 'zip', [rank('0000400', `lr-2-${FOLDER}`)]: 'zip' };
    await expect(planJobResume(paiWith({}), 'dlc1', spec, { output: tree(twice) })).rejects.toMatchObject(
      refused('name it'),
    );
    const chosen = await planJobResume(paiWith({}), 'dlc1', spec, { output: tree(twice), folder: FOLDER });
    expect(chosen.checkpoint.iteration).toBe(400);
    const told = await planJobResume(paiWith({}, [saved(400)]), 'dlc1', spec, { output: tree(twice) });
    expect(told.checkpoint.directory).toBe(`/mnt/output/checkpoint/${FOLDER}`);
  });

  it('takes other data only where the samples begin anew', async () => {
    const data = { train: '/mnt/data/rest' };
    const anew = await planJobResume(paiWith({}, [saved(400)]), 'dlc1', spec, { order: 'anew', data });
    expect(anew.spec.data).toEqual(data);
    expect(anew.parts.find(({ part }) => part === 'data')?.why).toContain('/mnt/data/rest');
    await expect(planJobResume(paiWith({}, [saved(400)]), 'dlc1', spec, { data })).rejects.toMatchObject(
      refused('use "anew"'),
    );
  });
});

it('readRestartTruth joins log, files and flags, of a running job too', async () => {
  const output = tree({ [rank('0000400')]: 'zip', [tracker]: '400' });
  const pai = paiWith({ Status: 'Running' }, [saved(400), line(444)]);
  const launcher = { loadsFromOutput: true };
  expect(await readRestartTruth(pai, 'dlc1', spec, { output, launcher })).toMatchObject({
    ...{ outcome: 'weights-only', lostIterations: 44, checkpoint: { iteration: 400 } },
  });
  const unseen = await readRestartTruth(pai, 'dlc1', spec, { output: tree({}), launcher });
  expect(unseen).toMatchObject({ lostIterations: 444, notes: [expect.stringContaining('there is no folder')] });
});
