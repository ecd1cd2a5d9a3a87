import { Presets, SingleBar } from 'cli-progress';
import pc from 'picocolors';
import type { BuildProgress } from './build-plan.ts';

/** Where a program's words go; a test hands in its own. */
export interface Output {
  /** Results: stdout. */
  write(text: string): void;
  /** Words for a person: stderr. */
  log(line: string): void;
  /** stderr, when it is a terminal that can hold a bar. */
  terminal?: NodeJS.WriteStream;
}

export interface ProgressView {
  update(progress: BuildProgress): void;
  /** Takes the bar away. */
  clear(): void;
  /** Prints one line about the whole. */
  summarize(): void;
}

/** Shows a build: a bar on a terminal, elsewhere a line every few seconds. */
export function createProgress(output: Output, options: { everyMs?: number } = {}): ProgressView {
  const { everyMs = 3000 } = options;
  let last: BuildProgress | undefined;
  let shownSeconds = 0;
  let bar: SingleBar | undefined;
  const startBar = (stream: NodeJS.WriteStream, total: number) => {
    const format = '{bar} {line}';
    const started = new SingleBar({ format, clearOnComplete: true, hideCursor: true, stream }, Presets.shades_classic);
    started.start(total, 0, { line: '' });
    return started;
  };
  return {
    update(progress) {
      last = progress;
      if (output.terminal) {
        bar ??= startBar(output.terminal, progress.bytesTotal);
        bar.update(progress.bytesRead, { line: describe(progress) });
      } else if ((progress.seconds - shownSeconds) * 1000 >= everyMs) {
        shownSeconds = progress.seconds;
        output.log(pc.dim(describe(progress)));
      }
    },
    clear() {
      bar?.stop();
    },
    summarize() {
      if (last) output.log(describe(last));
    },
  };
}

function describe({ documents, tokens, bytesRead, bytesTotal, seconds, earlier }: BuildProgress): string {
  const spent = Math.max(seconds, 1e-3);
  const bytes = bytesRead - (earlier?.bytesRead ?? 0);
  const ids = tokens - (earlier?.tokens ?? 0);
  const share = bytesTotal === 0 ? 100 : Math.floor((100 * bytesRead) / bytesTotal);
  const rates = `${formatBytes(bytes / spent)}/s, ${count(Math.round(ids / spent))} tokens/s`;
  const left =
    bytes > 0 && bytesRead < bytesTotal ? `, ${formatSeconds((spent * (bytesTotal - bytesRead)) / bytes)} left` : '';
  return `${share}% of ${formatBytes(bytesTotal)}: ${count(documents)} documents, ${count(tokens)} tokens, ${rates}${left}`;
}

/** A time for a person, never more exact than it can be. */
export function formatSeconds(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Bytes for a person, in powers of 1000. */
export function formatBytes(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(bytes, 1)) / 3));
  return power <= 0 ? `${Math.round(bytes)} bytes` : `${(bytes / 1000 ** power).toFixed(1)} ${units[power]}`;
}

/** A whole number with thousands set apart. */
export function count(value: number): string {
  return value.toLocaleString('en-US');
}
