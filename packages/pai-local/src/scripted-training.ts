import type { Clock } from './clock.ts';
import { seededRandom } from './faults.ts';
import type { PodProcess } from './job-pods.ts';
import type { LogWriter } from './process-log.ts';
import type { JobScript, ScriptEvent } from './scenario.ts';
import { iterationLine, loadedLine, savedLine, savingLine } from './tiny-trainer/log-lines.ts';

/** A training that a scenario tells, over all the lives of its pods. */
export interface ScriptedTraining {
  readonly queueMs: number;
  /** What stands for the process of a pod; `preempt` takes its machine. The log is closed at its end. */
  start(pod: { isLast: boolean; preempt: () => void }, log: LogWriter): PodProcess;
}

const ONE_GPU = { tensorParallelSize: 1, pipelineParallelSize: 1 };
/** What Megatron prints, and how its process ends: an uncaught exception, or abort(). */
const FAILURES = {
  oom: {
    exitCode: 1,
    lines: [
      '[rank31]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB. GPU 7 has a total capacity of 79.35 GiB of which 1.19 GiB is free.',
      'torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ',
    ],
  },
  'nccl-timeout': {
    exitCode: 134,
    lines: [
      '[rank31]:[E ProcessGroupNCCL.cpp:616] [Rank 31] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=4411, OpType=ALLREDUCE, NumelIn=1, NumelOut=1, Timeout(ms)=600000) ran for 600029 milliseconds before timing out.',
      'torch.distributed.DistBackendError: NCCL error: the watchdog thread terminated the process',
    ],
  },
} as const;

/** The training of `script` on `clock`: the last pod writes the log, the others wait for it. */
export function scriptTraining(script: JobScript, clock: Clock): ScriptedTraining {
  const fired = new Set<ScriptEvent>();
  let saved = 0;
  let endWell = (): void => {};
  const endedWell = new Promise<void>((resolve) => {
    endWell = resolve;
  });

  async function train(log: LogWriter, preempt: () => void, signal: AbortSignal): Promise<number> {
    const first = script.restartsFrom === 'checkpoint' ? saved : 0;
    log.line(loadedLine(first, first > 0 ? script.checkpointDirectory : '/mnt/base', ONE_GPU));
    for (let iteration = first + 1; iteration <= script.iterations; iteration++) {
      await clock.sleep(script.iterationMs, signal);
      for (const event of script.events) {
        if (event.at !== iteration || fired.has(event)) continue;
        if (event.kind === 'spike' || event.kind === 'nan') continue;
        fired.add(event);
        if (event.kind === 'line') log.line(event.text);
        else if (event.kind === 'oom' || event.kind === 'nccl-timeout') {
          for (const line of FAILURES[event.kind].lines) log.line(line);
          return FAILURES[event.kind].exitCode;
        } else {
          if (event.kind === 'preempt') preempt();
          await untilAborted(signal);
        }
      }
      log.line(iterationLine(reportOf(script, iteration, clock.now())));
      if (iteration % script.saveInterval !== 0 && iteration !== script.iterations) continue;
      log.line(savingLine(iteration, script.checkpointDirectory));
      saved = iteration;
      log.line(savedLine(iteration, script.checkpointDirectory, ONE_GPU));
    }
    endWell();
    return 0;
  }

  return {
    queueMs: script.queueMs,
    start({ isLast, preempt }, log) {
      const end = new AbortController();
      const ends = (exitCode: number) => () => end.abort(exitCode);
      const work = isLast
        ? train(log, preempt, end.signal)
        : Promise.race([endedWell.then(() => 0), untilAborted(end.signal)]);
      const exited = work
        .catch((error: unknown) => {
          if (end.signal.aborted) return end.signal.reason as number;
          throw error;
        })
        .finally(() => log.close());
      return {
        pid: undefined,
        exited,
        kill: ends(137),
        async terminate() {
          ends(143)();
          await exited;
        },
      };
    },
  };
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

/** What the line of an iteration says: the same for the same script, in whichever life it is written. */
function reportOf(script: JobScript, iteration: number, now: number): Parameters<typeof iterationLine>[0] {
  const { loss, globalBatchSize, learningRate, minLearningRate, warmupIterations: warmup, iterations } = script;
  const random = seededRandom(script.seed * 1_000_003 + iteration);
  const struck = script.events.filter(({ at, iterations: lasts }) => iteration >= at && iteration < at + lasts);
  const factor = struck.reduce((product, event) => product * (event.kind === 'spike' ? event.factor : 1), 1);
  const isNan = struck.some(({ kind }) => kind === 'nan');
  const calm = loss.to + (loss.from - loss.to) * Math.exp((-3 * (iteration - 1)) / iterations);
  const cosine = (1 + Math.cos((Math.PI * (iteration - warmup)) / Math.max(1, iterations - warmup))) / 2;
  return {
    at: new Date(now),
    iteration,
    trainIterations: iterations,
    consumedSamples: iteration * globalBatchSize,
    elapsedMs: script.elapsedMs * (0.99 + 0.02 * random()),
    learningRate:
      iteration < warmup
        ? (learningRate * iteration) / warmup
        : minLearningRate + (learningRate - minLearningRate) * cosine,
    globalBatchSize,
    lmLoss: isNan ? Number.NaN : (calm + loss.noise * normal(random)) * factor,
    gradNorm: isNan ? Number.NaN : (1 + 0.1 * normal(random)) * factor,
  };
}

/** Box and Muller's normal number. */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
