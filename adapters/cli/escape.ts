/**
 * Text that is safe to look at. Keys and values may hold anything: control characters and escape sequences would be
 * obeyed by a terminal, bidi overrides and invisible characters would show something else than what is there.
 *
 *     shown   := as it is, where it is printable; a backslash is doubled, so that the text below is unambiguous
 *     escaped := \n \t \r | \xNN   a byte: C0 controls and DEL, and what is not UTF-8
 *              | \u{N}             any other code point that is not shown
 */

/** Controls, format characters (bidi, zero width, tags), line separators, private use, surrogates, unassigned. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}]/gu;
const HIDDEN_OR_BACKSLASH = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}\\]/gu;
/** The same, but for what our own lines are made of: line ends, tabs and colours. */
const HIDDEN_IN_OUTPUT = /\u001b\[[0-9;]*m|[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}]/gu;

const SHORT: Readonly<Record<string, string | undefined>> = { '\n': '\\n', '\t': '\\t', '\r': '\\r', '\\': '\\\\' };

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');

function escapeCharacter(character: string): string {
  const short = SHORT[character];
  if (short !== undefined) return short;
  const codePoint = character.codePointAt(0) ?? 0;
  return codePoint < 0x80 ? `\\x${hex(codePoint, 2)}` : `\\u{${hex(codePoint, 1)}}`;
}

/** Text as it is shown, on one line. */
export const escapeText = (text: string): string => text.replace(HIDDEN_OR_BACKSLASH, escapeCharacter);

/** Our own lines, as a last barrier before a terminal: whatever is in them, it obeys nothing but colours. */
export const escapeForTerminal = (text: string): string =>
  text.replace(HIDDEN_IN_OUTPUT, (found) =>
    found.length > 2 || found === '\n' || found === '\t' ? found : escapeCharacter(found),
  );

/** What may be made of anybody's data, such as the message of an error: not even its colours are obeyed. */
export const escapeMessage = (text: string): string =>
  text.replace(HIDDEN, (found) => (found === '\n' || found === '\t' ? found : escapeCharacter(found)));

/** JSON text with every hidden character as `\uNNNN`: equal for each parser, and harmless on a terminal. */
export const escapeJson = (json: string): string =>
  json.replace(HIDDEN, (found) => {
    let escaped = '';
    for (let unit = 0; unit < found.length; unit += 1) escaped += `\\u${hex(found.charCodeAt(unit), 4)}`;
    return escaped;
  });

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text that the bytes are in UTF-8; `undefined` if they are not. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Bytes as they are shown: text where they are text, byte by byte where not. */
export function escapeBytes(bytes: Uint8Array): string {
  const text = decodeUtf8(bytes);
  if (text !== undefined) return escapeText(text);
  let shown = '';
  let start = 0; // of the run of good bytes that ends at `at`
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at);
    if (length > 0) {
      at += length;
      continue;
    }
    shown += escapeText(utf8.decode(bytes.subarray(start, at))) + `\\x${hex(bytes[at] as number, 2)}`;
    at += 1;
    start = at;
  }
  return shown + escapeText(utf8.decode(bytes.subarray(start)));
}

/** Bytes of the UTF-8 sequence that begins at `at`; 0 if none does (RFC 3629, section 4). */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  if (first < 0x80) return 1;
  const second = bytes[at + 1] ?? 0;
  if (first >= 0xc2 && first <= 0xdf) return isContinuation(second) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const isInRange = second >= (first === 0xe0 ? 0xa0 : 0x80) && second <= (first === 0xed ? 0x9f : 0xbf);
    return isInRange && isContinuation(bytes[at + 2]) ? 3 : 0;
  }
  if (first < 0xf0 || first > 0xf4) return 0;
  const isInRange = second >= (first === 0xf0 ? 0x90 : 0x80) && second <= (first === 0xf4 ? 0x8f : 0xbf);
  return isInRange && isContinuation(bytes[at + 2]) && isContinuation(bytes[at + 3]) ? 4 : 0;
}

const isContinuation = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x80 && byte <= 0xbf;
