/** JavaScript can throw anything; what is passed on as an error is one. */
export const toError = (thrown: unknown): Error =>
  thrown instanceof Error ? thrown : new Error(`not an Error was thrown: ${String(thrown)}`);
