/** The version of this package, for the other side to name it. */
import { createRequire } from 'node:module';

let version: string | undefined;

/** `'unknown'` in a bundle, which has left package.json behind. */
export function packageVersion(): string {
  version ??= readVersion();
  return version;
}

function readVersion(): string {
  try {
    const found: unknown = createRequire(import.meta.url)('alluvium/package.json');
    return String(Reflect.get(Object(found) as object, 'version'));
  } catch {
    return 'unknown';
  }
}
