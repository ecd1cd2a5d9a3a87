import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type PlacedMount, parseDataSources, parseServiceStorage, rewriteMounts } from './mounts.ts';

const mount = (mountPath: string, hostPath: string): PlacedMount => ({ mountPath, hostPath, nasPath: '' });
const DATA = mount('/mnt/data', '/nas/fs/corpus');

// Shell text, not templates.
const DEFAULT = (path: string) => `${'$'}{X:-${path}}`;

describe('rewriteMounts', () => {
  it.each([
    ['/mnt/data', '/nas/fs/corpus'],
    ['ls /mnt/data/x.bin', 'ls /nas/fs/corpus/x.bin'],
    ['--in=/mnt/data/x --out "/mnt/data/y"', '--in=/nas/fs/corpus/x --out "/nas/fs/corpus/y"'],
    ["PATH=/usr/bin:/mnt/data/bin; cat '/mnt/data'", "PATH=/usr/bin:/nas/fs/corpus/bin; cat '/nas/fs/corpus'"],
    ['cp /mnt/data/a /mnt/data//b>/mnt/data/log', 'cp /nas/fs/corpus/a /nas/fs/corpus//b>/nas/fs/corpus/log'],
    [
      `curl -d @/mnt/data/body ${DEFAULT('/mnt/data/y')} {/mnt/data,/tmp}`,
      `curl -d @/nas/fs/corpus/body ${DEFAULT('/nas/fs/corpus/y')} {/nas/fs/corpus,/tmp}`,
    ],
    ['$(cat /mnt/data/list)', '$(cat /nas/fs/corpus/list)'],
  ])('replaces the path in %s', (text, expected) => {
    expect(rewriteMounts(text, [DATA])).toBe(expected);
  });

  it.each([
    '/mnt/database',
    '/mnt/data-2/x',
    '/mnt/data.bak',
    '/mnt/data_valid',
    '/mnt/data数据',
    '/mnt/data$SUFFIX',
    '/mnt/data*',
    '/srv/mnt/data',
    './mnt/data',
    '$ROOT/mnt/data',
    `${DEFAULT('/srv')}/mnt/data`,
    'x-/mnt/data',
    '$(pwd)/mnt/data',
    '~/mnt/data',
    'nas://mnt/data',
    '/mnt/Data',
  ])('leaves %s alone', (text) => {
    expect(rewriteMounts(text, [DATA])).toBe(text);
  });

  it('prefers the longer of nested mounts, in whatever order they are given', () => {
    const inner = mount('/mnt/data/out', '/nas/fs2');
    for (const mounts of [
      [DATA, inner],
      [inner, DATA],
    ]) {
      expect(rewriteMounts('/mnt/data/out/x /mnt/data/other /mnt/data/outer', mounts)).toBe(
        '/nas/fs2/x /nas/fs/corpus/other /nas/fs/corpus/outer',
      );
    }
  });

  it('does not look at what it has put in', () => {
    const swapped = [mount('/a', '/b'), mount('/b', '/a')];
    expect(rewriteMounts('/a/x /b/y', swapped)).toBe('/b/x /a/y');
    expect(rewriteMounts('/mnt/data', [mount('/mnt/data', '/mnt/data/mnt/data')])).toBe('/mnt/data/mnt/data');
  });

  it('takes mount paths and folders as they are, with characters that mean something to patterns', () => {
    expect(rewriteMounts('x /m.n+(t)/f /man+(t)/f', [mount('/m.n+(t)', '/h/$&/$1')])).toBe('x /h/$&/$1/f /man+(t)/f');
  });

  it('replaces every path below a mount and nothing else, for any names', () => {
    const name = fc.stringMatching(/^[a-z0-9_.-]{1,6}$/);
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => `/${names.join('/')}`);
    const separator = fc.constantFrom(' ', '"', "'", '=', ':', ';', '\n', '|', '>');
    fc.assert(
      fc.property(path, path, fc.array(fc.tuple(path, separator)), (mountPath, hostPath, words) => {
        const expected = (word: string) =>
          word === mountPath || word.startsWith(`${mountPath}/`) ? hostPath + word.slice(mountPath.length) : word;
        const text = (map: (word: string) => string) => words.map(([word, end]) => map(word) + end).join('');
        expect(rewriteMounts(text(String), [mount(mountPath, hostPath)])).toBe(text(expected));
      }),
      {
        examples: [
          [
            '/a/b',
            '/h',
            [
              ['/a/b/c', ' '],
              ['/a/bc', ' '],
              ['/x/a/b', ' '],
            ],
          ],
        ],
      },
    );
  });
});

