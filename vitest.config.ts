import { defineConfig, type ViteUserConfig } from 'vitest/config';

/** Where `.ci/run` wants the counts as JSON; by hand there is no such file. */
const summaryFile = process.env['TEST_SUMMARY_FILE'];

const config: ViteUserConfig = defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // The machine may be busy: a hang is what a timeout is to find, not a slow minute.
    testTimeout: 60_000,
    reporters: summaryFile === undefined ? ['default'] : ['default', ['json', { outputFile: summaryFile }]],
    // What is left of these three: rethrown bugs of our own, defaults that no caller leaves out, and what only a crash reaches.
    coverage: {
      include: ['src/**'],
      thresholds: {
        'src/storage/codec/**': { branches: 98 },
        'src/storage/manifest/**': { branches: 95 },
        'src/storage/wal/**': { branches: 93 },
      },
    },
  },
});
export default config;
