/*
 * XXH64 with seed 0, of which zstd keeps the lower half behind a frame. 64-bit numbers are two 32-bit halves here: BigInt is
 * fifty times slower.
 */

type Word = readonly [low: number, high: number];

const P1: Word = [0x85ebca87 | 0, 0x9e3779b1 | 0];
const P2: Word = [0x27d4eb4f | 0, 0xc2b2ae3d | 0];
const P3: Word = [0x9e3779f9 | 0, 0x165667b1 | 0];
const P4: Word = [0xc2b2ae63 | 0, 0x85ebca77 | 0];
const P5: Word = [0x165667c5 | 0, 0x27d4eb2f | 0];

/** A checksum over bytes that come in pieces of any size. */
export interface Xxh64 {
  update(bytes: Uint8Array): void;
  /** The lower 32 bits of the digest, unsigned. */
  lowBits(): number;
}

export function createXxh64(): Xxh64 {
  // Four accumulators, low half first.
  const sums = new Int32Array(8);
  [add(P1, P2), P2, [0, 0] as Word, negate(P1)].forEach((word, i) => {
    sums.set(word, 2 * i);
  });
  const rest = new Uint8Array(32);
  const restView = new DataView(rest.buffer);
  let restBytes = 0;
  let length = 0;

  function stripe(view: DataView, at: number): void {
    for (let i = 0; i < 8; i += 2) {
      const low = view.getInt32(at + 4 * i, true);
      const high = view.getInt32(at + 4 * i + 4, true);
      const mixedLow = Math.imul(low, P2[0]);
      const mixedHigh = multiplyHigh(low, P2[0]) + Math.imul(low, P2[1]) + Math.imul(high, P2[0]);
      const sum = ((sums[i] as number) >>> 0) + (mixedLow >>> 0);
      const l = sum | 0;
      const h = ((sums[i + 1] as number) + mixedHigh + (sum > 0xffffffff ? 1 : 0)) | 0;
      const turnedLow = (l << 31) | (h >>> 1);
      const turnedHigh = (h << 31) | (l >>> 1);
      sums[i] = Math.imul(turnedLow, P1[0]);
      sums[i + 1] = multiplyHigh(turnedLow, P1[0]) + Math.imul(turnedLow, P1[1]) + Math.imul(turnedHigh, P1[0]);
    }
  }

  return {
    update(bytes) {
      length += bytes.byteLength;
      let at = 0;
      if (restBytes > 0) {
        at = Math.min(32 - restBytes, bytes.byteLength);
        rest.set(bytes.subarray(0, at), restBytes);
        restBytes += at;
        if (restBytes < 32) return;
        stripe(restView, 0);
        restBytes = 0;
      }
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (; at + 32 <= bytes.byteLength; at += 32) stripe(view, at);
      rest.set(bytes.subarray(at));
      restBytes = bytes.byteLength - at;
    },
    lowBits() {
      let hash: Word = P5;
      if (length >= 32) {
        const words = [0, 1, 2, 3].map((i): Word => [sums[2 * i] as number, sums[2 * i + 1] as number]);
        hash = words.map((word, i) => rotate(word, [1, 7, 12, 18][i] as number)).reduce(add);
        for (const word of words) hash = add(multiply(xor(hash, round([0, 0], word)), P1), P4);
      }
      hash = add(hash, [length | 0, Math.floor(length / 2 ** 32) | 0]);
      let at = 0;
      for (; at + 8 <= restBytes; at += 8) {
        const word: Word = [restView.getInt32(at, true), restView.getInt32(at + 4, true)];
        hash = add(multiply(rotate(xor(hash, round([0, 0], word)), 27), P1), P4);
      }
      if (at + 4 <= restBytes) {
        hash = add(multiply(rotate(xor(hash, multiply([restView.getInt32(at, true), 0], P1)), 23), P2), P3);
        at += 4;
      }
      for (; at < restBytes; at++) hash = multiply(rotate(xor(hash, multiply([rest[at] as number, 0], P5)), 11), P1);
      hash = multiply(xor(hash, shiftRight(hash, 33)), P2);
      hash = multiply(xor(hash, shiftRight(hash, 29)), P3);
      return xor(hash, shiftRight(hash, 32))[0] >>> 0;
    },
  };
}

/** The upper half of the product of two unsigned 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const [al, ah, bl, bh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const low = Math.imul(al, bl) >>> 0;
  const middle1 = Math.imul(al, bh) >>> 0;
  const middle2 = Math.imul(ah, bl) >>> 0;
  const carry = (low >>> 16) + (middle1 & 0xffff) + (middle2 & 0xffff);
  return ((Math.imul(ah, bh) >>> 0) + (middle1 >>> 16) + (middle2 >>> 16) + (carry >>> 16)) | 0;
}

function multiply(a: Word, b: Word): Word {
  return [Math.imul(a[0], b[0]), (multiplyHigh(a[0], b[0]) + Math.imul(a[0], b[1]) + Math.imul(a[1], b[0])) | 0];
}

function add(a: Word, b: Word): Word {
  const low = (a[0] >>> 0) + (b[0] >>> 0);
  return [low | 0, (a[1] + b[1] + (low > 0xffffffff ? 1 : 0)) | 0];
}

const negate = (a: Word): Word => add([~a[0], ~a[1]], [1, 0]);
const xor = (a: Word, b: Word): Word => [a[0] ^ b[0], a[1] ^ b[1]];
const round = (sum: Word, word: Word): Word => multiply(rotate(add(sum, multiply(word, P2)), 31), P1);

/** Left by 1 to 31 bits. */
const rotate = ([low, high]: Word, by: number): Word => [
  (low << by) | (high >>> (32 - by)),
  (high << by) | (low >>> (32 - by)),
];

const shiftRight = ([low, high]: Word, by: number): Word =>
  by < 32 ? [(low >>> by) | (high << (32 - by)), high >>> by] : [high >>> (by - 32), 0];
