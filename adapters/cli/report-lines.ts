import { escapeText } from './escape.ts';

/** A report for people: its plain fields, one a line. */
export const reportLines = (report: object): string[] =>
  Object.entries(report)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}: ${escapeText(typeof value === 'string' ? value : JSON.stringify(value))}`);
