import { execFile, execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type PaiLocal, startPaiLocal } from '@pai-cpt/pai-local';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CptClient, type Job, parseToolSpec, type ToolSpec, toolCommand } from '../src/index.ts';

/** Our own programs, as they are installed, on three pods; pods are killed in the middle of their work. */

const KEY = { accessKeyId: 'local-id', accessKeySecret: 'local-secret' };
const PACKAGES = join(import.meta.dirname, '../..');
const FIXTURES = join(PACKAGES, '../fixtures');
const MMAP = join(PACKAGES, 'mmap/bin/cpt-mmap.js');
const CONVERT = join(PACKAGES, 'ckpt-convert/bin/ckpt-convert.js');
const timing = { settleMs: 500, settleReads: 2, confirmMs: 30, firstPollMs: 60, longestPollMs: 200 };
const run = promisify(execFile);

let root: string;
let nas: string;
let pai: PaiLocal;
let client: CptClient;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'tool-jobs-'));
  nas = join(root, 'nas/fs1/work');
  await mkdir(join(root, 'images/tools/bin'), { recursive: true });
  await mkdir(nas, { recursive: true });
  await Promise.all([
    cp(join(FIXTURES, 'corpus'), join(nas, 'corpus'), { recursive: true }),
    cp(join(FIXTURES, 'tokenizer'), join(nas, 'tokenizer'), { recursive: true }),
    cp(join(FIXTURES, 'checkpoints/qwen2-tp2-pp2/megatron'), join(nas, 'checkpoint'), { recursive: true }),
    writeFile(join(root, 'die.mjs'), DIE_AT_ITS_END),
    writeProgram('cpt-mmap', MMAP),
    writeProgram('ckpt-convert', CONVERT),
  ]);
  pai = await startPaiLocal({
    ...{ accessKeys: { [KEY.accessKeyId]: KEY.accessKeySecret }, pace: 20 },
    ...{ stateDirectory: join(root, 'state'), nasDirectory: join(root, 'nas'), imagesDirectory: join(root, 'images') },
  });
  client = new CptClient({ regionId: 'cn-hangzhou', endpoint: pai.url, credential: KEY });
});
afterAll(async () => {
  await pai?.close();
  await rm(root, { recursive: true, force: true });
});

/** The program; on pod 1 the first one is killed before its part counts as ended, and the pod hangs until it is killed too. */
function writeProgram(name: string, path: string): Promise<void> {
  const held = join(root, `${name}-held`);
  const script = `#!/bin/sh
if [ "$RANK" = 1 ] && mkdir "${held}" 2>/dev/null; then
  node --import "${join(root, 'die.mjs')}" "${path}" "$@"
  touch "${held}/now"
  exec sleep 600
fi
exec node "${path}" "$@"
`;
  return writeFile(join(root, 'images/tools/bin', name), script, { mode: 0o755 });
}

/** SIGKILL in place of the rename that ends a part of either program. */
const DIE_AT_ITS_END = `import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
for (const [owner, name] of [[fs, 'renameSync'], [fs.promises, 'rename']]) {
  const rename = owner[name];
  owner[name] = (from, to) => {
    if (/\\.(ended|idx)$/.test(to)) process.kill(process.pid, 'SIGKILL');
    return rename.call(owner, from, to);
  };
}
syncBuiltinESMExports();
`;

const shared = {
  parts: 3,
  image: 'registry.example/tools:1',
  dataSources: [{ uri: 'nas://fs1.cn-hangzhou/work', mountPath: '/mnt/work' }],
  compute: { ecsSpec: 'ecs.c6.large' },
};
const tokenise = (more: Partial<Extract<ToolSpec, { tool: 'tokenise' }>> = {}): ToolSpec => ({
  ...{ tool: 'tokenise', inputs: ['/mnt/work/corpus/english.jsonl'], tokenizer: '/mnt/work/tokenizer' },
  ...{ output: '/mnt/work/out/', ...shared, ...more },
});

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 30_000; !(await isSo()); ) {
    if (Date.now() > end) throw new Error('not within 30 s');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
const isThere = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );
const wait = (jobId: string) => client.jobs.wait(jobId, { timeoutMs: 40_000, pollMs: 50 });

/** Kills pods 0 and 1 when pod 1 hangs and `isReady`; gives the job when it has ended. */
async function throughKills(jobId: string, program: string, isReady: () => Promise<boolean>): Promise<Job> {
  await until(() => isThere(join(root, `${program}-held`, 'now')));
  await until(isReady);
  for (const pod of ['worker-0', 'master-0']) expect(pai.strikePod('kill', `${jobId}-${pod}`)).toBe(true);
  return wait(jobId);
}

