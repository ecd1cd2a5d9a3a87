import { describe, expect, it } from 'vitest';
import { attributeFailure, type PodText } from './attribute.ts';
import { timeOfLine } from './log-time.ts';

const pod = (name: string, ...lines: string[]): PodText => ({ podId: `dlc1-${name}`, lines });
const timeout = (at: string): string =>
  `[rank9]:[E1124 ${at} ProcessGroupNCCL.cpp:616] [Rank 9] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=2187, OpType=ALLREDUCE, Timeout(ms)=600000) ran for 600029 milliseconds before timing out.`;
const OOM = 'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB.';
const CHILD = 'torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ';
const iteration = (at: string): string => ` [2026-11-24 ${at}] iteration       44/     100 | lm loss: 2.1E+00 |`;
const explain = (logs: PodText[], reasons: string[] = []) => attributeFailure(logs, reasons, { year: 2026 });

describe('attributeFailure', () => {
  it('takes the earliest error over all pods: an out-of-memory, not the timeouts ten minutes after it', () => {
    const failure = explain([
      pod('master-0', timeout('08:41:22.123456'), CHILD),
      pod('worker-0', timeout('08:41:21.998001'), CHILD),
      pod('worker-1', iteration('08:31:05'), 'Traceback (most recent call last):', OOM, CHILD),
      pod('worker-2', iteration('08:31:05'), timeout('08:41:23.000000')),
    ]);
    expect(failure).toMatchObject({
      ...{ cause: 'cuda-oom', podId: 'dlc1-worker-1', at: '2026-11-24T08:31:05.000', podsRead: 4, pods: 4 },
      evidence: [iteration('08:31:05'), 'Traceback (most recent call last):', OOM, CHILD],
    });
    expect(failure.advice).toContain('tensor or pipeline parallel size');
    expect(failure.consequences.map(({ cause, podId }) => `${cause} ${podId}`)).toEqual([
      ...['child-failed dlc1-worker-1', 'nccl-timeout dlc1-worker-0', 'child-failed dlc1-worker-0'],
      ...['nccl-timeout dlc1-master-0', 'child-failed dlc1-master-0', 'nccl-timeout dlc1-worker-2'],
    ]);
  });

  it('does not take the out-of-memory of a rank that is torn down for the cause (nccl#1284)', () => {
    const failure = explain([pod('master-0', timeout('08:41:22.1')), pod('worker-0', iteration('08:42:01'), OOM)]);
    expect(failure).toMatchObject({ cause: 'nccl-timeout', podId: 'dlc1-master-0' });
    expect(failure.consequences).toMatchObject([{ cause: 'cuda-oom', podId: 'dlc1-worker-0' }]);
    expect(failure.advice).toContain('no pod’s log has an earlier error');
  });

  it('prefers an error without a time to a timeout, which comes minutes after its cause', () => {
    const failure = explain([pod('master-0', timeout('08:41:22.1')), pod('worker-0', OOM)]);
    expect(failure).toMatchObject({ cause: 'cuda-oom', podId: 'dlc1-worker-0' });
    expect(failure).not.toHaveProperty('at');
  });

  it('reads a process killed from outside out of torchrun’s root-cause block', () => {
    const failure = explain([
      pod(
        'master-0',
        CHILD,
        'Root Cause (first observed failure):',
        '[0]:',
        '  time      : 2026-11-24_08:31:22',
        '  exitcode  : -9 (pid: 1391)',
      ),
    ]);
    expect(failure).toMatchObject({ cause: 'host-oom', at: '2026-11-24T08:31:22.000' });
  });

  it('lets PAI’s own reason decide where it names a kind', () => {
    const killed = pod('worker-0', '[exiting program after receiving SIGTERM.] datetime: 2026-11-24 08:41:22 ');
    const failure = explain([killed], ['JobMaxRunningTimeExceeded: The job has run for 60 minutes']);
    expect(failure).toMatchObject({ cause: 'max-running-time', consequences: [{ cause: 'ended-by-signal' }] });
    expect(failure.evidence).toEqual(['JobMaxRunningTimeExceeded: The job has run for 60 minutes']);
    expect(explain([pod('worker-0', OOM)], ['PodFailed: exited with code 1']).cause).toBe('cuda-oom');
  });

  it('says that it does not know', () => {
    const failure = explain([pod('worker-0', iteration('08:31:05'))], ['PodFailed: exited with code 3']);
    expect(failure).toMatchObject({ cause: 'unknown', evidence: ['PodFailed: exited with code 3'], consequences: [] });
    expect(explain([])).toMatchObject({ cause: 'unknown', podsRead: 0 });
  });

  it('row 56: shows no key', () => {
    const line = 'RuntimeError: 403 for LTAI5tSecretSecret with Authorization: ACS3-HMAC-SHA256 Signature=abc';
    expect(JSON.stringify(explain([pod('worker-0', line)]))).not.toMatch(/LTAI5t|Signature=abc/);
  });

  it('stays small, however much there is', () => {
    const many = Array.from({ length: 64 }, (_, i) =>
      pod(`worker-${i}`, ...Array(100).fill(`${OOM}${'x'.repeat(9000)}`)),
    );
    expect(JSON.stringify(explain(many)).length).toBeLessThan(20_000);
  });
});

it.each([
  [' [2026-09-14 15:08:27.273656] iteration', '2026-09-14T15:08:27.273Z'],
  ['2026-09-14 15:08:27,273 - ERROR', '2026-09-14T15:08:27.273Z'],
  ['  time      : 2026-09-14_15:08:27', '2026-09-14T15:08:27.000Z'],
  ['[20251202 06:56:28][rank-7/8]', '2025-12-02T06:56:28.000Z'],
  ['[rank3]:[E0914 15:08:27.5 ProcessGroupNCCL.cpp:616]', '2024-09-14T15:08:27.500Z'],
  ['W0914 15:08:27.273656 139 torch/distributed/run.py:792]', '2024-09-14T15:08:27.273Z'],
  ['no time here 12:30', undefined],
])('the time of %s', (line, iso) => {
  expect(timeOfLine(line, 2024)).toBe(iso === undefined ? undefined : Date.parse(iso));
});
