// The parts of `npm run test:trust`, in the order in which they run. Each is a command that ends with 0 if nothing was found;
// what it tried it says by `recordFigures` (test/support/figures.ts), or as such a line of JSON in ALLUVIUM_FIGURES_FILE.

/** Test files by vitest, with the number of runs of `npm test` times `factor`. */
const vitest = (factor, ...words) => ({
  program: 'npx',
  words: ['vitest', 'run', '--typecheck.enabled=false', '--testTimeout=0', ...words],
  env: { ALLUVIUM_RUNS_FACTOR: String(factor) },
});

/** @type {readonly { id: string, title: string, program: string, words: readonly string[], env?: Record<string, string> }[]} */
export const parts = [
  { id: 'T4', title: 'killed from outside, at random moments', ...vitest(25, 'test/crash/consumer-kill.test.ts') },
  // Factors for ten minutes on two quiet cores; a night takes a hundred times as much, by ALLUVIUM_SEED from another place.
  {
    id: 'T9',
    title: 'random commands, against a model',
    ...vitest(42, 'test/properties/model.property.test.ts', 'test/properties/whole-store.property.test.ts'),
  },
  {
    id: 'T10',
    title: 'every order of file calls, turns and timers',
    ...vitest(20, 'test/properties/interleaving.property.test.ts'),
  },
  {
    id: 'T11',
    title: 'one list of commands, one history; and as LevelDB',
    ...vitest(60, 'test/properties/same-history.property.test.ts'),
  },
  {
    id: 'T12',
    title: 'lives of ten minutes, simulated',
    ...vitest(500, 'test/properties/simulation.property.test.ts'),
  },
  {
    id: 'T14',
    title: 'linearizable, through faults and crashes',
    ...vitest(400, 'test/properties/linearizability.property.test.ts'),
  },
];
