// Runs the whole of abstract-level's own test suite, under tape, on a database of its own per test: ours, or classic-level's.
// Usage: node abstract-suite-child.mjs alluvium|classic directory [without getSync]. TAP goes to stdout.
import suite from 'abstract-level/test/index.js';
import { ClassicLevel } from 'classic-level';
import { join } from 'node:path';
import test from 'tape';
import { Level } from 'alluvium/level';

const [name, directory, mask] = process.argv.slice(2);
const Database = name === 'classic' ? ClassicLevel : Level;
let made = 0;

suite({
  test,
  factory: (options) => {
    made += 1;
    const db = new Database(join(directory, String(made)), options);
    if (mask === 'withoutGetSync') db.supports.getSync = false;
    return db;
  },
});
