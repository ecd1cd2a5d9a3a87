import { describe, expect, it } from 'vitest';
import { ERRORS } from '../packages/core/src/errors.ts';
import { PACKAGES, read, sourcesOf } from './source-files.ts';

const documented = [...read('docs/errors.md').matchAll(/^\| `(CPT_\w+)` \| (\d+) \| (yes|no) \| (.+) \|$/gm)].map(
  ([, code, status, retry, meaning]) => ({ code, status: Number(status), retry: retry === 'yes', meaning }),
);

describe('docs/errors.md', () => {
  it('lists exactly the registry, with the same status, retry and meaning', () => {
    const registry = Object.entries(ERRORS).map(([code, entry]) => ({
      code,
      status: entry.httpStatus,
      retry: entry.retryable,
      meaning: entry.meaning,
    }));
    expect(documented).toEqual(registry);
  });
});

describe('the registry', () => {
  const sources = PACKAGES.flatMap(sourcesOf).filter((path) => path !== 'packages/core/src/errors.ts');
  const used = new Set(sources.flatMap((path) => read(path).match(/\bCPT_[A-Z]+(?:_[A-Z0-9]+)+\b/g) ?? []));

  it('has no code that nothing throws', () => {
    expect(Object.keys(ERRORS).filter((code) => !used.has(code))).toEqual([]);
  });
});