describe('parseDataSources', () => {
  it('reads NAS addresses', () => {
    expect(
      parseDataSources([
        { Uri: 'nas://31a8e4.cn-hangzhou/corpus/zh/', MountPath: '/mnt/data/' },
        { Uri: 'nas://31a8e4-abc.cn-hangzhou.nas.aliyuncs.com/', MountPath: '//mnt/./root', MountAccess: 'RO' },
        { Uri: 'nas://fs.cn-hangzhou', MountPath: '/x' },
      ]),
    ).toEqual([
      { mountPath: '/mnt/data', nasPath: '31a8e4/corpus/zh' },
      { mountPath: '/mnt/root', nasPath: '31a8e4-abc' },
      { mountPath: '/x', nasPath: 'fs' },
    ]);
    expect(parseDataSources(undefined)).toEqual([]);
  });

  it.each([
    ['a data set id', { DataSourceId: 'd-1', MountPath: '/x' }],
    ['OSS', { Uri: 'oss://bucket/x', MountPath: '/x' }],
    ['no mount path', { Uri: 'nas://fs.r/x' }],
    ['a relative mount path', { Uri: 'nas://fs.r/x', MountPath: 'x' }],
    ['the root', { Uri: 'nas://fs.r/x', MountPath: '/' }],
    ['the root by a detour', { Uri: 'nas://fs.r/x', MountPath: '/a/..' }],
    ['a way out of the NAS', { Uri: 'nas://fs.r/../../etc', MountPath: '/x' }],
    ['a way out by the id', { Uri: 'nas://..', MountPath: '/x' }],
    ['a blank', { Uri: 'nas://fs.r/my data', MountPath: '/x' }],
    ['a command', { Uri: 'nas://fs.r/$(reboot)', MountPath: '/x' }],
    ['no object', 'nas://fs.r/x'],
  ])('refuses %s', (_, source) => {
    expect(() => parseDataSources([source])).toThrow(expect.objectContaining({ code: 'InvalidParameter' }));
  });

  it('refuses two sources at one place, and what is no list', () => {
    const source = { Uri: 'nas://fs.r/x', MountPath: '/x' };
    expect(() => parseDataSources([source, { ...source, MountPath: '/x/' }])).toThrow('mounted at /x');
    expect(() => parseDataSources(source)).toThrow('not a list');
  });
});

describe('parseServiceStorage', () => {
  it('reads nfs entries', () => {
    const nfs = { server: '31a8e4.cn-hangzhou.nas.aliyuncs.com', path: '/out/hf', readOnly: true };
    expect(
      parseServiceStorage([
        { mount_path: '/model', nfs },
        { mount_path: '/all', nfs: { server: 'fs.r' } },
      ]),
    ).toEqual([
      { mountPath: '/model', nasPath: '31a8e4/out/hf' },
      { mountPath: '/all', nasPath: 'fs' },
    ]);
    expect(parseServiceStorage(undefined)).toEqual([]);
  });

  it.each([
    ['CPFS', { mount_path: '/model', cpfs: { path: '/x' } }],
    ['an OSS path that is none', { mount_path: '/model', oss: { path: 'bucket/x/' } }],
    ['no server', { mount_path: '/model', nfs: { path: '/x' } }],
    ['no mount path', { nfs: { server: 'fs.r', path: '/x' } }],
    ['a relative path', { mount_path: '/model', nfs: { server: 'fs.r', path: 'x' } }],
  ])('refuses %s', (_, entry) => {
    expect(() => parseServiceStorage([entry])).toThrow(expect.objectContaining({ code: 'InvalidParameter' }));
  });
});
