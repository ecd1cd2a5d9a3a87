import { describe, expect, it } from 'vitest';
import { hasRealLogs, realLog } from '../../../test/real-logs.ts';
import { causeOfLine, causeOfReason } from './causes.ts';

/** Lines as pai-api.md §5 and the issues it names have them. */
const LINES: [cause: string, line: string][] = [
  [
    'cuda-oom',
    'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB. GPU 3 has a total capacity of 79.1 GiB',
  ],
  ['cuda-oom', '[rank12]: torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 594.00 MiB'],
  ['cuda-oom', 'RuntimeError: CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 39.59 GiB total capacity)'],
  [
    'nccl-timeout',
    '[rank3]:[E1124 08:41:22.123456789 ProcessGroupNCCL.cpp:616] [Rank 3] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=2187, OpType=_ALLGATHER_BASE, NumelIn=33554432, NumelOut=134217728, Timeout(ms)=600000) ran for 600029 milliseconds before timing out.',
  ],
  [
    'nccl-error',
    'torch.distributed.DistBackendError: NCCL error in: ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:1691, unhandled system error',
  ],
  ['nccl-error', 'ncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error.'],
  ['nccl-error', 'RuntimeError: NCCL error: ncclUnhandledCudaError'],
  ['child-failed', 'torch.distributed.elastic.multiprocessing.errors.ChildFailedError: '],
  ['ended-by-signal', 'torch.distributed.elastic.multiprocessing.api.SignalException: Process 42 got signal: 15'],
  ['ended-by-signal', '[exiting program after receiving SIGTERM.] datetime: 2026-11-24 08:41:22 '],
  ['device-assert', 'RuntimeError: CUDA error: device-side assert triggered'],
  ['illegal-memory-access', 'RuntimeError: CUDA error: an illegal memory access was encountered'],
  ['gpu-hardware', 'RuntimeError: CUDA error: uncorrectable ECC error encountered'],
  ['gpu-hardware', '[ 8831.1] NVRM: Xid (PCI:0000:8a:00): 79, pid=1234, GPU has fallen off the bus.'],
  ['host-oom', '  exitcode  : -9 (pid: 1391)'],
  [
    'host-oom',
    'E1124 08:31:22.000000 139 torch/distributed/elastic/multiprocessing/api.py:826] failed (exitcode: -9) local_rank: 3',
  ],
  ['host-oom', 'Container killed: exit code 137'],
  ['host-oom', 'Memory cgroup out of memory: Killed process 31337 (pt_main_thread)'],
  ['disk-full', 'OSError: [Errno 28] No space left on device'],
  [
    'training-diverged',
    'AssertionError: Rank 0: found NaN in local grad norm in backward pass before data-parallel communication collective.',
  ],
  [
    'exception',
    'AssertionError: global batch size (32) is not divisible by micro batch size (1) times data parallel size (3)',
  ],
  ['exception', '[rank0]: FileNotFoundError: [Errno 2] No such file or directory: /mnt/data/dataset.idx'],
];

describe('causeOfLine', () => {
  it.each(LINES)('%s: %s', (cause, line) => {
    expect(causeOfLine(line)).toBe(cause);
  });

  it.each([
    ' [2026-09-14 15:08:27.273656] iteration       44/  102400 | consumed samples:          352 | lm loss: 6.457796E+00 | loss scale: 1.0 | grad norm: 4.096 | number of nan iterations:   0 |',
    '  successfully saved checkpoint from iteration     100 to /out/checkpoint/run [ t 1/8, p 1/4 ]',
    'NCCL version 2.21.5+cuda12.4',
    'exitcode: 0',
    '  error_file: <N/A>',
    'WARNING: error handling is set to retry',
    `${'x'.repeat(5000)}CUDA out of memory`,
  ])('no symptom: %s', (line) => {
    expect(causeOfLine(line)).toBeUndefined();
  });

  it.skipIf(!hasRealLogs)('no line of the real runs, none of which failed where it is cut, is a symptom', () => {
    const files = [
      'bloom176b-2022-spike-31214.log',
      'megatron-2021-fp16-skipped-iters.log',
      'megds-2021-gpt2-52B-diverge.log',
    ];
    const symptoms = files.flatMap((file) =>
      realLog(file)
        .split('\n')
        .filter((line) => causeOfLine(line) !== undefined),
    );
    expect(symptoms).toEqual([]);
  });
});

it.each([
  ['image-pull', 'ImagePullFailed: Pod dlc1-worker-0: image "x": there is no folder'],
  ['image-pull', '2026-11-24T08:00:00Z Warning Failed Failed to pull image "registry/x:1": not found'],
  ['mount', 'FailedMount: MountVolume.SetUp failed for volume "nas"'],
  ['max-running-time', 'JobMaxRunningTimeExceeded: The job has run for 60 minutes'],
  ['preempted', 'JobPreempted: preempted by a job of higher priority'],
  ['preempted', 'SpotInstanceReclaimed'],
  ['quota', 'the quota has insufficient GPU'],
  ['stopped-by-user', 'JobStoppedByUser: Job is stopped by user.'],
  ['host-oom', 'Container exited with code 137'],
  [undefined, 'PodFailed: Pod dlc1-worker-0: exited with code 1'],
  [undefined, 'JobSucceeded'],
])('PAI’s reason means %s: %s', (cause, text) => {
  expect(causeOfReason(text)).toBe(cause);
});
