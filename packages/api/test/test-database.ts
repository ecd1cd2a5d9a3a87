import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';

/** The PostgreSQL servers to test against: the embedded one always, one of this machine where it answers. */
export function postgresServers(): { name: string; url: string }[] {
  const system = inject('systemUrl');
  return [
    { name: 'embedded PostgreSQL', url: inject('embeddedUrl') },
    ...(system === undefined ? [] : [{ name: 'the PostgreSQL of this machine', url: system }]),
  ];
}

/** A new, empty database on the server at `url`; `drop` ends its connections and removes it. */
export async function createTestDatabase(url: string): Promise<{ url: string; drop(): Promise<void> }> {
  const name = `cpt_test_${randomBytes(6).toString('hex')}`;
  await runOn(url, `create database ${name}`);
  const own = new URL(url);
  own.pathname = `/${name}`;
  return { url: own.href, drop: async () => void (await runOn(url, `drop database ${name} with (force)`)) };
}

/** Runs one statement on a connection of its own. */
export async function runOn<Row extends pg.QueryResultRow>(url: string, statement: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(statement)).rows;
  } finally {
    await client.end();
  }
}
