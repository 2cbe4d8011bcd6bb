/**
 * Imports point down, never up: index -> streams -> operators -> storage -> model, errors.
 * Guests (adapters, bench, demo, examples) come in by the front door: the package's own name.
 *
 * @type {import('dependency-cruiser').IConfiguration}
 */
const fileSystem = '^(node:)?(fs|fs/promises|net)$';
const guests = '^(adapters|bench|demo|examples)/';

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'nothing-unresolved',
      comment:
        'An import that does not resolve escapes every other rule here. (The package itself resolves once built.)',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'hall-imports-nothing',
      severity: 'error',
      from: { path: '^src/(model|errors)\\.ts$' },
      to: { path: '^src/', pathNot: '^src/(model|errors)\\.ts$' },
    },
    {
      name: 'storage-points-down',
      severity: 'error',
      from: { path: '^src/storage' },
      to: { path: '^src/', pathNot: '^src/(storage/|(model|errors)\\.ts$)' },
    },
    {
      name: 'storage-knows-no-rxjs',
      severity: 'error',
      from: { path: '^src/storage' },
      to: { path: ['node_modules/rxjs'] },
    },
    {
      name: 'operators-take-ports',
      comment: 'Operators may import types of storage, never its code.',
      severity: 'error',
      from: { path: '^src/operators' },
      to: { path: '^src/storage', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'operators-know-no-streams',
      severity: 'error',
      from: { path: '^src/operators' },
      to: { path: '^src/(streams|index)' },
    },
    {
      name: 'streams-know-no-door',
      severity: 'error',
      from: { path: '^src/streams' },
      to: { path: '^src/index' },
    },
    {
      name: 'only-the-port-touches-disk-and-sockets',
      comment: 'Only src/storage/file-system/node-*.ts may; everything else takes the port as an argument.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/storage/file-system/node-[^/]+\\.ts$' },
      to: { path: [fileSystem, 'node_modules/fs-native-extensions'] },
    },
    {
      name: 'guests-come-in-by-the-door',
      comment: 'They import the package by its own name, as users do.',
      severity: 'error',
      from: { path: guests },
      to: { path: '^(src|dist)/', pathNot: '^dist/(operators/)?index\\.(js|d\\.ts)$' },
    },
    {
      name: 'src-never-imports-guests-or-tests',
      severity: 'error',
      from: { path: '^src' },
      to: { path: ['^test/', guests] },
    },
    {
      name: 'src-needs-only-runtime-dependencies',
      severity: 'error',
      from: { path: '^src' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['npm-peer', 'type-only'] },
    },
  ],
  options: {
    doNotFollow: { path: ['node_modules', '^dist'] },
    exclude: { path: '^(demo/dist|test/examples\\.generated|test/ecosystem/packages)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
