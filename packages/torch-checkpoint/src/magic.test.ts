import { describe, expect, it } from 'vitest';
import { describeMagic, isLegacyTorch } from './magic.ts';

const tar = Buffer.alloc(512);
tar.write('ustar', 257);

describe('describeMagic', () => {
  it.each([
    ['a 7z archive', Buffer.from('377abcaf271c0004', 'hex')],
    ['a gzip file', Buffer.from('1f8b0800', 'hex')],
    ['a tar archive', tar],
    ['a Git LFS pointer', Buffer.from('version https://git-lfs.github.com/spec/v1\n')],
    ['a safetensors file', Buffer.from('\x10\0\0\0\0\0\0\0{"a":1}')],
    ['a GGUF model', Buffer.from('GGUF\x03\0\0\0')],
    ['an HDF5 file', Buffer.from('\x89HDF\r\n\x1a\n', 'latin1')],
    ['a bare pickle', Buffer.from('\x80\x04N.', 'latin1')],
    ['an HTML or XML page', Buffer.from('<!doctype html>')],
  ])('names %s', (what, start) => {
    expect(describeMagic(start)).toContain(what);
  });

  it('says nothing of what it does not know', () => {
    expect(describeMagic(Buffer.from('hello'))).toBeUndefined();
    expect(describeMagic(new Uint8Array())).toBeUndefined();
  });
});

describe('isLegacyTorch', () => {
  it('knows the magic number of torch before 1.6', () => {
    expect(isLegacyTorch(Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex'))).toBe(true);
    expect(isLegacyTorch(Buffer.from('80024e2e', 'hex'))).toBe(false);
  });
});
