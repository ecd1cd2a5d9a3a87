/**
 * GPT-2's alphabet: each byte as one printable character (33–126, 161–172 and 174–255 as themselves, the other 68 from U+0100
 * upwards). By character, the byte; -1 for characters outside the alphabet.
 */
export const BYTE_OF_CHARACTER: Int16Array = (() => {
  const table = new Int16Array(0x144).fill(-1);
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const isItself = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    table[isItself ? byte : next++] = byte;
  }
  return table;
})();

/** The bytes that a spelling stands for; `undefined` when a character of it is outside the alphabet. */
export function bytesOfSpelling(spelling: string): Uint8Array | undefined {
  const bytes = new Uint8Array(spelling.length);
  for (let i = 0; i < spelling.length; i++) {
    const byte = BYTE_OF_CHARACTER[spelling.charCodeAt(i)] ?? -1;
    if (byte < 0) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}
