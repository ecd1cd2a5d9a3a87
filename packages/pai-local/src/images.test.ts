import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { imageEnvironment, imageName, openImage } from './images.ts';

let images: string;
beforeAll(async () => {
  images = await mkdtemp(join(tmpdir(), 'images-'));
  for (const name of ['plain', 'with-env', 'list', 'number', 'broken']) await mkdir(join(images, name));
  await writeFile(join(images, 'with-env/env.json'), `{"HOME_OF_CODE":"${'$'}{IMAGE}/code","PATH":"/own"}`);
  await writeFile(join(images, 'list/env.json'), '["a"]');
  await writeFile(join(images, 'number/env.json'), '{"A":1}');
  await writeFile(join(images, 'broken/env.json'), '{');
  await writeFile(join(images, 'file'), '');
});
afterAll(() => rm(images, { recursive: true }));

it.each([
  ['tiny-megatron', 'tiny-megatron'],
  ['tiny-megatron:latest', 'tiny-megatron'],
  ['registry.cn-hangzhou.aliyuncs.com:5000/ns/tiny-megatron:1.0', 'tiny-megatron'],
  ['a/b/tiny-vllm@sha256:0123', 'tiny-vllm'],
  ['tiny-vllm:1@sha256:0123', 'tiny-vllm'],
])('the name of %s is %s', (reference, name) => {
  expect(imageName(reference)).toBe(name);
});

describe('openImage', () => {
  it('gives the folder and its environment', async () => {
    expect(await openImage(images, 'r/plain:1')).toEqual({ name: 'plain', directory: join(images, 'plain'), env: {} });
    const { env } = await openImage(images, 'with-env');
    expect(env).toEqual({ HOME_OF_CODE: join(images, 'with-env/code'), PATH: '/own' });
  });

  it('takes the name of its folder as it is', async () => {
    const odd = join(images, 'a$&b');
    await mkdir(join(odd, 'plain'), { recursive: true });
    await writeFile(join(odd, 'plain/env.json'), JSON.stringify({ CODE: `${'$'}{IMAGE}/code` }));
    expect((await openImage(odd, 'plain')).env.CODE).toBe(join(odd, 'plain/code'));
  });

  it.each(['absent', 'file', '..', 'x/..', '', ':latest', 'list', 'number', 'broken'])('refuses "%s"', async (name) => {
    await expect(openImage(images, name)).rejects.toThrow(expect.objectContaining({ code: 'CPT_INPUT_IMAGE' }));
  });
});

describe('imageEnvironment', () => {
  it('puts the image first on the path, this node next, and lets the image say otherwise', async () => {
    const path = [join(images, 'plain/bin'), dirname(process.execPath), '/usr/bin'].join(delimiter);
    expect(imageEnvironment(await openImage(images, 'plain'), '/home', '/usr/bin')).toEqual({
      PATH: path,
      HOME: '/home',
      LANG: 'C.UTF-8',
    });
    expect(imageEnvironment(await openImage(images, 'with-env'), '/home', '/usr/bin').PATH).toBe('/own');
  });
});
