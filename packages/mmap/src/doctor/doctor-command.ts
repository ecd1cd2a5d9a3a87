import type { Command } from 'commander';
import pc from 'picocolors';
import { countOption } from '../option-values.ts';
import { count, formatBytes, type Output } from '../progress.ts';
import { type Examination, type ExamineOptions, examineDataset } from './examine.ts';
import { type Finding, percent } from './finding.ts';

interface DoctorFlags extends Pick<ExamineOptions, 'model' | 'full' | 'strict'> {
  tokenizer?: string;
  samples: number;
  json?: boolean;
}

const SHOWN_CHARACTERS = 160;
const PROGRESS_MS = 3000;

/** Adds `cpt-mmap doctor`; it ends with exit code 1 when the dataset is not fit. */
export function registerDoctor(
  program: Command,
  output: Output,
  setExitCode: (code: number) => void,
  signal: AbortSignal | undefined,
): void {
  program
    .command('doctor')
    .description('say whether a dataset is sound and fits a model, by its index, its ids and its text')
    .argument('<prefix>', 'path without .bin and .idx, or a folder with dataset.idx')
    .option('--model <name>', 'model to be trained, for example qwen2-72b')
    .option('--tokenizer <file>', 'its tokenizer.json, or the folder that holds it: decodes and encodes the data')
    .option('--full', 'read every id and check the sha256 (default: a sample of 64 MiB)')
    .option('--strict', 'let warnings refuse the dataset too')
    .option('--samples <n>', 'pieces to show', countOption('--samples'), 3)
    .option('--json', 'print the result as JSON on stdout')
    .action(async (path: string, { json, ...options }: DoctorFlags) => {
      const examination = await examineDataset(path, {
        ...options,
        onProgress: createProgressLines(output),
        ...(signal && { signal }),
      });
      output.write(json ? `${JSON.stringify(examination)}\n` : describeExamination(examination));
      setExitCode(examination.ok ? 0 : 1);
    });
}

function createProgressLines(output: Output): NonNullable<ExamineOptions['onProgress']> {
  let shown = performance.now();
  return ({ doneTokens, tokens }) => {
    if (performance.now() - shown < PROGRESS_MS) return;
    shown = performance.now();
    output.log(pc.dim(`${Math.floor((100 * doneTokens) / tokens)}% of ${count(tokens)} tokens read`));
  };
}

/** The verdict in the first line, then what was read, the findings with the worst first, and samples. */
export function describeExamination(examination: Examination): string {
  const { ok, prefix, target, dataset, read, findings, samples } = examination;
  const numberOf = (level: Finding['level'], word: string) => {
    const number = findings.filter((finding) => finding.level === level).length;
    return `${number} ${word}${number === 1 ? '' : 's'}`;
  };
  const hasErrors = findings.some(({ level }) => level === 'error');
  const against = hasErrors ? numberOf('error', 'error') : `strictly: ${numberOf('warn', 'warning')}`;
  const claim = target
    ? `${prefix} ${ok ? 'fits' : 'does not fit'} ${target.name}`
    : `${prefix} is ${ok ? 'a sound dataset' : 'damaged'}`;
  const lines = [`${ok ? pc.green('yes') : pc.red('no')}: ${pc.bold(claim)}${ok ? '' : ` (${against})`}`];
  if (dataset) {
    const { documents, sequences, tokens, dtype, binBytes } = dataset;
    const sizes = [`${count(documents)} documents`, `${count(sequences)} sequences`, `${count(tokens)} tokens`];
    lines.push(pc.dim(`  ${sizes.join(', ')}, ${dtype}, ${formatBytes(binBytes)}`));
  }
  if (read) {
    const extent = read.isWhole ? 'every id' : `${count(read.tokens)} ids, ${percent(read.share)} of all`;
    lines.push(pc.dim(`  read ${extent}, ${formatBytes(read.bytes)}; ${examination.seconds.toFixed(1)} s`));
  }
  lines.push(...findings.flatMap(describeFinding));
  for (const { document, ids, text } of samples) {
    const shown = text === undefined ? `ids ${ids.join(' ')} …` : escapeText(text, SHOWN_CHARACTERS);
    lines.push(pc.dim(`sample of document ${document}: `) + shown);
  }
  return `${lines.join('\n')}\n`;
}

function describeFinding({ level, code, message, advice }: Finding): string[] {
  const colour = { error: pc.red, warn: pc.yellow, info: pc.dim }[level];
  const line = `${colour(level.padEnd(5))} ${code}: ${escapeControls(message)}`;
  return advice === undefined ? [line] : [line, `      → ${advice}`];
}

/** Text of a dataset as one line that cannot steer a terminal, cut to `most` characters. */
export function escapeText(text: string, most: number): string {
  const characters = [...text];
  const cut = characters.length > most ? `${characters.slice(0, most).join('')}…` : text;
  return escapeControls(JSON.stringify(cut));
}

/** Control characters, also those above ASCII, and marks that turn the direction of writing, spelled out. */
function escapeControls(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = character.codePointAt(0) as number;
    return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}
