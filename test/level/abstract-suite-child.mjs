// Runs the whole of abstract-level's own test suite, under tape, on a database of its own per test: ours, or classic-level's.
// Usage: node abstract-suite-child.mjs alluvium|classic|attached directory [withoutGetSync]. TAP goes to stdout.
// 'attached': ours, and each database attaches to one that has its directory already.
import suite from 'abstract-level/test/index.js';
import { ClassicLevel } from 'classic-level';
import { join } from 'node:path';
import test from 'tape';
import { openOrAttach } from 'alluvium/attach';
import { Level } from 'alluvium/level';

const [name, directory, mask] = process.argv.slice(2);
let made = 0;

/** Has the directory before the database opens. Its process ends with the tests, so nobody closes it. */
class AttachedLevel extends Level {
  async _open(options) {
    if (options.createIfMissing && !options.errorIfExists) await openOrAttach(this.location);
    await super._open(options);
  }
}

const Database = { classic: ClassicLevel, alluvium: Level, attached: AttachedLevel }[name];

suite({
  test,
  factory: (options) => {
    made += 1;
    const db = new Database(join(directory, String(made)), options);
    if (mask === 'withoutGetSync') db.supports.getSync = false;
    return db;
  },
});
