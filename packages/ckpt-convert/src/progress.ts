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

/** Shows bytes done and GB/s: a bar on a terminal, elsewhere a line every few seconds. */
export function createByteProgress(output: Output, options: { everyMs?: number } = {}): ByteProgress {
  const { everyMs = 3000 } = options;
  const begin = performance.now();
  let shown = begin;
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
      const rate = doneBytes / 1e6 / Math.max(now - begin, 1);
      const share = totalBytes === 0 ? 100 : Math.floor((100 * doneBytes) / totalBytes);
      const line = `${share}% of ${formatBytes(totalBytes)}, ${rate.toFixed(2)} GB/s`;
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
