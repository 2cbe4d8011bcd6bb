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
  // A core judges about 120 images a second, and there are two files: 200,000 in a quarter of an hour where two cores are free,
  // 1,000,000 (factor 60) in an hour and a quarter.
  {
    id: 'T1',
    title: 'a crash at every file call',
    ...vitest(12, 'test/crash/crash-points.test.ts', 'test/crash/crash-points-of-consumers.test.ts'),
  },
  {
    id: 'T2',
    title: 'a crash at every file call of the recovery from one',
    ...vitest(2, 'test/crash/crash-in-recovery.test.ts'),
  },
  // Factor 12 fails every call once; 72 in each of the six ways, too: an hour.
  { id: 'T3', title: 'an error at every file call', ...vitest(12, 'test/crash/fault-points.test.ts') },
  // 360 kills, of five workloads. 2,000 of them: factor 100, an hour.
  {
    id: 'T4',
    title: 'killed from outside, at random moments',
    ...vitest(18, 'test/crash/consumer-kill.test.ts', 'test/crash/store-kill.test.ts'),
  },
  // 200 cuts of each file system that is here: factor 5. Without root and loop devices it says so, and tries nothing.
  {
    id: 'T5',
    title: 'the power cut off under ext4 and xfs',
    program: 'node',
    words: ['test/trust/power-cut.mjs'],
    env: { ALLUVIUM_RUNS_FACTOR: '5' },
  },
  // Every damage there is (a factor of 3,000 and more) is some 380,000: a night. 40 tries some 30,000 of them.
  { id: 'T6', title: 'damage to each byte and file of small stores', ...vitest(40, 'test/crash/damage.test.ts') },
  {
    id: 'T7',
    title: 'damage to a store of 2,000 keys, read by a process of its own',
    program: process.execPath,
    words: ['test/crash/damaged/run.mjs'],
  },
  // A night: 1,000.
  { id: 'T8', title: 'reads that give something else', ...vitest(30, 'test/crash/faulty-reads.test.ts') },
  // Two million nonces, 50,000 values, 800 crashes, in 21 minutes beside a load of 30, so in few alone. A night: factor 10,000.
  { id: 'ENC', title: 'encrypted values: damaged, moved, crashed', ...vitest(100, 'test/encryption') },
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
  // T9 to T14: estimated for about ten minutes each on a quiet machine, T12 for longer (0.7 s and more for each of its lives).
  // A night: ten times the factor. Each message of a failure has the seed that repeats it.
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
  // 200 repairs of damaged directories for each engine; a night takes a factor of 1,000.
  {
    id: 'T6R',
    title: "repair of damaged directories, ours and LevelDB's",
    ...vitest(20, 'test/repair/leveldb-damage.test.ts'),
  },
  // 20,000 inputs for each decoder. A night: factor 20,000.
  { id: 'T13', title: 'decoders, fuzzed by coverage', ...vitest(200, 'test/fuzz') },
  { id: 'T20', title: 'planted bugs', program: 'node', words: ['test/canaries/run.mjs'] },
  // 300 kills, in seven minutes alone. A night: factor 7,000.
  {
    id: 'ATTACH',
    title: 'ten processes attached to one store, its owner killed again and again',
    ...vitest(100, 'test/attach/kill.test.ts'),
  },
  // Some 180 kills. A night: factor 2,000.
  {
    id: 'CLI',
    title: 'backup, restore, import and repair killed as a user runs them',
    ...vitest(30, 'test/cli/kill.test.ts'),
  },
];
