import { mergeConfig } from 'vitest/config';
import shared from '../../vitest.shared.ts';

/** One PostgreSQL for the whole run; every test file makes its own database in it. */
export default mergeConfig(shared, { test: { globalSetup: ['test/start-postgres.ts'] } });
