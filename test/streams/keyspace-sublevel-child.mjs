/** Real LevelDB under abstract-level: writes and reads sublevels. `node keyspace-sublevel-child.mjs <directory> <steps as JSON>` */
import { ClassicLevel } from 'classic-level';

const [directory, steps] = process.argv.slice(2);
const db = new ClassicLevel(directory, { keyEncoding: 'utf8', valueEncoding: 'utf8' });
const results = [];
for (const { path, put = [], range, isReverse = false } of JSON.parse(steps)) {
  // All bytes as hexadecimal digits: JSON has no others.
  const sublevel = db.sublevel(path, { keyEncoding: 'hex', valueEncoding: 'utf8' });
  await sublevel.batch(put.map(([key, value]) => ({ type: 'put', key, value })));
  if (range !== undefined) results.push(await sublevel.iterator({ ...range, reverse: isReverse }).all());
}
await db.close();
process.stdout.write(JSON.stringify(results));
