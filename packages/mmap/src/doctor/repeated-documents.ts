/** Counts documents that are equal to one counted before, in memory that does not grow with them. */
export interface RepeatCounter {
  /** Adds ids of the document that is being read. */
  add(ids: Int32Array): void;
  /** Ends the document; `isWhole` says that all of it was added, and only then it counts. */
  end(isWhole: boolean): void;
  /** Documents compared, and those of them that repeat another; estimates once `share` of all is below 1. */
  result(): { compared: number; repeats: number; share: number };
}

/**
 * A counter over the hash of each document's ids. Past `limit` distinct documents it keeps those whose hash falls in a half, then a
 * quarter … of all values: a copy has the hash of its original, so both are kept or neither and the share of repeats stays right.
 */
export function createRepeatCounter(limit = 1 << 18): RepeatCounter {
  let seen = new Map<number, number>();
  let kept = 1; // every kept hash is a multiple of it
  let a = 0;
  let b = 0;

  const thin = () => {
    while (seen.size > limit) {
      kept *= 2;
      seen = new Map([...seen].filter(([hash]) => hash % kept === 0));
    }
  };
  return {
    add(ids) {
      for (let i = 0; i < ids.length; i++) {
        const id = ids[i] as number;
        a = Math.imul(rotate(a, 13) ^ id, 0xcc9e2d51) + 0x1b873593;
        b = Math.imul(rotate(b, 7) + id, 0x85ebca6b) ^ a;
      }
    },
    end(isWhole) {
      const hash = (mix(b) >>> 0) * 2 ** 21 + (mix(a) >>> 11);
      a = 0;
      b = 0;
      if (!isWhole || hash % kept !== 0) return;
      seen.set(hash, (seen.get(hash) ?? 0) + 1);
      if (seen.size > limit) thin();
    },
    result() {
      let compared = 0;
      for (const count of seen.values()) compared += count;
      return { compared, repeats: compared - seen.size, share: 1 / kept };
    },
  };
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function mix(value: number): number {
  const bits = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  return Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
}
