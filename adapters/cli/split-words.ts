/** A line as a shell would split it: blanks part words, quotes keep them together, a backslash takes the next as it is. */
import { UsageError } from './failure.ts';

export function splitWords(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let at = 0; at < line.length; at += 1) {
    const character = line.charAt(at);
    if (quote !== '') {
      if (character === quote) quote = '';
      else if (character === '\\' && quote === '"' && /["\\]/.test(line.charAt(at + 1)))
        word = (word ?? '') + line.charAt(++at);
      else word = (word ?? '') + character;
    } else if (character === '"' || character === "'") {
      quote = character;
      word ??= '';
    } else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (character === '\\' && at + 1 < line.length) word = (word ?? '') + line.charAt(++at);
    else word = (word ?? '') + character;
  }
  if (quote !== '') throw new UsageError(`the quote ${quote} has no end.`);
  if (word !== undefined) words.push(word);
  return words;
}
