/**
 * Names of keyspaces, and where their keys lie: at the place of abstract-level's sublevels, so that `level` reads and writes
 * the same entries in the same order.
 *
 *     key    := { '!' name '!' } encoded key          one name, or more from the outside in
 *     name   := one or more of 0x23 '#' to 0x7e '~'
 *
 * Every character of a name is greater than `"`, the one behind `!`: so `!name"` is behind every key that begins with
 * `!name!`, and before those of every other name. A keyspace within another one lies among the keys of the outer one, as in
 * abstract-level: the outer one's scans show it. Give outer ones no keys of their own.
 *
 * Source: abstract-level 3, AbstractSublevel. It cuts exclamation marks off the ends of a name, and takes an empty one; we
 * refuse both, as more likely a mistake.
 */
import { InvalidArgumentError } from '../errors.ts';
import { compareBytes } from '../storage/codec/compare.ts';

/** A name, or names from the outside in. */
export type KeyspaceName = string | readonly string[];

/** What names of our own begin with. */
const RESERVED_NAME = '_alluvium';
const NAME = /^[#-~]+$/;
/** Names, and characters of all of them, at most: the prefix is a part of every key. */
const NAMES_MAX = 16;
const CHARACTERS_MAX = 1024;

const textEncoder = new TextEncoder();

/** The range of keys of one keyspace. */
export class KeyspacePrefix {
  /** The name for people, of names within names joined by `!`, which no name has. */
  readonly name: string;
  readonly text: string;
  readonly bytes: Uint8Array;
  /** The first key behind all that begin with the prefix. */
  readonly end: Uint8Array;

  /** @throws InvalidArgumentError */
  constructor(given: KeyspaceName) {
    const names = checkNames(given);
    this.name = names.join('!');
    this.text = names.map((name) => `!${name}!`).join('');
    this.bytes = textEncoder.encode(this.text);
    this.end = textEncoder.encode(`${this.text.slice(0, -1)}"`);
  }

  /** @throws InvalidArgumentError if the key is none of the keyspace */
  check(key: Uint8Array): void {
    const { bytes } = this;
    const isWithin = key.length >= bytes.length && compareBytes(key, 0, bytes.length, bytes, 0, bytes.length) === 0;
    if (!isWithin) throw new InvalidArgumentError('key', `one of the keyspace ${JSON.stringify(this.name)}`, key);
  }
}

function checkNames(given: unknown): readonly string[] {
  const names: readonly unknown[] = Array.isArray(given) ? [...(given as readonly unknown[])] : [given];
  const texts = names.filter((name) => typeof name === 'string');
  const isCountRight = texts.length === names.length && names.length >= 1 && names.length <= NAMES_MAX;
  if (!isCountRight) throw new InvalidArgumentError('name', `a string, or an array of 1 to ${NAMES_MAX}`, given);
  if (!texts.every((name) => NAME.test(name))) {
    throw new InvalidArgumentError(
      'name',
      'of the characters from # to ~ (no spaces, quotes or !), at least one',
      given,
    );
  }
  if (texts.join('').length > CHARACTERS_MAX) {
    throw new InvalidArgumentError('name', `of at most ${CHARACTERS_MAX} characters`, given);
  }
  if (texts[0]?.startsWith(RESERVED_NAME) === true) {
    throw new InvalidArgumentError('name', `another than ${RESERVED_NAME}..., which are the engine's own`, given);
  }
  return texts;
}
