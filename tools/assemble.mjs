// WebAssembly's text to its binary form, in base64.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import wabtOf from 'wabt';

/** @param {string} file @returns {Promise<string>} */
export async function assemble(file) {
  const wabt = await wabtOf();
  const parsed = wabt.parseWat(basename(file), readFileSync(file, 'utf8'));
  try {
    parsed.validate();
    return Buffer.from(parsed.toBinary({}).buffer).toString('base64');
  } finally {
    parsed.destroy();
  }
}
