import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunStorage } from './key-sorter.ts';

/** Sorted runs in one file below the system's temporary folder (`TMPDIR` chooses another); it goes at `close`. */
export async function temporaryRuns(parent: string = tmpdir()): Promise<RunStorage> {
  const folder = await mkdtemp(join(parent, 'cpt-dedup-'));
  try {
    const handle = await open(join(folder, 'runs'), 'wx+');
    let end = 0;
    return {
      async append(bytes) {
        for (let done = 0; done < bytes.byteLength; ) {
          const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done, end + done);
          done += bytesWritten;
        }
        end += bytes.byteLength;
      },
      async readInto(into, byteOffset) {
        for (let done = 0; done < into.byteLength; ) {
          const { bytesRead } = await handle.read(into, done, into.byteLength - done, byteOffset + done);
          if (bytesRead === 0) throw new Error(`${folder}: a temporary file became shorter while it was in use`);
          done += bytesRead;
        }
      },
      async close() {
        await handle.close();
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}
