/**
 * Real text of four kinds for the comparison and the measurement, from what every checkout has, as documents of some 5 kB. A folder in
 * CPT_TEXT with `en`, `code`, `zh` and `ja` subfolders of text files adds to it; installed Chinese and Japanese manual pages do too.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

const root = join(import.meta.dirname, '../../..');
const DOCUMENT_BYTES = 5000;

function* filesBelow(folder, pattern) {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder, { recursive: true }).sort()) {
    const path = join(folder, name);
    if (pattern.test(name) && statSync(path, { throwIfNoEntry: false })?.isFile()) yield path;
  }
}

const SOURCES = {
  en: [
    [join(root, 'node_modules/.pnpm'), /\.md$/],
    [join(root, 'fixtures/corpus'), /english\.jsonl$/],
  ],
  code: [[join(root, 'node_modules/.pnpm'), /(?<!\.min)\.(js|ts|mjs)$/]],
  zh: [
    [join(root, 'fixtures/corpus'), /chinese\.jsonl$/],
    [join(root, 'node_modules/typescript/lib'), /^zh-.*\.json$/],
    ['/usr/share/man/zh_CN', /\.gz$/],
  ],
  ja: [
    [join(root, 'node_modules/typescript/lib'), /^ja\/.*\.json$/],
    ['/usr/share/man/ja', /\.gz$/],
  ],
};

/** Documents of one kind, up to `limit` bytes in all, cut at line ends. */
export function documentsOf(kind, limit) {
  const documents = [];
  let bytes = 0;
  const sources = [...SOURCES[kind]];
  if (process.env.CPT_TEXT) sources.push([join(process.env.CPT_TEXT, kind), /./]);
  const seen = new Set();
  for (const [folder, pattern] of sources) {
    for (const path of filesBelow(folder, pattern)) {
      const raw = readFileSync(path);
      if (raw.length > 4_000_000 && kind === 'code') continue;
      const text = path.endsWith('.gz') ? gunzipSync(raw) : raw;
      const key = `${text.length}:${text.subarray(0, 200).toString('latin1')}`;
      if (seen.has(key)) continue; // the same file of two package versions
      seen.add(key);
      for (let start = 0; start < text.length; ) {
        let end = Math.min(text.length, start + DOCUMENT_BYTES);
        while (end < text.length && text[end - 1] !== 10) end++;
        documents.push(text.subarray(start, end).toString('utf8'));
        bytes += end - start;
        start = end;
        if (bytes >= limit) return documents;
      }
    }
  }
  return documents;
}
