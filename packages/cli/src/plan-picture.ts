import type { Layout, Plan, StageMemory } from '@pai-cpt/sdk';
import pc from 'picocolors';

/** How wide a picture may be. */
export interface PictureOptions {
  readonly columns?: number;
}

/** Columns that the words beside a bar take. */
const BESIDE_BAR = 48;
const bars = ({ columns = 100 }: PictureOptions): number => Math.max(20, Math.min(60, columns - BESIDE_BAR));

const PARTS = [
  { key: 'statesGiB', sign: '█', paint: pc.blue, label: 'weights, gradients, optimizer' },
  { key: 'activationsGiB', sign: '▓', paint: pc.magenta, label: 'activations' },
  { key: 'logitsGiB', sign: '▒', paint: pc.cyan, label: 'logits' },
  { key: 'overheadGiB', sign: '░', paint: pc.dim, label: 'CUDA and NCCL' },
] as const;

/** A bar for the GPUs of each pipeline stage; nothing for a division that is none. */
export function memoryPicture({ memory, gpuMemoryGiB, gpus }: Plan, options: PictureOptions = {}): string[] {
  if (memory.length === 0) return [];
  const width = bars(options);
  const legend = PARTS.map(({ sign, paint, label }) => `${paint(sign)} ${label}`).join('  ');
  const rows = memory.map((stage) => {
    const ranks = stage.firstRank === stage.lastRank ? `${stage.firstRank}` : `${stage.firstRank}–${stage.lastRank}`;
    const head = `  stage ${stage.stage}`.padEnd(11) + `GPU ${ranks}`.padEnd(2 * `${gpus}`.length + 7);
    const share = stage.totalGiB / gpuMemoryGiB;
    const figures = `${stage.totalGiB.toFixed(1).padStart(6)} of ${gpuMemoryGiB} GiB ${`${Math.round(share * 100)} %`.padStart(6)}`;
    return `${head}${stageBar(stage, gpuMemoryGiB, width)} ${share > 0.95 ? pc.red(figures) : figures}`;
  });
  return [`${pc.bold('Memory of each GPU')}   ${legend}`, ...rows];
}

/** Filled in proportion; what does not fit is cut at the edge and marked. */
function stageBar(stage: StageMemory, gpuMemoryGiB: number, width: number): string {
  let used = 0;
  let filled = 0;
  let bar = '';
  for (const { key, sign, paint } of PARTS) {
    filled += stage[key];
    const end = Math.min(width, Math.round((filled / gpuMemoryGiB) * width));
    bar += paint(sign.repeat(Math.max(0, end - used)));
    used = Math.max(used, end);
  }
  const edge = stage.totalGiB > gpuMemoryGiB ? pc.red('▶') : '▏';
  return `${bar}${' '.repeat(width - used)}${edge}`;
}

/** Start, training and saving on one line, with a mark where a checkpoint is saved. */
export function timelinePicture(plan: Plan, options: PictureOptions = {}): string[] {
  const { duration, iterations, saveInterval } = plan;
  if (iterations === 0) return [];
  const width = bars(options) + 20;
  const { startSeconds, totalSeconds } = duration;
  const startWidth = Math.max(1, Math.min(width - 10, Math.round((startSeconds / totalSeconds) * width)));
  const runWidth = width - startWidth;
  const line: string[] = Array.from({ length: runWidth }, () => '━');
  const column = (iteration: number): number => Math.max(0, Math.ceil((iteration / iterations) * runWidth) - 1);
  for (let iteration = saveInterval; iteration < iterations; iteration += saveInterval) line[column(iteration)] = '◆';
  line[runWidth - 1] = '◆'; // Megatron saves at the end, whatever the interval
  const first = Math.min(saveInterval, iterations);
  const lost = `${count(first)} of ${count(iterations)} iterations`;
  const warning = first === iterations ? pc.yellow(`${lost}: until then a failure loses everything`) : lost;
  return [
    `${pc.bold('Time')}   about ${timeText(totalSeconds)}, without the queue: start ${timeText(startSeconds)}, training ${timeText(duration.trainingSeconds)}, saving ${timeText(duration.savingSeconds)}`,
    `  ${pc.dim('·'.repeat(startWidth))}${line.join('').replaceAll('◆', pc.green('◆'))}`,
    `  ${pc.green('◆')} ${count(plan.saves)} ${plan.saves === 1 ? 'checkpoint' : 'checkpoints'}, the first after ${warning}`,
  ];
}

const VERDICTS: Record<Layout['verdict'], (text: string) => string> = {
  fits: pc.green,
  tight: pc.yellow,
  'uneven-batch': pc.yellow,
  'does-not-fit': pc.red,
};

/** The division of the run among the others that its GPUs allow. */
export function layoutTable({ layouts, gpuMemoryGiB }: Plan): string[] {
  if (layouts.length === 0) return [];
  const cells = (values: readonly string[]): string =>
    values.map((value, at) => value.padStart(WIDTHS[at] ?? 0)).join('');
  const head = cells(['TP', 'PP', 'DP', 'micro batches', 'idle', 'GiB', 'without DO']);
  const rows = layouts.map((layout) => {
    const { tensorParallelSize, pipelineParallelSize, dataParallelSize, microBatches, bubble, totalGiB } = layout;
    const whole = totalGiB - layout.statesGiB + layout.wholeStatesGiB;
    const row = cells([
      ...[tensorParallelSize, pipelineParallelSize, dataParallelSize, microBatches].map(String),
      ...[`${(bubble * 100).toFixed(1)} %`, totalGiB.toFixed(1), whole.toFixed(1)],
    ]);
    const words = layout.verdict.replaceAll('-', ' ');
    const text = `${row}  ${VERDICTS[layout.verdict](words)}`;
    return layout.isChosen ? `${pc.bold(`▸${text.slice(1)}`)} ${pc.bold('← this run')}` : text;
  });
  const title = `${pc.bold('Divisions of the model')}   GiB of ${gpuMemoryGiB} on the fullest GPU; idle: share of the pipeline’s bubble; DO: distributed optimizer`;
  return [title, pc.dim(head), ...rows];
}

const WIDTHS = [5, 5, 5, 16, 9, 8, 13];

/** 1638400 → "1,638,400". */
export const count = (value: number): string => value.toLocaleString('en-US');

function timeText(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
