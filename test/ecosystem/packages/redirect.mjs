// Has the programs of this folder run on ours by changing one import: `level` and `classic-level` are `alluvium/level`.
// Where the tests of some were written for a bundle of tools, `aegir/chai`, they get the part of it that they use.
// Usage: node --import ./redirect.mjs
import Module, { createRequire, register } from 'node:module';

const ours = createRequire(new URL('../../../package.json', import.meta.url)).resolve('alluvium/level');
const original = Module._resolveFilename;
Module._resolveFilename = (request, ...others) =>
  request === 'level' || request === 'classic-level' ? ours : original.call(Module, request, ...others);

const hooks = `
let targets;
export const initialize = (given) => { targets = given; };
export const resolve = (name, context, next) => next(targets[name] ?? name, context);
`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`, {
  data: {
    level: new URL('../../../dist/adapters/level/index.js', import.meta.url).href,
    'classic-level': new URL('../../../dist/adapters/level/index.js', import.meta.url).href,
    'aegir/chai': new URL('./aegir-chai.mjs', import.meta.url).href,
  },
});
