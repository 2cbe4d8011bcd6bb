/**
 * Values as JSON text. What JSON cannot say is lost on the way, as everywhere: members that are `undefined`, the difference of
 * -0 and 0; NaN becomes null, a Date its text. A member named `__proto__` is a member like any other: `JSON.parse` makes an
 * own property of it and never a prototype. But copying it with `=` or `Object.assign` would set the prototype of the copy.
 */
import type { ValueCodec } from './key-codec.ts';
import { textOfUtf8 } from './key-text.ts';

/** The JSON of `value`. Throws where there is none: of undefined, functions and symbols, of bigints, of a cycle. */
export function jsonTextOf(value: unknown): string {
  const json: unknown = JSON.stringify(value); // its type leaves out that it may be undefined
  if (typeof json === 'string') return json;
  throw new TypeError(`there is no JSON of ${value === undefined ? 'undefined' : `a ${typeof value}`}`);
}

/** What the JSON says. Throws a TypeError if it is no UTF-8, a SyntaxError if it is no JSON. */
export const jsonValueOf = (bytes: Uint8Array): unknown => JSON.parse(textOfUtf8(bytes));

/**
 * Any value that JSON can say. Nothing checks that what is stored is a `Value`: that is the caller's word. A schema checks.
 */
export const jsonCodec = <Value>(): ValueCodec<Value> => ({
  encode: jsonTextOf,
  // The word of the caller, who says what was written here.
  decode: (bytes) => jsonValueOf(bytes) as Value,
});
