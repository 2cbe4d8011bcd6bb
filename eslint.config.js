import rxjsX from 'eslint-plugin-rxjs-x';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

const fpTsSpecifier = {
  regex: '^fp-ts($|/(?!lib/[A-Za-z]+\\.js$))',
  message: 'Write fp-ts/lib/<Module>.js: the only specifier native ESM resolves.',
};

const timers = ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask'];
const notInStorage = 'Storage has no timers, no clock and no randomness of its own: take it as an argument.';
const notInSource = 'Time and chance come from the Clock (src/streams/clock.ts), so that a test can decide about them.';
const clocks = [...timers, 'performance', 'crypto'];
const clockProperties = [
  ['Math', 'random'],
  ['Date', 'now'],
  ['process', 'hrtime'],
  ['process', 'nextTick'],
  ['AbortSignal', 'timeout'],
];
/** `new Date(milliseconds)` is a pure function and stays allowed. */
const clockSyntax = ["NewExpression[callee.name='Date'][arguments.length=0]", "CallExpression[callee.name='Date']"];
/** What is forbidden everywhere in `src` but in the one place that is injected. */
const noClock = (message) => ({
  'no-restricted-globals': ['error', ...clocks.map((name) => ({ name, message }))],
  'no-restricted-properties': [
    'error',
    ...clockProperties.map(([object, property]) => ({ object, property, message })),
  ],
  'no-restricted-syntax': ['error', ...clockSyntax.map((selector) => ({ selector, message }))],
});
const clockModules = (message) => [
  { regex: '^(node:)?(timers|perf_hooks)', message },
  { regex: '^(node:)?crypto$', importNamePattern: '^(random|webcrypto)', message },
];
/** Operators and schedulers of RxJS that set timers. `asyncScheduler` is a default that our streams never leave in place. */
const rxjsTimers =
  '^(timer|interval|delay|delayWhen|timeout|timeoutWith|debounceTime|throttleTime|auditTime|sampleTime|windowTime|timeInterval|timestamp|.*Scheduler)$';

export default defineConfig(
  globalIgnores([
    '**/dist',
    'coverage',
    'api',
    'reports',
    '.stryker-tmp',
    'docs-out',
    '*.js',
    'test/examples.generated',
    '*.cjs',
  ]),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, rxjsX.configs.strict],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // An Operation that nobody subscribes to does nothing: these two say so before it runs.
      '@typescript-eslint/no-floating-promises': ['error', { checkThenables: true }],
      'rxjs-x/no-floating-observables': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      'no-restricted-imports': ['error', { patterns: [fpTsSpecifier] }],
    },
  },
  {
    files: ['src/**'],
    rules: noClock(notInSource),
  },
  {
    files: ['src/storage/**'],
    rules: {
      ...noClock(notInStorage),
      'no-restricted-imports': ['error', { patterns: [fpTsSpecifier, ...clockModules(notInStorage)] }],
    },
  },
  {
    files: ['src/operators/**'],
    rules: { 'no-restricted-imports': ['error', { patterns: [fpTsSpecifier, ...clockModules(notInSource)] }] },
  },
  {
    files: ['src/streams/**'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            fpTsSpecifier,
            ...clockModules(notInSource),
            { regex: '^rxjs$', importNamePattern: rxjsTimers, message: notInSource },
          ],
          paths: [
            {
              name: 'rxjs',
              importNames: ['concatMap', 'mergeMap', 'bufferTime', 'observeOn', 'ReplaySubject', 'zip'],
              message: 'Hides an unbounded queue. Use an operator from src/operators.',
            },
          ],
        },
      ],
    },
  },
  {
    // Operations and streams are Observables that can be awaited or iterated, and nothing else makes subclasses.
    files: ['src/streams/operation.ts', 'src/streams/stream.ts'],
    rules: { 'rxjs-x/no-subclass': 'off' },
  },
  {
    files: ['demo/**'],
    rules: { 'rxjs-x/no-ignored-error': 'off', 'rxjs-x/no-ignored-default-value': 'off' }, // Either ends the tour loudly.
  },
  {
    files: ['test/**'],
    rules: { 'rxjs-x/no-ignored-error': 'off', 'rxjs-x/no-ignored-default-value': 'off' },
  },
);