describe('a tool job whose pods are killed', () => {
  it('tokenises in three parts what one run gives, byte for byte', async () => {
    const { jobId } = await client.jobs.submitTool(tokenise(), { timing });
    const [work = ''] = await readdirWhenThere(join(nas, 'out'));
    const ended = (part: number) => isThere(join(nas, 'out', work, `${part}.idx`));
    const job = await throughKills(jobId, 'cpt-mmap', async () => (await ended(1)) && !(await ended(2)));
    expect(job).toMatchObject({ phase: 'succeeded', restarts: '2/10' });
    expect(job.pods.map(({ replacedUids = [] }) => replacedUids.length)).toEqual([1, 1, 0]);

    await run(process.execPath, [
      ...[MMAP, 'build', join(nas, 'corpus/english.jsonl'), '--tokenizer', join(nas, 'tokenizer')],
      ...['--output', join(root, 'single')],
    ]);
    for (const kind of ['bin', 'idx']) {
      expect(await readFile(join(nas, `out/dataset.${kind}`))).toEqual(await readFile(join(root, `single.${kind}`)));
    }
    expect(await readdir(join(nas, 'out', work))).toEqual(['done', 'merging']);
  });

  it('converts in three parts what one run gives, byte for byte', async () => {
    const spec: ToolSpec = {
      ...{ tool: 'convert', command: 'to-hf', input: '/mnt/work/checkpoint', output: '/mnt/work/hf', ...shared },
      arguments: ['--max-shard-size', '4KB'],
    };
    const { jobId } = await client.jobs.submitTool(spec, { timing });
    const ended = (part: number) => isThere(join(nas, `hf/.ckpt-convert/part-${part}-of-3.ended`));
    const job = await throughKills(
      jobId,
      'ckpt-convert',
      async () => (await ended(1)) && (await ended(3)) && !(await ended(2)),
    );
    expect(job).toMatchObject({ phase: 'succeeded', restarts: '2/10' });

    const single = join(root, 'single-hf');
    await run(process.execPath, [CONVERT, 'to-hf', join(nas, 'checkpoint'), single, '--max-shard-size', '4KB']);
    const names = (await readdir(single)).filter((name) => /safetensors/.test(name));
    expect(names.length).toBeGreaterThan(3);
    expect((await readdir(join(nas, 'hf'))).sort()).toEqual((await readdir(single)).sort());
    for (const name of names) {
      expect(await readFile(join(nas, 'hf', name))).toEqual(await readFile(join(single, name)));
    }
  });

  it('fails, and says so, when the output is there already', async () => {
    await mkdir(join(nas, 'taken'));
    await writeFile(join(nas, 'taken/dataset.idx'), 'of another');
    const { jobId } = await client.jobs.submitTool(tokenise({ output: '/mnt/work/taken/dataset', parts: 1 }), {
      timing,
    });
    expect(await wait(jobId)).toMatchObject({ phase: 'failed' });
    expect((await client.jobs.logs(jobId)).lines.join('\n')).toContain('is there already');
    expect(await readFile(join(nas, 'taken/dataset.idx'), 'utf8')).toBe('of another');
  });
});

async function readdirWhenThere(path: string): Promise<string[]> {
  await until(async () => (await readdir(path).catch(() => [])).length > 0);
  return readdir(path);
}

describe('the command', () => {
  const anyText = fc
    .string({ minLength: 1, maxLength: 20, unit: fc.constantFrom(...`ab $\`"'\\;&|<>(){}[]*?!~#-=%é`) })
    .map((text) => `x${text}`);

  it('passes every text to the program as it is, and the part counted from 1', () => {
    fc.assert(
      fc.property(anyText, anyText, fc.array(anyText, { maxLength: 4 }), (input, tokenizer, more) => {
        const given = tokenise({
          inputs: [`/${input}`],
          tokenizer: `/${tokenizer}`,
          arguments: more,
          output: '/none/out',
        });
        // Up to the build, which is replaced by printf.
        const lines = toolCommand(parseToolSpec(given)).split('\n');
        const build = lines.find((line) => line.includes('cpt-mmap build')) as string;
        const script = `work=/w part=2\n${build.replace('cpt-mmap build', "printf '%s\\0'").replace('|| exit', '')}`;
        const words = execFileSync('/bin/sh', ['-c', script]).toString('utf8').split('\0').slice(0, -1);
        const own = ['--output', '/w/2', '--part', '2/3'];
        expect(words).toEqual([`/${input}`, '--tokenizer', `/${tokenizer}`, ...more, ...own]);
      }),
      { numRuns: 40 },
    );
  });

  it.each([
    [tokenise({ arguments: ['--shuffle', '7'] }), '/arguments/0 is --shuffle'],
    [tokenise({ arguments: ['--part=1/2'] }), '/arguments/0 is --part'],
    [tokenise({ inputs: ['-'] }), '/inputs/0'],
    [tokenise({ output: '/mnt/$(reboot)' }), '/output'],
    [tokenise({ parts: 0 }), '/parts'],
    [{ ...tokenise(), tool: 'train' }, '/tool'],
    [{ ...tokenise(), compute: {} }, '/compute needs either'],
  ])('%#: refuses what cannot be', (spec, message) => {
    expect(() => parseToolSpec(spec)).toThrow(message);
  });
});
