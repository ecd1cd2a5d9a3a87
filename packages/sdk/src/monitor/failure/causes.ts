/**
 * Where a line of a log stands in the chain of a failure. `first` starts it. `late` is how other pods notice that one is
 * gone, usually minutes after (the watchdog of NCCL waits 10 minutes by default), and rarely a cause of its own. `echo` only
 * reports that a process ended.
 */
export type Place = 'first' | 'late' | 'echo';

/** A kind of failure: how it is recognised, what it means and what to do. */
interface Cause {
  readonly place: Place;
  /** In a line of a pod's log. */
  readonly log?: RegExp;
  /** In what PAI says of the job and in the events of its pods. */
  readonly platform?: RegExp;
  readonly title: string;
  readonly advice: string;
}

/** Every known kind, the more exact before the more general: a line counts for the first that fits. */
export const CAUSES = {
  'cuda-oom': {
    place: 'first',
    log: /torch\.(?:cuda\.)?OutOfMemoryError|CUDA out of memory/,
    title: 'a GPU ran out of memory',
    advice:
      'use a larger tensor or pipeline parallel size, full recomputation (AC=full), a shorter sequence or batch_size 1; see the memory check of the plan',
  },
  'gpu-hardware': {
    place: 'first',
    log: /uncorrectable ECC|\bXid\b[^\n]{0,60}\d/,
    title: 'a GPU reported a hardware error',
    advice: 'start again without that node (AssignNodeSpec), turn on EnableSanityCheck, and report the node to PAI',
  },
  'device-assert': {
    place: 'first',
    log: /device-side assert/,
    title: 'a kernel’s check failed, mostly a token id outside the vocabulary',
    advice: 'check the dataset against the model: cpt-mmap doctor, and the vocabulary check of the plan',
  },
  'illegal-memory-access': {
    place: 'first',
    log: /an illegal memory access/,
    title: 'a kernel read or wrote where it must not',
    advice: 'once: start again; again on the same node: leave it out; anywhere: look at the image’s CUDA libraries',
  },
  'host-oom': {
    place: 'first',
    log: /\bexit ?code\s{0,3}:? ?(?:-9|137)\b|oom-kill|\bKilled process \d|\bOOMKilled\b|Signal 9 \(SIGKILL\)/i,
    platform: /OOMKilled|\bexit(?:ed)? (?:with )?code:? 137\b/i,
    title: 'a process was killed, mostly because the pod used more memory than it has',
    advice: 'give the pods more memory (memoryGiBPerNode), and compare MemoryUsage of cpt metrics',
  },
  'disk-full': {
    place: 'first',
    log: /No space left on device|Disk quota exceeded/,
    title: 'the disk or file system is full',
    advice: 'make room in the output folder, or save less often; see the disk check of the plan',
  },
  'training-diverged': {
    place: 'first',
    log: /CPT_TRAIN_DIVERGED|Unexpected result nan|found NaN in local (?:grad norm|forward loss)/i,
    title: 'the loss or the gradient norm is not a number',
    advice: 'go back to a checkpoint from before the rise and lower the learning rate; see the incidents of cpt watch',
  },
  'nccl-timeout': {
    place: 'late',
    log: /Watchdog caught collective operation timeout/,
    title: 'a rank waited in vain for the others',
    advice:
      'no pod’s log has an earlier error: look at the pods whose iterations stopped first, their events and their GPU use, for one that hangs or has lost its network',
  },
  'nccl-error': {
    place: 'late',
    log: /NCCL error|nccl(?:System|Internal|UnhandledCuda|Remote|Invalid\w+)Error|DistBackendError/i,
    title: 'the communication between GPUs broke',
    advice:
      'no pod’s log has an earlier error: set NCCL_DEBUG=INFO and look for the first WARN; check that the nodes share a network (RDMA, security group)',
  },
  'child-failed': {
    place: 'echo',
    log: /ChildFailedError/,
    title: 'a training process ended with an error that the logs do not show',
    advice: 'set TORCH_SHOW_CPP_STACKTRACES=1 and look at the root-cause block of torchrun',
  },
  'ended-by-signal': {
    place: 'echo',
    log: /SignalException|exiting program after receiving SIGTERM|Received Signals\.SIGTERM|Signal 15 \(SIGTERM\)/i,
    title: 'the processes were told to end',
    advice: 'look at the job’s events for who stopped it: a user, a time limit, preemption or a restart',
  },
  'image-pull': {
    place: 'first',
    platform: /ImagePull|ErrImage|pull(?:ing)? image/i,
    title: 'the container image could not be pulled',
    advice: 'check the image’s name and tag, its region and the right to pull it (ImageConfig)',
  },
  mount: {
    place: 'first',
    platform: /FailedMount|MountVolume|\bmount(?:ing)? (?:failed|error)/i,
    title: 'a folder could not be mounted',
    advice: 'check the NAS or OSS path, its mount target and that the job’s VPC reaches it',
  },
  'max-running-time': {
    place: 'first',
    platform: /MaxRunningTime/i,
    title: 'the job ran for as long as it may',
    advice: 'continue it with cpt resume, and give maxRunningTimeMinutes the plan’s estimate twice',
  },
  preempted: {
    place: 'first',
    platform: /preempt|reclaim|evict/i,
    title: 'the machines were taken away for another job',
    advice: 'continue it with cpt resume; use a higher priority or machines that are not spot, and save more often',
  },
  quota: {
    place: 'first',
    platform: /quota|insufficient|out ?of ?stock|no ?stock|NotEnoughResource|Unschedulable/i,
    title: 'there were not enough machines',
    advice: 'ask for fewer nodes, another machine type or quota, or wait',
  },
  'stopped-by-user': {
    place: 'first',
    platform: /StoppedByUser/i,
    title: 'a user or a watcher stopped it',
    advice: 'continue it with cpt resume when that is wanted',
  },
  exception: {
    place: 'first',
    log: /^(?:\[[^\]]{1,40}\]:?\s{0,4}){0,2}(?:\w+\.){0,8}\w*(?:Error|Exception)(?:: |$)/,
    title: 'the training script raised an error',
    advice: 'the error and what led to it stand in the evidence',
  },
} as const satisfies Record<string, Cause>;

/** The name of a known kind of failure. */
export type CauseId = keyof typeof CAUSES;

const ENTRIES = Object.entries(CAUSES) as [CauseId, Cause][];
const FROM_LOGS = ENTRIES.filter(([, { log }]) => log);
const FROM_PLATFORM = ENTRIES.filter(([, { platform }]) => platform);

/** Longer lines are cut before they are searched. */
const LONGEST = 4096;
/** Nearly every line has none of these words, and needs no further look. */
const HINT =
  /error|exception|memory|killed|exit ?code|timeout|signal|sigterm|ECC|Xid|assert|no space|quota|nan\b|diverged/i;

/** What a line of a pod's log is a symptom of. */
export function causeOfLine(line: string): CauseId | undefined {
  const text = line.length > LONGEST ? line.slice(0, LONGEST) : line;
  if (!HINT.test(text)) return undefined;
  return FROM_LOGS.find(([, { log }]) => log?.test(text))?.[0];
}

/** What a text of PAI (reason code, message, event) says. */
export function causeOfReason(text: string): CauseId | undefined {
  return FROM_PLATFORM.find(([, { platform }]) => platform?.test(text))?.[0];
}
