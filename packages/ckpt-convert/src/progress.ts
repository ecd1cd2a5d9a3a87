import { Presets, SingleBar } from 'cli-progress';
import pc from 'picocolors';

/** Where a program's words go; a test hands in its own. */
export interface Output {
  /** Results: stdout. */
  write(text: string): void;
  /** Words for a person: stderr. */
  log(line: string): void;
  /** stderr, when it is a terminal that can hold a bar. */
  terminal?: NodeJS.WriteStream;
}

export interface ByteProgress {
  update(doneBytes: number, totalBytes: number): void;
  /** Takes the bar away. */
  clear(): void;
}

/** Shows bytes done, GB/s and the time left: a bar on a terminal, elsewhere a line every few seconds. */
export function createByteProgress(output: Output, options: { everyMs?: number } = {}): ByteProgress {
  const { everyMs = 3000 } = options;
  let shown = performance.now();
  /** What an earlier run had done, and the time for planning, are no part of the rate. */
  let first: { readonly bytes: number; readonly at: number } | undefined;
  let bar: SingleBar | undefined;
  const startBar = (stream: NodeJS.WriteStream, total: number) => {
    const format = '{bar} {line}';
    const started = new SingleBar({ format, clearOnComplete: true, hideCursor: true, stream }, Presets.shades_classic);
    started.start(total, 0, { line: '' });
    return started;
  };
  return {
    update(doneBytes, totalBytes) {
      const now = performance.now();
      first ??= { bytes: doneBytes, at: now };
      const perMs = (doneBytes - first.bytes) / Math.max(now - first.at, 1);
      const left = formatDuration((totalBytes - doneBytes) / perMs / 1000);
      const speed = perMs > 0 ? `, ${(perMs / 1e6).toFixed(2)} GB/s, ${left} left` : '';
      const share = totalBytes === 0 ? 100 : Math.floor((100 * doneBytes) / totalBytes);
      const line = `${share}% of ${formatBytes(totalBytes)}${speed}`;
      if (output.terminal) {
        bar ??= startBar(output.terminal, totalBytes);
        bar.update(doneBytes, { line });
      } else if (now - shown >= everyMs) {
        shown = now;
        output.log(pc.dim(line));
      }
    },
    clear() {
      bar?.stop();
    },
  };
}

/** Seconds, minutes or hours for a person. */
export function formatDuration(seconds: number): string {
  if (seconds < 90) return `${seconds < 10 ? Math.max(seconds, 0.1).toFixed(1) : Math.round(seconds)} s`;
  const minutes = seconds / 60;
  return minutes < 90 ? `${Math.round(minutes)} min` : `${(minutes / 60).toFixed(1)} h`;
}

/** Bytes for a person, in powers of 1000. */
export function formatBytes(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(bytes, 1)) / 3));
  return power === 0 ? `${bytes} bytes` : `${(bytes / 1000 ** power).toFixed(1)} ${units[power]}`;
}

const UNIT_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 1024,
  MIB: 1024 ** 2,
  GIB: 1024 ** 3,
};

/** Bytes of `5GB`, `512MiB`, `1000`; undefined for anything else. */
export function parseByteSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(text.trim());
  const unit = UNIT_BYTES[match?.[2]?.toUpperCase() ?? 'none'];
  if (!match || unit === undefined) return undefined;
  const bytes = Math.floor(Number(match[1]) * unit);
  return bytes > 0 && Number.isSafeInteger(bytes) ? bytes : undefined;
}
