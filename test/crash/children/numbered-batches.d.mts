import type { Store } from '../../../src/index.ts';

export declare function markersOf(store: Store): Promise<number[]>;
export declare function contentAfter(count: number): Map<string, string>;
