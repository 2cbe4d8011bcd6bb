/** What a room's mutants are run against; see rooms.mjs. The runs of properties are few, and always the same. */
import { defineConfig, type ViteUserConfig } from 'vitest/config';

process.env['ALLUVIUM_RUNS_FACTOR'] = '0.05';
process.env['ALLUVIUM_SEED'] = '1';

const config: ViteUserConfig = defineConfig({
  test: {
    include: (process.env['ALLUVIUM_MUTATION_TESTS'] ?? 'test/storage/**/*.test.ts').split(' '),
    setupFiles: ['test/mutation/setup.ts'],
    testTimeout: 10_000,
    typecheck: { enabled: false },
  },
});
export default config;
