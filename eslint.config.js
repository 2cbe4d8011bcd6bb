import rxjsX from 'eslint-plugin-rxjs-x';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

const fpTsSpecifier = {
  regex: '^fp-ts($|/(?!lib/[A-Za-z]+\\.js$))',
  message: 'Write fp-ts/lib/<Module>.js: the only specifier native ESM resolves.',
};

const timers = ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask'];
const notInStorage = 'Storage has no timers, no clock and no randomness of its own: take it as an argument.';
const notInSource =
  'Say in the comment above, with an eslint-disable-next-line, what ends this timer and who can inject it.';

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
    rules: {
      'no-restricted-globals': ['error', ...timers.map((name) => ({ name, message: notInSource }))],
    },
  },
  {
    files: ['src/storage/**'],
    rules: {
      'no-restricted-globals': [
        'error',
        ...[...timers, 'performance', 'crypto'].map((name) => ({ name, message: notInStorage })),
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Math', property: 'random', message: notInStorage },
        { object: 'Date', property: 'now', message: notInStorage },
        { object: 'process', property: 'hrtime', message: notInStorage },
      ],
      'no-restricted-syntax': [
        'error',
        // `new Date(milliseconds)` is a pure function and stays allowed.
        { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: notInStorage },
        { selector: "CallExpression[callee.name='Date']", message: notInStorage },
      ],
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            fpTsSpecifier,
            { regex: '^(node:)?(timers|perf_hooks)', message: notInStorage },
            { regex: '^(node:)?crypto$', importNamePattern: '^(random|webcrypto)', message: notInStorage },
          ],
        },
      ],
    },
  },
  {
    files: ['src/streams/**'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [fpTsSpecifier],
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
