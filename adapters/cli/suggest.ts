/** The name that was probably meant. */

/** Edits (a letter more, less, other, or two that changed places) that make `a` of `b`: optimal string alignment. */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const isSame = a[i - 1] === b[j - 1];
      let edits = Math.min(
        (row[j - 1] as number) + 1,
        (last[j] as number) + 1,
        (last[j - 1] as number) + (isSame ? 0 : 1),
      );
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwapped) edits = Math.min(edits, (beforeLast[j - 2] as number) + 1);
      row.push(edits);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] as number;
}

const LENGTH_MAX = 64; // nobody means a longer name by accident

/** @returns a sentence to put behind an error, or nothing */
export function suggestionFor(given: string, names: readonly string[]): string {
  if (given.length > LENGTH_MAX) return '';
  const farthest = given.length <= 3 ? 1 : 2;
  let best: string | undefined;
  let fewest = farthest + 1;
  for (const name of names) {
    const isBegun = given.length >= 3 && name.startsWith(given);
    const edits = isBegun ? 1 : editDistance(given, name);
    if (edits < fewest) [best, fewest] = [name, edits];
  }
  return best === undefined ? '' : ` Did you mean ${best}?`;
}
