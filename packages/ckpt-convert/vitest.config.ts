import { join } from 'node:path';
import { mergeConfig } from 'vitest/config';
import shared from '../../vitest.shared.ts';

/** Threads that tests start run the sources too. */
const register = join(import.meta.dirname, '../mmap/test/register-typescript.mjs');

export default mergeConfig(shared, { test: { execArgv: ['--conditions=development', '--import', register] } });
