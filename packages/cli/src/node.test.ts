import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readJsonFile, runProgram, startServer } from './node.ts';

let folder: string;
const program = (name: string, source: string): string => {
  const path = join(folder, name);
  writeFileSync(path, source);
  return path;
};
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cpt-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

describe('runProgram', () => {
  it('gives the last line of stdout, parsed', async () => {
    const path = program(
      'ok.mjs',
      "console.log('progress'); console.log(JSON.stringify({ args: process.argv.slice(2) }))",
    );
    expect(await runProgram(path, ['a', '--b'])).toEqual({ args: ['a', '--b'] });
  });

  it('fails with the last words and the code of the program', async () => {
    const path = program('bad.mjs', "console.error('first'); console.error('error: no such file'); process.exit(2)");
    await expect(runProgram(path, [])).rejects.toMatchObject({
      code: 'CPT_PROGRAM_FAILED',
      message: 'bad.mjs ended with code 2: error: no such file',
    });
  });
});

describe('startServer', () => {
  it('waits for the line with the URL, and stop ends the process', async () => {
    const path = program(
      'server.mjs',
      `console.log('starting'); console.log(JSON.stringify({ url: 'http://127.0.0.1:1/' + process.pid })); setInterval(() => {}, 1000)`,
    );
    const server = await startServer(path, []);
    const pid = Number(server.url.split('/').at(-1));
    expect(isAlive(pid)).toBe(true);
    await server.stop();
    await server.stop();
    expect(isAlive(pid)).toBe(false);
  });

  it('says why a server did not start, and leaves nothing running', async () => {
    const dies = program('dies.mjs', "console.error('error: port taken'); process.exit(1)");
    await expect(startServer(dies, [])).rejects.toThrow('dies.mjs ended with code 1: error: port taken');
    const hangs = program('hangs.mjs', 'setInterval(() => {}, 1000)');
    await expect(startServer(hangs, [], {}, 300)).rejects.toThrow('not ready after 300 ms');
  });
});

describe('readJsonFile', () => {
  it('names a file that is missing or not JSON', async () => {
    await expect(readJsonFile(join(folder, 'none.json'))).rejects.toMatchObject({ code: 'CPT_INPUT_FILE_MISSING' });
    const path = program('half.json', '{"a": 1');
    await expect(readJsonFile(path)).rejects.toThrow(/half\.json: not JSON/);
  });
});
