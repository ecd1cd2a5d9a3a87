import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, postgresServers, runOn } from '../../test/test-database.ts';
import type { IdempotencyKeys, KeyedRequest } from './idempotency-keys.ts';
import { openRepositories, type Repositories } from './repositories.ts';

const job = {
  jobId: 'dlc1',
  displayName: 'qwen2-72b-cpt',
  phase: 'pending' as const,
  status: 'Queuing',
  createdAt: '2026-11-24T08:00:00Z',
  pods: [],
  statusHistory: [],
};

describe.each(postgresServers())('the repositories on $name', ({ url: serverUrl }) => {
  let database: Awaited<ReturnType<typeof createTestDatabase>>;
  let repositories: Repositories;

  beforeAll(async () => {
    database = await createTestDatabase(serverUrl);
    repositories = await openRepositories(database.url);
  });
  afterAll(async () => {
    await repositories?.close();
    await database?.drop();
  });

  describe('migrations', () => {
    it('are applied once when several services start on one empty database', async () => {
      const empty = await createTestDatabase(serverUrl);
      const opened = await Promise.all([1, 2, 3, 4].map(() => openRepositories(empty.url)));
      const [applied] = await runOn<{ count: string }>(empty.url, 'select count(*) from drizzle.__drizzle_migrations');
      const [tables] = await runOn<{ names: string }>(
        empty.url,
        "select string_agg(tablename, ' ' order by tablename) as names from pg_tables where schemaname = 'public'",
      );
      expect(applied?.count).toBe('1');
      expect(tables?.names).toBe('idempotency_keys jobs services');
      await Promise.all(opened.map((each) => each.close()));
      await empty.drop();
    });

    it('leave a database that is up to date as it is', async () => {
      await repositories.jobs.recordSeen([job]);
      const again = await openRepositories(database.url);
      expect(await again.jobs.find('dlc1')).toMatchObject({ displayName: 'qwen2-72b-cpt' });
      await again.close();
    });
  });

  describe('jobs', () => {
    it('keeps what PAI said last', async () => {
      await repositories.jobs.recordSeen([{ ...job, jobId: 'a' }]);
      await repositories.jobs.recordSeen([{ ...job, jobId: 'a', phase: 'running', status: 'Running' }]);
      const record = await repositories.jobs.find('a');
      expect(record).toMatchObject({ phase: 'running', status: 'Running', spec: null });
      expect(record?.facts).toEqual({ ...job, jobId: 'a', phase: 'running', status: 'Running' });
      expect(record?.createdAt.toISOString()).toBe('2026-11-24T08:00:00.000Z');
    });

    it('keeps the spec of a job that is seen again', async () => {
      await repositories.jobs.recordCreated({ ...job, jobId: 'b' }, { model: 'qwen2-72b' });
      await repositories.jobs.recordSeen([{ ...job, jobId: 'b', status: 'Running' }]);
      expect(await repositories.jobs.find('b')).toMatchObject({ spec: { model: 'qwen2-72b' }, status: 'Running' });
    });

    it('adds the spec to a job that a list showed before its creation was answered', async () => {
      await repositories.jobs.recordSeen([{ ...job, jobId: 'c' }]);
      await repositories.jobs.recordCreated({ ...job, jobId: 'c' }, { model: 'qwen2-7b' });
      expect(await repositories.jobs.find('c')).toMatchObject({ spec: { model: 'qwen2-7b' } });
    });

    it('takes a list that names one job twice, and an empty one', async () => {
      await repositories.jobs.recordSeen([
        { ...job, jobId: 'd' },
        { ...job, jobId: 'd', status: 'Running' },
      ]);
      await repositories.jobs.recordSeen([]);
      expect(await repositories.jobs.find('d')).toMatchObject({ status: 'Running' });
    });

    it('forgets a removed job', async () => {
      await repositories.jobs.recordSeen([{ ...job, jobId: 'e' }]);
      await repositories.jobs.remove('e');
      expect(await repositories.jobs.find('e')).toBeUndefined();
    });
  });

  it('keeps what PAI said last of a service', async () => {
    const service = { name: 'qwen', phase: 'pending' as const, status: 'Creating' };
    await repositories.services.recordSeen([service]);
    await repositories.services.recordSeen([{ ...service, phase: 'running', status: 'Running' }]);
    expect(await repositories.services.find('qwen')).toMatchObject({ phase: 'running', status: 'Running' });
  });

  describe('idempotency keys', () => {
    const answer = { status: 201, headers: { location: '/v1/jobs/dlc1' }, body: '{"jobId":"dlc1"}' };
    const request = (key: string, fingerprint = 'f1'): KeyedRequest => ({
      operation: 'POST /v1/jobs',
      key,
      fingerprint,
    });
    const claim = async (keys: IdempotencyKeys, wanted: KeyedRequest) => {
      const got = await keys.claim(wanted);
      if (got.outcome !== 'claimed') throw new Error(`expected to get the key, it is ${got.outcome}`);
      return got;
    };

    it('give the stored answer to an equal request, and none to another', async () => {
      const keys = repositories.idempotencyKeys;
      await (await claim(keys, request('k1'))).complete(answer);
      expect(await keys.claim(request('k1'))).toEqual({ outcome: 'answered', answer });
      expect(await keys.claim(request('k1', 'f2'))).toEqual({ outcome: 'other-request' });
      const elsewhere = await claim(keys, { ...request('k1', 'f2'), operation: 'POST /v1/services' });
      await elsewhere.forget();
    });

    it('give one of many concurrent requests the work, over two services on one database', async () => {
      const other = await openRepositories(database.url);
      const from = (index: number) => (index % 2 === 0 ? repositories : other).idempotencyKeys;
      const claims = await Promise.all(Array.from({ length: 16 }, (_, index) => from(index).claim(request('k2'))));
      const got = claims.filter((each) => each.outcome === 'claimed');
      expect(got).toHaveLength(1);
      expect(new Set(claims.map((each) => each.outcome))).toEqual(new Set(['claimed', 'in-flight']));
      expect(await other.idempotencyKeys.claim(request('k2', 'f2'))).toEqual({ outcome: 'other-request' });
      await got[0]?.complete(answer);
      expect(await other.idempotencyKeys.claim(request('k2'))).toEqual({ outcome: 'answered', answer });
      await other.close();
    });

    it('may be used again when nothing was done', async () => {
      const keys = repositories.idempotencyKeys;
      await (await claim(keys, request('k3'))).forget();
      await (await claim(keys, request('k3', 'f2'))).forget();
    });

    it('tell that the outcome is unknown when the work was abandoned', async () => {
      const keys = repositories.idempotencyKeys;
      await (await claim(keys, request('k4'))).abandon();
      expect(await keys.claim(request('k4'))).toEqual({ outcome: 'unknown' });
      expect(await keys.claim(request('k4', 'f2'))).toEqual({ outcome: 'other-request' });
    });

    it('tell that the outcome is unknown when the process died in the middle', async () => {
      const broken: string[] = [];
      const dying = await openRepositories(database.url, (error) => broken.push(error.message));
      const lost = await claim(dying.idempotencyKeys, request('k5'));
      expect(await repositories.idempotencyKeys.claim(request('k5'))).toEqual({ outcome: 'in-flight' });
      // What the kernel does to the connections of a process that is killed.
      await runOn(
        database.url,
        "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())",
      );
      await expect.poll(() => repositories.idempotencyKeys.claim(request('k5'))).toEqual({ outcome: 'unknown' });
      expect(broken).toContain('terminating connection due to administrator command');
      await expect(lost.complete(answer)).rejects.toThrow();
      await dying.close();
    });

    it('do not starve the other queries when every connection for locks is taken', async () => {
      const keys = repositories.idempotencyKeys;
      const claims = await Promise.all(Array.from({ length: 10 }, (_, index) => claim(keys, request(`many-${index}`))));
      await repositories.jobs.recordSeen([{ ...job, jobId: 'f' }]);
      await Promise.all(claims.map((each) => each.complete(answer)));
      expect(await keys.claim(request('many-9'))).toEqual({ outcome: 'answered', answer });
    });
  });
});

describe('a database that is not there', () => {
  it('is reported as such at the start', async () => {
    const opening = openRepositories('postgres://cpt:secret@127.0.0.1:1/cpt');
    await expect(opening).rejects.toMatchObject({
      code: 'CPT_SERVICE_DATABASE',
      message: 'the database does not answer: connect ECONNREFUSED 127.0.0.1:1',
    });
  });
});
