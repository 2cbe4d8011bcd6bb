// `npm run build:wasm`: assembles src/storage/codec/snappy.wat, and writes it as text into a module beside it, so that neither a
// build nor a bundler has to know of another kind of file. `test/storage/codec/snappy.test.ts` fails when the two differ.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assemble } from './assemble.mjs';

const codec = join(import.meta.dirname, '../src/storage/codec');
const lines = (await assemble(join(codec, 'snappy.wat'))).match(/.{1,110}/g) ?? [];
const text = lines.map((line) => `  '${line}'`).join(' +\n');
writeFileSync(
  join(codec, 'snappy-module.ts'),
  `/** snappy.wat, assembled by \`npm run build:wasm\`, in base64. */\nexport const SNAPPY_MODULE: string =\n${text};\n`,
);
