/**
 * What a question is. Types only.
 *
 * @typedef {object} Row - one line of the report
 * @property {string} figure - the name under which the answers carry it
 * @property {string} work - what was done, in words
 * @property {string} unit
 * @property {'higher' | 'lower'} better
 * @property {number} [ratioMin] - the figure to reach as a multiple of classic-level's
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
 * @property {import('./engines.mjs').Variant} variant
 * @property {Scale} scale
 * @property {(durability: 'synced' | 'buffered') => Promise<import('./engines.mjs').Driver>} open
 *
 * @typedef {object} Question
 * @property {string} name
 * @property {'new' | 'filled'} store - a new directory, or one that `fill` has left: full, compacted, closed
 * @property {boolean} isWriting - whether the write buffer can matter: then classic-level also runs with one as large as ours
 * @property {boolean} [isOursAlone] - whether no other engine can be asked
 * @property {readonly Row[]} rows
 * @property {(bench: Bench) => Promise<void>} [prepare] - runs in a process that is killed with SIGKILL when it is done
 * @property {(bench: Bench) => Promise<Record<string, number>>} ask - the figures of one run
 */
export {};
