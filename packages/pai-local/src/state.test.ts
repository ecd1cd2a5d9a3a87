import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nextSequence, openStore } from './state.ts';

interface Thing {
  kind: 'thing';
  sequence: number;
  text: string;
}
const thing = (sequence: number, text = ''): Thing => ({ kind: 'thing', sequence, text });

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'state-'));
});
afterAll(() => rm(root, { recursive: true }));

describe('openStore', () => {
  it('gives back after a restart what was put and not deleted', async () => {
    const directory = join(root, 'a/b');
    const store = await openStore<Thing>(directory, 'thing');
    for (let i = 0; i < 50; i++) store.put('busy', thing(1, `version ${i}`));
    store.put('gone', thing(2));
    store.put('kept', thing(3, 'é'));
    store.delete('gone');
    await store.flush();
    store.put('late', thing(4)); // after the writer has come to rest
    await store.flush();
    expect((await readdir(directory)).sort()).toEqual(['busy.json', 'kept.json', 'late.json']);

    const again = await openStore<Thing>(directory, 'thing');
    expect(again.values()).toEqual(expect.arrayContaining([thing(1, 'version 49'), thing(3, 'é'), thing(4)]));
    expect(again.get('gone')).toBeUndefined();
    expect(nextSequence(again.values())).toBe(5);
    expect(nextSequence([])).toBe(1);
  });

  it('writes changes that are made in place, and those made while it writes', async () => {
    const directory = join(root, 'in-place');
    const store = await openStore<Thing>(directory, 'thing');
    const record = thing(1, 'first');
    store.put('x', record);
    const written = store.flush();
    record.text = 'second';
    store.put('x', record);
    await written;
    expect(JSON.parse(await readFile(join(directory, 'x.json'), 'utf8'))).toEqual(thing(1, 'second'));
  });

  it('says so when a change could not be written', async () => {
    const directory = join(root, 'removed');
    const store = await openStore<Thing>(directory, 'thing');
    await rm(directory, { recursive: true });
    store.put('x', thing(1));
    await expect(store.flush()).rejects.toThrow('ENOENT');
  });

  it.each(['{', '[]', '{"kind":"job"}', 'null'])('refuses a file with %s', async (text) => {
    const directory = await mkdtemp(join(root, 'bad-'));
    await writeFile(join(directory, 'x.json'), text);
    await expect(openStore<Thing>(directory, 'thing')).rejects.toThrow(
      expect.objectContaining({ code: 'CPT_FORMAT_STATE_FILE', message: expect.stringContaining('x.json') }),
    );
  });
});
