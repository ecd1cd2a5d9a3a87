const isAsciiSpace = (byte: number): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
/** First bytes of the white space outside ASCII: U+00A0, U+1680, U+2000 and on, U+3000, U+FEFF. */
const SPACE_LEADS = new Set([0xc2, 0xe1, 0xe2, 0xe3, 0xef]);
const PREFIX_BYTES = 96;

/** True when UTF-8 text in `bytes[start, end)` is empty or white space only, as `String.trim` sees it. */
export function isBlank(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end && isAsciiSpace(bytes[at] as number)) at++;
  if (at >= end) return true;
  if (!SPACE_LEADS.has(bytes[at] as number)) return false;
  // Chinese paragraphs begin with U+3000: a look at the first characters spares decoding the text.
  if (end - at > PREFIX_BYTES && !isBlankText(textOf(bytes, at, at + PREFIX_BYTES).replace(/\ufffd+$/, '')))
    return false;
  return isBlankText(textOf(bytes, at, end));
}

const isBlankText = (text: string): boolean => text.trim() === '';

/** UTF-8 to text. */
export function textOf(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8');
}
