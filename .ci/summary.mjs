// Prints "N passed, N failed, N skipped" from vitest's JSON report; fails if there is none or if nothing passed.
import { readFileSync } from 'node:fs';

const [file = ''] = process.argv.slice(2);
const report = JSON.parse(readFileSync(file, 'utf8'));
const { numPassedTests: passed, numFailedTests: failed, numPendingTests: pending, numTodoTests: todo } = report;
if (![passed, failed, pending, todo].every(Number.isSafeInteger)) throw new Error('the report has no counts');

// A file that could not even be loaded has no failed test of its own, but it is a failure all the same.
const broken = report.testResults.filter(
  ({ status, assertionResults }) => status === 'failed' && !assertionResults.some((one) => one.status === 'failed'),
).length;

console.log(`${passed} passed, ${failed + broken} failed, ${pending + todo} skipped`);
process.exitCode = passed > 0 && failed + broken === 0 ? 0 : 1;
