/** Files that people pass for a checkpoint, by how they begin. */
const MAGICS: readonly { readonly at: number; readonly bytes: readonly number[] | string; readonly what: string }[] = [
  { at: 0, bytes: [0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], what: 'a 7z archive' },
  { at: 0, bytes: [0x1f, 0x8b], what: 'a gzip file' },
  { at: 0, bytes: [0x28, 0xb5, 0x2f, 0xfd], what: 'a zstd file' },
  { at: 0, bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], what: 'an xz file' },
  { at: 0, bytes: 'BZh', what: 'a bzip2 file' },
  { at: 257, bytes: 'ustar', what: 'a tar archive' },
  { at: 0, bytes: 'GGUF', what: 'a GGUF model' },
  { at: 0, bytes: [0x89, 0x48, 0x44, 0x46], what: 'an HDF5 file' },
  { at: 0, bytes: [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59], what: 'a NumPy array file' },
  { at: 0, bytes: 'version https://git-lfs', what: 'a Git LFS pointer (run "git lfs pull")' },
  { at: 8, bytes: '{"', what: 'a safetensors file' },
  { at: 0, bytes: '<', what: 'an HTML or XML page' },
  { at: 0, bytes: [0x80], what: 'a bare pickle' },
];

/** What a file is that begins with these bytes, as words for a message; undefined when nothing known. */
export function describeMagic(start: Uint8Array): string | undefined {
  return MAGICS.find(({ at, bytes }) => startsWith(start.subarray(at), bytes))?.what;
}

/** True for the long 0x1950a86a20f9469cfc6c in a protocol-2 pickle, with which torch before 1.6 begins a file. */
export function isLegacyTorch(start: Uint8Array): boolean {
  return startsWith(start, [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]);
}

function startsWith(bytes: Uint8Array, wanted: readonly number[] | string): boolean {
  const magic = typeof wanted === 'string' ? Buffer.from(wanted, 'latin1') : Buffer.from(wanted);
  return magic.equals(bytes.subarray(0, magic.byteLength));
}
