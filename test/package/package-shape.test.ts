// Goal: what users install is the built package, its papers and nothing else, and it installs without running any script.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');

interface Manifest {
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional: boolean }>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

interface Packed {
  readonly files: readonly { readonly path: string }[];
}

// npm 10 and 11 answer with a list, npm 12 with an object by package name.
const readPacked = (json: string): Packed => {
  const [packed] = Object.values(JSON.parse(json) as Readonly<Record<string, Packed>>);
  if (packed === undefined) throw new Error(`npm pack said nothing: ${json}`);
  return packed;
};

const pack = async (): Promise<Packed> =>
  readPacked((await run('npm', ['pack', '--json', '--ignore-scripts', '--dry-run'], { cwd: root })).stdout);

describe('the manifest', () => {
  let manifest: Manifest;
  beforeAll(async () => {
    manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Manifest;
  });

  it('has no script that runs when the package is installed', () => {
    const scripts = Object.keys(manifest.scripts);

    for (const name of ['preinstall', 'install', 'postinstall', 'prepare', 'prepublish']) {
      expect(scripts).not.toContain(name);
    }
  });

  it('needs fp-ts, takes the rxjs of the user, and can do without the native lock and abstract-level', () => {
    expect(Object.keys(manifest.dependencies)).toEqual(['fp-ts']);
    expect(manifest.peerDependencies).toEqual({ 'abstract-level': '^3.1', rxjs: '^7.8' });
    expect(manifest.peerDependenciesMeta).toEqual({ 'abstract-level': { optional: true } });
    expect(Object.keys(manifest.optionalDependencies)).toEqual(['fs-native-extensions']);
  });

  it('pins its tools, so that a fresh clone next year is checked by the same ones', () => {
    for (const version of Object.values(manifest.devDependencies)) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  });
});

describe('the packed files', () => {
  it('are the built code and the papers, and nothing else', async () => {
    const { files } = await pack();
    const paths = files.map(({ path }) => path);
    const built = paths.filter((path) => path.startsWith('dist/'));

    expect(paths.filter((path) => !path.startsWith('dist/')).toSorted()).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'package.json',
    ]);
    expect([...new Set(built.map((path) => path.split('/')[1]))].toSorted()).toEqual([
      'adapters',
      'errors.d.ts',
      'errors.js',
      'index.d.ts',
      'index.js',
      'model.d.ts',
      'model.js',
      'operators',
      'storage',
      'streams',
    ]);
    expect(built.filter((path) => !/^dist\/[a-z0-9/-]+\.(js|d\.ts)$/.test(path))).toEqual([]);
    const sourceOf = (path: string): string => {
      const source = path.slice('dist/'.length).replace(/(\.d\.ts|\.js)$/, '.ts');
      return join(root, source.startsWith('adapters/') ? source : `src/${source}`);
    };
    expect(built.filter((path) => !existsSync(sourceOf(path)))).toEqual([]);
    expect(built).toEqual(
      expect.arrayContaining([
        'dist/index.js',
        'dist/index.d.ts',
        'dist/operators/index.js',
        'dist/operators/index.d.ts',
        'dist/storage/compaction/worker-main.js',
      ]),
    );
  });
});
