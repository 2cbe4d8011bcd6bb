// Goal: what users get beside this package, and what runs on the machines of those who make it, is on a list: a dependency more, a
// script that runs at installation, or a package without a hash is seen here and not there.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');

interface Locked {
  readonly version?: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly link?: boolean;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly hasInstallScript?: boolean;
}

interface Lock {
  readonly lockfileVersion: number;
  readonly packages: Readonly<Record<string, Locked>>;
}

const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock;
const packages = Object.entries(lock.packages).filter(([path]) => path !== '');
const nameOf = (path: string): string => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);

describe('the lock file', () => {
  it('is of version 3, and has a hash for every package, and none from elsewhere than the registry', () => {
    expect(lock.lockfileVersion).toBe(3);
    expect(packages.length).toBeGreaterThan(100);
    expect(packages.filter(([, { integrity }]) => integrity?.startsWith('sha512-') !== true)).toEqual([]);
    const isElsewhere = ({ resolved, link }: Locked): boolean =>
      link === true || (resolved !== undefined && !resolved.startsWith('https://registry.npmjs.org/'));
    const elsewhere = packages.filter(([, locked]) => isElsewhere(locked));
    expect(elsewhere).toEqual([]);
  });

  it('gives users fp-ts, and for the optional native lock what that one needs; nothing else', () => {
    const shipped = packages.filter(([, { dev }]) => dev !== true);
    const required = shipped.filter(([, { optional }]) => optional !== true).map(([path]) => nameOf(path));
    const optional = shipped.filter(([, { optional }]) => optional === true).map(([path]) => nameOf(path));
    expect(required).toEqual(['fp-ts']);
    expect(optional.toSorted()).toEqual([
      'bare-addon-resolve',
      'bare-module-resolve',
      'bare-semver',
      'fs-native-extensions',
      'require-addon',
      'which-runtime',
    ]);
  });

  it('has no script that runs at a user’s installation, and of the tools’ none that is not named and switched off', () => {
    const scripted = packages.filter(([, { hasInstallScript }]) => hasInstallScript === true);
    expect(scripted.filter(([, { dev }]) => dev !== true)).toEqual([]);
    const { allowScripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      readonly allowScripts: Readonly<Record<string, boolean>>;
    };
    expect(Object.keys(allowScripts).toSorted()).toEqual(scripted.map(([path]) => nameOf(path)).toSorted());
    expect(Object.values(allowScripts)).not.toContain(true);
  });
});
