import { check } from './stages.ts';

interface Answer {
  status: number;
  body: Record<string, unknown>;
}

/** One call of the REST service; the status is the caller's to judge. */
async function call(
  url: string,
  method = 'GET',
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(url, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(60_000),
  });
  const text = await response.text();
  return {
    status: response.status,
    body: text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : { text },
  };
}

const idsOf = (answer: Answer, list: string, key: string): unknown[] =>
  ((answer.body[list] ?? []) as Record<string, unknown>[]).map((entry) => entry[key]);

/**
 * The same job and service over REST, then a second job created, created again with the same key, stopped and deleted.
 * Gives the number of routes called.
 */
export async function walkRest(
  url: string,
  jobId: string,
  serviceName: string,
  runSpec: unknown,
): Promise<{ calls: number; jobs: number }> {
  let calls = 0;
  const expectStatus = async (status: number, path: string, method = 'GET', body?: unknown, headers = {}) => {
    calls++;
    const answer = await call(url + path, method, body, headers);
    check(
      answer.status === status,
      `${method} ${path} answered ${answer.status}, not ${status}: ${JSON.stringify(answer.body)}`,
    );
    return answer;
  };

  const jobs = await expectStatus(200, '/v1/jobs');
  check(idsOf(jobs, 'jobs', 'jobId').includes(jobId), `GET /v1/jobs does not list ${jobId}`);
  const job = await expectStatus(200, `/v1/jobs/${jobId}`);
  check(job.body.phase === 'succeeded', `GET /v1/jobs/${jobId} says ${job.body.phase}`);
  const services = await expectStatus(200, '/v1/services');
  check(idsOf(services, 'services', 'name').includes(serviceName), `GET /v1/services does not list ${serviceName}`);
  const openapi = await expectStatus(200, '/openapi.json');
  check(String(openapi.body.openapi).startsWith('3.1'), `/openapi.json is ${openapi.body.openapi}, not 3.1`);
  await expectStatus(200, '/docs');

  const key = { 'idempotency-key': `demo-${Date.now()}` };
  const created = await expectStatus(201, '/v1/jobs', 'POST', runSpec, key);
  const again = await expectStatus(201, '/v1/jobs', 'POST', runSpec, key);
  check(created.body.jobId === again.body.jobId, 'the same Idempotency-Key made two jobs');
  const second = String(created.body.jobId);
  await expectStatus(202, `/v1/jobs/${second}/stop`, 'POST');
  await waitForPhase(url, second, 'stopped');
  await expectStatus(204, `/v1/jobs/${second}`, 'DELETE');
  await expectStatus(404, `/v1/jobs/${second}`);
  return { calls, jobs: idsOf(jobs, 'jobs', 'jobId').length };
}

async function waitForPhase(url: string, jobId: string, phase: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const { body } = await call(`${url}/v1/jobs/${jobId}`);
    if (body.phase === phase) return;
    check(Date.now() < deadline, `job ${jobId} is ${body.phase} after 30 s, not ${phase}`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}
