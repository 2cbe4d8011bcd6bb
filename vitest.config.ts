import { defineConfig, type ViteUserConfig } from 'vitest/config';

/** Where `.ci/run` wants the counts as JSON; by hand there is no such file. */
const summaryFile = process.env['TEST_SUMMARY_FILE'];

const config: ViteUserConfig = defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // The machine may be busy: a hang is what a timeout is to find, not a slow minute.
    testTimeout: 60_000,
    reporters: summaryFile === undefined ? ['default'] : ['default', ['json', { outputFile: summaryFile }]],
    // Of the whole, 95 %; of what bytes become values by, and of what has to be found again after a crash: every branch.
    coverage: {
      include: ['src/**/*.ts'],
      thresholds: {
        branches: 95,
        functions: 95,
        lines: 95,
        statements: 95,
        'src/storage/codec/**': { branches: 100 },
        'src/storage/manifest/**': { branches: 100 },
        'src/storage/wal/**': { branches: 100 },
      },
    },
  },
});
export default config;
