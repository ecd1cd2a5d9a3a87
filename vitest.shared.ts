import { defineConfig } from 'vitest/config';

/** Tests read `src` through the `development` export condition, never `dist`; results are kept for the summary. */
export default defineConfig({
  resolve: { conditions: ['development'] },
  ssr: { resolve: { conditions: ['development'] } },
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    passWithNoTests: false,
    env: { NO_COLOR: '1' }, // picocolors paints when CI is set, terminal or not
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: ['default', ['json', { outputFile: '.results/test.json' }]],
  },
});
