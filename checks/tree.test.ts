import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { ROOT, read } from './source-files.ts';

const tracked = execFileSync('git', ['ls-files'], { cwd: ROOT, encoding: 'utf8' }).split('\n').filter(Boolean);
const text = tracked.filter(
  (path) => /\.(ts|mjs|js|json|md|py|sh|ya?ml)$|\.ci\/run$/.test(path) && !path.endsWith('pnpm-lock.yaml'),
);

describe('the tree', () => {
  it('holds no generated files', () => {
    expect(
      tracked.filter((path) => /(^|\/)(node_modules|dist|coverage|\.turbo|\.cpt|\.results|__pycache__)\//.test(path)),
    ).toEqual([]);
  });

  it('names no folder of one machine', () => {
    const own = [ROOT, process.env.HOME ?? ROOT].filter((path) => path.split('/').length > 2);
    const found = text.filter((path) => own.some((folder) => read(path).includes(`${folder}/`)));
    expect(found).toEqual([]);
  });

  it('keeps source files short enough to read in one sitting', () => {
    const long = tracked
      .filter((path) => /^packages\/[^/]+\/src\/.*\.ts$/.test(path) && !read(path).startsWith('// Generated'))
      .map((path) => ({ path, lines: read(path).split('\n').length }))
      .filter(({ lines }) => lines > 400);
    expect(long).toEqual([]);
  });
});
