import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { startEmbeddedPostgres } from '../src/db/embedded.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    embeddedUrl: string;
    /** A PostgreSQL server of this machine, of whatever version; absent where none listens. */
    systemUrl: string | undefined;
  }
}

/** Starts the embedded PostgreSQL for the run, and looks for one of the machine. */
export default async function startPostgres(project: TestProject): Promise<() => Promise<void>> {
  const dataDirectory = await mkdtemp(join(tmpdir(), 'cpt-api-test-'));
  await chmod(dataDirectory, 0o755); // as root, the server runs as another user
  const server = await startEmbeddedPostgres({ dataDirectory });
  project.provide('embeddedUrl', server.url);
  project.provide('systemUrl', (await isListening(5432)) ? 'postgres://postgres@127.0.0.1:5432/postgres' : undefined);
  return async () => {
    await server.stop();
    await rm(dataDirectory, { recursive: true, force: true });
  };
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.end());
  });
}
