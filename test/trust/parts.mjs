// The parts of `npm run test:trust`, in the order in which they run. Each is a command that ends with 0 if nothing was found;
// what it tried it says by `recordFigures` (test/support/figures.ts), or as such a line of JSON in ALLUVIUM_FIGURES_FILE.

/** Test files by vitest, with the number of runs of `npm test` times `factor`. */
const vitest = (factor, ...words) => ({
  program: 'npx',
  words: ['vitest', 'run', '--typecheck.enabled=false', '--testTimeout=0', ...words],
  env: { ALLUVIUM_RUNS_FACTOR: String(factor) },
});

/** A script that measures itself, in a process of its own: memory and event loop would be vitest's as well. */
const script = (name, flags = []) => ({ program: 'node', words: [...flags, `test/trust/${name}.mjs`] });

/** @type {readonly { id: string, title: string, program: string, words: readonly string[], env?: Record<string, string> }[]} */
export const parts = [
  { id: 'T4', title: 'killed from outside, at random moments', ...vitest(25, 'test/crash/consumer-kill.test.ts') },
  // Six minutes; an hour with ALLUVIUM_RUNS_FACTOR=10, a night with 80.
  { id: 'T15', title: 'mixed work for long: memory, descriptors, disk', ...script('soak', ['--expose-gc']) },
  // A minute and a half; on a quiet machine, with nothing beside it. Half an hour with ALLUVIUM_RUNS_FACTOR=20.
  { id: 'T16', title: 'the event loop under flush and compaction', ...script('event-loop') },
  // A thousand directories, five minutes; a night is a factor of 10,000.
  {
    id: 'T21',
    title: 'directories made to do harm, opened for reading',
    ...vitest(100, 'test/security/untrusted-directory.test.ts'),
  },
];
