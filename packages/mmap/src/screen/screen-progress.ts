import { Presets, SingleBar } from 'cli-progress';
import pc from 'picocolors';
import { count, formatBytes, type Output } from '../progress.ts';
import type { CorpusProgress } from './corpus.ts';

export interface ScreenProgressView {
  update(progress: CorpusProgress): void;
  /** Takes the bar away. */
  clear(): void;
}

/** Shows how far a corpus is read: a bar on a terminal, elsewhere a line every few seconds. */
export function createScreenProgress(
  output: Output,
  options: { everyMs?: number; now?: () => number } = {},
): ScreenProgressView {
  const { everyMs = 3000, now = () => performance.now() } = options;
  let shownMs = now();
  let bar: SingleBar | undefined;
  return {
    update(progress) {
      if (output.terminal) {
        if (!bar) {
          const format = '{bar} {line}';
          bar = new SingleBar(
            { format, clearOnComplete: true, hideCursor: true, stream: output.terminal },
            Presets.shades_classic,
          );
          bar.start(progress.bytesTotal, 0, { line: '' });
        }
        bar.update(progress.bytesRead, { line: describe(progress) });
      } else if (now() - shownMs >= everyMs) {
        shownMs = now();
        output.log(pc.dim(describe(progress)));
      }
    },
    clear() {
      bar?.stop();
      bar = undefined;
    },
  };
}

function describe({ documents, bytesRead, bytesTotal }: CorpusProgress): string {
  const share = bytesTotal === 0 ? 100 : Math.floor((100 * bytesRead) / bytesTotal);
  return `${share}% of ${formatBytes(bytesTotal)}: ${count(documents)} documents`;
}
