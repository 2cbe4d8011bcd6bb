/**
 * Whether a history of overlapping calls is one that a single register could have given, if each call had happened at one
 * moment between its begin and its end.
 *
 * The search of Wing and Gong (JPDC 1993), with Lowe's memory of what was tried (2017), as in Knossos and Porcupine: of the
 * calls that may be next, none of which begins after another has ended, one is taken and tried on the register; when none
 * fits, the last one taken is given back. A set of calls that led to a value once need not be tried again.
 *
 * A call whose outcome nobody knows ends at `Infinity`, or when its process died, and may also never have happened.
 */

export type RegisterCall =
  | { readonly do: 'write'; readonly value: string | undefined }
  | { readonly do: 'read'; readonly value: string | undefined }
  /** Writes `value` if the register holds `expected`; `isDone`: what the caller was told. */
  | { readonly do: 'swap'; readonly expected: string | undefined; readonly value: string; readonly isDone: boolean };

export interface Call {
  readonly call: RegisterCall;
  readonly begin: number;
  /** After every call that the caller made later. */
  readonly end: number;
  /** Whether it may have had no effect at all. */
  readonly isUnknown: boolean;
}

/** @returns the calls that cannot be put in an order, or `undefined` if all can be */
export function linearizabilityViolation(
  history: readonly Call[],
  initial: string | undefined,
): readonly Call[] | undefined {
  const calls = [...history].sort((a, b) => a.begin - b.begin);
  const taken = new Uint8Array(calls.length);
  let left = calls.filter(({ isUnknown }) => !isUnknown).length;
  let value = initial;
  const tried = new Set<string>();
  /** `latest`: when the latest of those taken had begun. One that died before that can have no effect after it. */
  const path: {
    readonly place: number;
    readonly index: number;
    readonly before: string | undefined;
    readonly latest: number;
  }[] = [];
  let longest = 0;
  let first = 0; // everything before it is taken
  let next = 0;
  for (;;) {
    if (left === 0) return undefined;
    const place = candidate(next);
    if (place === undefined) {
      longest = Math.max(longest, path.length);
      const last = path.pop();
      if (last === undefined) return calls.slice(Math.max(0, longest - 3), longest + 5);
      untake(last.index);
      value = last.before;
      next = last.place + 1;
      continue;
    }
    const index = place % calls.length;
    const after = applied((calls[index] as Call).call, value);
    if (after === undefined) {
      next = place + 1;
      continue;
    }
    taken[index] = 1;
    const state = `${Buffer.from(taken.subarray(first)).toString('latin1')}${first} ${after.value ?? '\u0001'}`;
    if (tried.has(state)) {
      taken[index] = 0;
      next = place + 1;
      continue;
    }
    tried.add(state);
    path.push({
      place,
      index,
      before: value,
      latest: Math.max(path.at(-1)?.latest ?? -Infinity, (calls[index] as Call).begin),
    });
    if (!(calls[index] as Call).isUnknown) left -= 1;
    value = after.value;
    while (taken[first] === 1) first += 1;
    next = first;
  }

  /**
   * The next place from `from` on whose call no other one, not yet taken, has ended before. The places of calls that are
   * known come first: one that is unknown is put off until somebody needs what it wrote, and left over if nobody does.
   */
  function candidate(from: number): number | undefined {
    const limit = latestBegin();
    const latest = path.at(-1)?.latest ?? -Infinity;
    for (let place = Math.max(from, first); place < 2 * calls.length; place += 1) {
      if (place === calls.length) place += first;
      const index = place % calls.length;
      const one = calls[index];
      if (one === undefined || one.begin > limit) {
        if (place >= calls.length) return undefined;
        place = calls.length - 1;
        continue;
      }
      if (taken[index] === 1 || one.isUnknown === place < calls.length || one.end < latest) continue;
      if (!one.isUnknown || isNeeded(one.call)) return place;
    }
    return undefined;
  }

  /** What begins after this may not be next: another one has ended before. */
  function latestBegin(): number {
    let earliestEnd = Infinity;
    for (let index = first; index < calls.length; index += 1) {
      const { begin, end, isUnknown } = calls[index] as Call;
      if (begin > earliestEnd) break;
      if (taken[index] === 0 && !isUnknown) earliestEnd = Math.min(earliestEnd, end);
    }
    return earliestEnd;
  }

  /** Whether a call that is left over could be answered as it was only after this one. */
  function isNeeded(call: RegisterCall): boolean {
    return calls.some((other, index) => {
      if (taken[index] === 1) return false;
      const { call: reader } = other;
      if (reader.do === 'read') return reader.value === call.value;
      return reader.do === 'swap' && (reader.isDone ? reader.expected === call.value : reader.expected === value);
    });
  }

  function untake(index: number): void {
    taken[index] = 0;
    if (!(calls[index] as Call).isUnknown) left += 1;
    first = Math.min(first, index);
  }
}

/** The value after the call, or `undefined` if a register with this value would have answered otherwise. */
function applied(call: RegisterCall, value: string | undefined): { readonly value: string | undefined } | undefined {
  if (call.do === 'write') return { value: call.value };
  if (call.do === 'read') return call.value === value ? { value } : undefined;
  if ((call.expected === value) !== call.isDone) return undefined;
  return { value: call.isDone ? call.value : value };
}
