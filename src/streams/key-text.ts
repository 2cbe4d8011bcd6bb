/** A key as text: equal exactly where the bytes are, and quick to make. Not the text that the bytes may be of. */
export const keyText = (key: Uint8Array): string =>
  Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
