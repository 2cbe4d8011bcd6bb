/**
 * The process that `alluvium demo` kills: writes numbered entries, several at a time, and says on stdout which of them were
 * acknowledged.
 *
 *     node demo-writer.js <directory>
 */
import { open } from 'alluvium';

const WRITERS = 16;

const store = await open(process.argv[2] ?? '');
let next = 0;
const write = async (): Promise<void> => {
  for (;;) {
    const number = next;
    next += 1;
    await store.set(`event:${String(number).padStart(8, '0')}`, `the value of ${number}`);
    process.stdout.write(`${number}\n`);
  }
};
// A parent that went away closes the pipe, and the next line ends this process.
await Promise.all(Array.from({ length: WRITERS }, write));
