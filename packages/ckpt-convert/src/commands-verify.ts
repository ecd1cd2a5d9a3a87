import { describeError } from '@pai-cpt/core/node';
import type { Command } from 'commander';
import pc from 'picocolors';
import type { DigestKind } from './digest/digests.ts';
import { invalid, iterationOption, oneOf, wholeNumber } from './option-values.ts';
import { createByteProgress, type Output } from './progress.ts';
import { recordVerification, VERIFICATION_FILE } from './verification-record.ts';
import { type VerifyOptions, type VerifyReport, verifyCheckpoint } from './verify.ts';
import { orderSides, verifyAlone } from './verify-alone.ts';

interface VerifyFlags extends Pick<VerifyOptions, 'run' | 'data' | 'sequenceLength' | 'maxSequences' | 'iteration'> {
  against?: string;
  digest: string;
  json?: boolean;
}

/** `ckpt-convert verify`. */
export function addVerify(
  program: Command,
  output: Output,
  signal: AbortSignal | undefined,
  setExitCode: (code: number) => void,
): void {
  program
    .command('verify')
    .description('check a checkpoint, or compare it with the one it was made from or into; exit code 1 when it fails')
    .argument('<checkpoint>', 'Hugging Face folder or Megatron checkpoint')
    .option('--against <checkpoint>', 'the other side, every tensor of which is compared')
    .option('--iteration <n>', 'which iteration of the Megatron side, a number or release', iterationOption)
    .option('--run', 'also run both on --data and compare the hidden states after each layer')
    .option('--data <prefix>', 'dataset without .bin and .idx')
    .option('--sequence-length <n>', 'tokens a sequence (default: as trained)', wholeNumber('--sequence-length'))
    .option(
      '--max-sequences <n>',
      'stop after so many (default: what 128 MiB of hidden states hold)',
      wholeNumber('--max-sequences'),
    )
    .option('--digest <kind>', 'sha256 of the weights in the record, or none: then their time', 'sha256')
    .option('--json', 'print the result as JSON on stdout')
    .action(async (path: string, { json, against, digest, ...options }: VerifyFlags) => {
      const kind = oneOf('--digest', digest, ['sha256', 'none']);
      const given = { ...options, ...(signal && { signal }) };
      if (against === undefined && options.run) throw invalid('--run', 'true', 'give the other side with --against');
      const report =
        against === undefined ? await verifyAlone(path, given) : await compare(path, against, given, kind, output);
      output.write(json ? `${JSON.stringify(report)}\n` : describeReport(report, against !== undefined));
      setExitCode(report.ok ? 0 : 1);
    });
}

async function compare(
  path: string,
  other: string,
  options: Omit<VerifyOptions, 'hf' | 'against'>,
  digest: DigestKind,
  output: Output,
): Promise<VerifyReport> {
  const progress = createByteProgress(output);
  const { hf, against } = await orderSides(path, other);
  const report = await verifyCheckpoint({
    ...options,
    hf,
    against,
    onProgress(step) {
      if (step.step === 'compare') progress.update(step.doneBytes, step.totalBytes);
      else if (step.layer === step.layers - 1) output.log(pc.dim(`${step.layers} layers compared`));
    },
  }).finally(progress.clear);
  if (hf !== path) return report; // a source that was verified against is no result to be deployed
  await recordVerification(hf, against, report, { digest, signal: options.signal }).catch((error: unknown) => {
    output.log(
      `${hf}: ${VERIFICATION_FILE} cannot be kept there, and a deployment asks for it: ${describeError(error)}`,
    );
  });
  return report;
}

function describeReport({ checks, ok }: VerifyReport, isComparison: boolean): string {
  const lines = checks.map((check) => {
    const mark = check.ok ? pc.green('✓') : pc.red('✗');
    return `${mark} ${check.name.padEnd(9)} ${check.detail}`;
  });
  const verdict = isComparison ? ['equal', 'not equal'] : ['sound', 'not sound'];
  return `${[...lines, ok ? pc.green(verdict[0]) : pc.red(verdict[1])].join('\n')}\n`;
}
