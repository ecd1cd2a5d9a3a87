import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { AlgorithmSpec } from './algorithms.ts';

/** A number that a job printed. */
export interface Metric {
  readonly name: string;
  readonly at: number;
  readonly value: number;
}

/** Every number in the log at `path` that a metric definition finds, oldest first; no file, no numbers. */
export async function readMetrics(path: string, definitions: AlgorithmSpec['MetricDefinitions']): Promise<Metric[]> {
  const patterns = definitions.map(({ Name, Regex }) => ({ name: Name, pattern: new RegExp(Regex) }));
  const found: Metric[] = [];
  const input = createReadStream(path, 'utf8');
  input.on('error', () => {}); // told to the iteration below as well
  try {
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      const space = line.indexOf(' ');
      for (const { name, pattern } of patterns) {
        const value = Number(pattern.exec(line.slice(space + 1))?.[1] ?? Number.NaN);
        if (!Number.isNaN(value)) found.push({ name, at: Number(line.slice(0, space)), value });
      }
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  return found;
}

/** The newest number of every name. */
export function latestMetrics(metrics: readonly Metric[]): Metric[] {
  return [...new Map(metrics.map((metric) => [metric.name, metric])).values()];
}
