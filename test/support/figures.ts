/** What a trust run did, in figures: `npm run test:trust` gathers them into its table. */
import { appendFileSync } from 'node:fs';

const file = process.env['ALLUVIUM_FIGURES_FILE'];

/**
 * Adds to what is known of a part; without `npm run test:trust` around it, nobody asks. Numbers of the same name are summed,
 * but for those whose name ends in `Max`: of them the greatest stands.
 *
 * @param part - its id in `test/trust/parts.mjs`, `'T1'`
 * @param figures - what was tried, and what went wrong: `{ images: 20_000, violations: 0 }`
 */
export function recordFigures(part: string, figures: Readonly<Record<string, number>>): void {
  if (file !== undefined) appendFileSync(file, `${JSON.stringify({ part, figures })}\n`);
}
