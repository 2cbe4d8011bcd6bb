/** Properties that do not say how often they run: a mutant that ten runs do not meet is met by a test of its own, or lives. */
import fc from 'fast-check';

fc.configureGlobal({ numRuns: 10, seed: 1 });
