import { statfsSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig, mergeConfig } from 'vitest/config';
import shared from '../../vitest.shared.ts';

/** Threads and processes that tests start run the sources too. */
const register = join(import.meta.dirname, '../../checks/register-typescript.mjs');

export default mergeConfig(
  shared,
  defineConfig({
    test: {
      execArgv: ['--conditions=development', '--import', register],
      env: temporaryFolder('/dev/shm'),
      // Loading the package anew for each of sixty files takes as long as half of the tests.
      isolate: false,
    },
  }),
);

/** In memory, where there is some: ten thousand small files that are each waited for until they are on a disk take longer than the rest. */
function temporaryFolder(inMemory: string): { TMPDIR?: string } {
  try {
    const { bavail, bsize } = statfsSync(inMemory);
    return bavail * bsize >= 1024 ** 3 ? { TMPDIR: inMemory } : {};
  } catch {
    return {};
  }
}
