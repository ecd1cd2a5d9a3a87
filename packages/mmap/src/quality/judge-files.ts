import { type CorpusDocument, type CorpusOptions, documentId, listCorpus } from '../screen/corpus.ts';
import { openScreenOutput, type Reject, type ScreenFiles } from '../screen/node.ts';
import { type ScreenCounts, screenCorpus } from '../screen/screen-corpus.ts';
import { judgeQuality } from './judge-quality.ts';
import { type RuleFailure, selectRules } from './rules.ts';

export interface JudgeOptions extends CorpusOptions {
  /** Files and folders, as for `buildDataset`. */
  inputs: readonly string[];
  /** Names of rules and groups, see `selectRules`; all rules when not given. */
  rules?: readonly string[];
  /** Folder for the documents that pass all rules; without it nothing is dropped. */
  drop?: string;
  /** File for the others; with `drop` it is `FOLDER.rejects.jsonl` when not given. */
  rejects?: string;
}

/** What one rule refused. */
export interface RuleReport {
  rule: string;
  documents: number;
  /** The first document it refused. */
  example: (RuleFailure & { document: string }) | undefined;
}

export interface QualityReport extends ScreenCounts {
  /** Each rule that was asked, in the order of `QUALITY_RULES`. */
  rules: RuleReport[];
  output?: ScreenFiles;
  seconds: number;
}

/**
 * Judges every document of a corpus by named rules, and with `drop` or `rejects` parts those that pass from those that do not.
 * Outputs have temporary names until all are written.
 * @throws InvalidInputError `CPT_INPUT_INVALID` for an unknown rule; `CPT_INPUT_OUTPUT_EXISTS`.
 */
export async function judgeFiles(options: JudgeOptions): Promise<QualityReport> {
  const start = performance.now();
  const rules = selectRules(options.rules ?? []);
  const files = await listCorpus(options.inputs);
  const output = await openScreenOutput(files, options);
  const reports = new Map(
    rules.map(({ name }): [string, RuleReport] => [name, { rule: name, documents: 0, example: undefined }]),
  );
  const judge = (document: CorpusDocument): Reject | undefined => {
    const failures = judgeQuality(document.text, rules);
    for (const failure of failures) {
      const report = reports.get(failure.rule) as RuleReport;
      report.documents++;
      report.example ??= { document: documentId(document), ...failure };
    }
    if (failures.length === 0) return undefined;
    return { reason: failures.map(({ rule, reason }) => `${rule}: ${reason}`).join('; '), failures };
  };
  try {
    const counts = await screenCorpus(files, judge, { ...options, output });
    const written = await output?.commit();
    return {
      ...counts,
      rules: [...reports.values()],
      ...(written && { output: written }),
      seconds: (performance.now() - start) / 1000,
    };
  } catch (error) {
    await output?.abort();
    throw error;
  }
}
