export function createRandom(seed: number): (limit: number) => number;
export function fuzzTexts(count: number, seed: number): Generator<string>;
export function longWords(lengths: readonly number[]): Generator<string>;
export function codePointText(codePoint: number): string;
