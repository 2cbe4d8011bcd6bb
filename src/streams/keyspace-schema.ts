/**
 * Values that a schema describes, as JSON. Any library that implements Standard Schema 1 fits (https://standardschema.dev,
 * its types are repeated here as far as they are needed, for the specification asks for no dependency).
 *
 * - written is what the schema *gives* for the value: with its defaults filled in, its unknown members cut off
 * - read is what the schema gives for what was stored: so stored data of an older schema is checked, or brought up to date
 * - what is written must be readable: before a write, the JSON is read back and validated, as a later read will do it. A
 *   schema whose output it does not itself accept (a Date, which JSON makes text of) fails at the first write, and not at
 *   the first read, when it is too late
 *
 * Validators that answer later (with a promise) are refused: reads would no longer answer synchronously from memory.
 */
import type { SchemaIssue } from '../errors.ts';
import type { ValueCodec } from '../storage/codec/key-codec.ts';
import { jsonTextOf } from '../storage/codec/value-json.ts';
import { textOfUtf8 } from '../storage/codec/key-text.ts';

/** A schema of any library, as Standard Schema version 1 has it. */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly '~standard': StandardProps<Input, Output>;
}

export interface StandardProps<Input, Output> {
  readonly version: 1;
  readonly vendor: string;
  readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
  /** For the compiler only. */
  readonly types?: { readonly input: Input; readonly output: Output } | undefined;
}

export type StandardResult<Output> =
  { readonly value: Output; readonly issues?: undefined } | { readonly issues: readonly StandardIssue[] };

export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Issues that an error carries, at most: a long list may be wrong in every place. */
const ISSUES_MAX = 100;

/** Thrown inside of codecs only: the keyspace makes a `SchemaError` of it. */
export class SchemaMisfit extends Error {
  readonly issues: readonly SchemaIssue[];

  constructor(issues: readonly SchemaIssue[]) {
    super(issues[0]?.message ?? 'the schema refused it without a reason');
    this.name = 'SchemaMisfit';
    this.issues = issues;
  }
}

/** Whether it looks like a schema; some libraries' are functions. */
export function isSchema(given: unknown): given is StandardSchemaV1 {
  if (given === null || (typeof given !== 'object' && typeof given !== 'function')) return false;
  if (!('~standard' in given)) return false;
  const standard: unknown = given['~standard'];
  return typeof standard === 'object' && standard !== null && 'validate' in standard;
}

export function schemaCodec<Value>(schema: StandardSchemaV1<unknown, Value>): ValueCodec<Value> {
  const parse = (json: string): Value => validate(schema, JSON.parse(json));
  return {
    encode(value) {
      const json = jsonTextOf(validate(schema, value));
      try {
        parse(json);
      } catch (error) {
        throw new SchemaMisfit(explain(error));
      }
      return json;
    },
    decode: (bytes) => parse(textOfUtf8(bytes)),
  };
}

function explain(error: unknown): readonly SchemaIssue[] {
  const say = (reason: string): string => `once stored as JSON it could not be read again: ${reason}`;
  if (error instanceof SchemaMisfit) {
    return error.issues.map(({ message, path }) => ({ message: say(message), path }));
  }
  return [{ message: say(error instanceof Error ? error.message : String(error)), path: [] }];
}

function validate<Value>(schema: StandardSchemaV1<unknown, Value>, value: unknown): Value {
  const result = schema['~standard'].validate(value);
  if (result instanceof Promise) {
    result.catch(() => undefined); // nobody waits for it
    throw new TypeError('its schema validates asynchronously; a keyspace needs one that answers at once');
  }
  const given: unknown = result;
  if (typeof given !== 'object' || given === null) throw new TypeError('its schema gave no result');
  if (result.issues) throw new SchemaMisfit(result.issues.slice(0, ISSUES_MAX).map(issueOf));
  if ('value' in result) return result.value;
  throw new TypeError('its schema gave neither a value nor issues');
}

function issueOf({ message, path = [] }: StandardIssue): SchemaIssue {
  return {
    message,
    path: path.map((segment) => {
      const key = typeof segment === 'object' ? segment.key : segment;
      return typeof key === 'symbol' ? key.toString() : key;
    }),
  };
}
