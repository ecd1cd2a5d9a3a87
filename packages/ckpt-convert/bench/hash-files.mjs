/** The sha256 of every file below a folder, read as a converter reads: what any conversion that tells the digest must cost at least. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';

const [folder] = process.argv.slice(2);
const block = new Uint8Array(256 * 1024); // stays in the cache next to the core between reading and hashing
for (const name of readdirSync(folder, { recursive: true }).sort()) {
  const path = join(folder, name);
  if (!statSync(path).isFile()) continue;
  const fd = openSync(path, 'r');
  const hash = createHash('sha256');
  for (let count = readSync(fd, block); count > 0; count = readSync(fd, block)) hash.update(block.subarray(0, count));
  closeSync(fd);
  console.log(hash.digest('hex'), name);
}
