/** Faults put into calm curves at many places, and how many of them a detector finds (plan-and-monitoring.md §2.5). */

/** The BLOOM excerpt's losses from 31,215 on, over the 2.21 before it. */
const BLOOM = [1.005, 1.174, 1.014, 1.061, 2.307, 1.58, 1.454, 1.269];

/** Factor of the i-th loss from the onset on, the lines within which it must be found, and the recall that is asked. */
export const FAULTS = [
  { name: 'one loss × 1.2', factor: (index) => (index === 0 ? 1.2 : 1), lines: 1, least: undefined },
  { name: 'one loss × 1.5', factor: (index) => (index === 0 ? 1.5 : 1), lines: 1, least: 0.99 },
  { name: 'shape of BLOOM', factor: (index) => BLOOM[index] ?? 1, lines: 8, least: 0.99 },
  { name: 'step × 1.6', factor: () => 1.6, lines: 4, least: 0.99 },
  { name: '+1 % a line', factor: (index) => 1.01 ** (index + 1), lines: 20, least: 0.95 },
];

const BEFORE = 128;

/** Share of `places` at which the fault is found, no alarm before it, and the median of the lines until then. */
export function recallOf(detector, losses, fault, places, random) {
  const delays = [];
  for (let trial = 0; trial < places; trial++) {
    const at = BEFORE + Math.floor(random() * (losses.length - BEFORE - fault.lines));
    const stretch = losses
      .slice(at - BEFORE, at + fault.lines)
      .map((loss, index) => (index < BEFORE ? loss : loss * fault.factor(index - BEFORE)));
    const [first] = detector(stretch);
    if (first !== undefined && first >= BEFORE) delays.push(first - BEFORE);
  }
  delays.sort((a, b) => a - b);
  return { recall: delays.length / places, medianDelay: delays[delays.length >> 1] };
}

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
export function seededRandom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A loss that falls as a power law, with normal noise of 1 %. */
export function syntheticLosses(length, seed) {
  const random = seededRandom(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return Array.from({ length }, (_, index) => (1.8 + 3 * (index + 20) ** -0.4) * (1 + 0.01 * normal()));
}
