/**
 * What a question is. Types only.
 *
 * @typedef {import('../engines/engine.mjs').EngineName} EngineName
 *
 * @typedef {object} Goal
 * @property {number} min - above 1: better than the best of them. For less-is-better it is turned around: 10 is a tenth of theirs
 * @property {readonly EngineName[]} [to] - who counts. Default: all but memory-level, which keeps nothing
 *
 * @typedef {object} Row - one line of the report
 * @property {string} figure - the name under which the answers carry it
 * @property {string} work - what was done, in words
 * @property {string} unit
 * @property {'higher' | 'lower'} better
 * @property {readonly Goal[]} [goals] - how many times as good as peers it is to be
 * @property {number} [valueMax] - the figure to stay under, as such
 * @property {number} [valueMin] - the figure to reach, as such
 * @property {Record<string, string>} [beside] - other figures to show in the same cell, by what to call them
 *
 * @typedef {object} Scale
 * @property {number} entries - of a full store
 * @property {number} seconds - of one measurement that is bounded by time
 *
 * @typedef {object} Bench - what a question is asked with, in a process of its own
 * @property {string} directory
 * @property {import('../engines/engine.mjs').Variant} variant
 * @property {Scale} scale
 * @property {(durability: 'synced' | 'buffered', settings?: { readonly inFlight?: number }) => Promise<import('../engines/engine.mjs').Driver>} open
 *
 * @typedef {object} Question
 * @property {string} name
 * @property {'new' | 'filled'} store - a new directory, or one that `fill` has left: full, compacted, closed
 * @property {string} group - the heading of the report that its rows stand under
 * @property {readonly EngineName[]} [peers] - who is asked besides Alluvium. Default: all that are installed
 * @property {boolean} [isLong] - whether only `npm run bench:full` asks it, or `--only`
 * @property {readonly Row[]} rows
 * @property {(bench: Bench) => Promise<void>} [prepare] - runs in a process that is killed with SIGKILL when it is done
 * @property {(bench: Bench) => Promise<Record<string, number>>} ask - the figures of one run
 */
export {};
