import type { BuildOptions, BuildPlan } from '../build-plan.ts';
import type { SidecarOptions } from '../sidecar.ts';
import type { JournalStart } from './resume/journal.ts';

/** Everything that decides the bytes of a dataset, for a later run to compare. `maxBad` only says when to give up. */
export function describeStart(plan: BuildPlan, options: BuildOptions): JournalStart {
  const { rules, tokenizer, inputs, maxLine } = plan;
  return {
    kind: 'start',
    version: 1,
    options: {
      tokenizer: tokenizer.fingerprint,
      eod: rules.eodToken ?? 'none',
      dtype: rules.dtype,
      textKey: rules.textKey,
      splitParagraphs: options.splitParagraphs ?? false,
      specials: rules.specials,
      keepEmpty: rules.keepEmpty,
      onBad: rules.onBad,
      onInvalidUtf8: rules.onInvalidUtf8,
      maxLine,
      maxDocTokens: rules.maxDocTokens,
      heldOut: options.heldOut ?? null,
      shuffle: options.shuffle ?? null,
      limit: options.limit ?? null,
      part: options.part ?? null,
    },
    inputs: inputs.map(({ path, byteLength, modifiedMs, range }) => ({
      path,
      byteLength,
      modifiedMs,
      ...(range && { range }),
    })),
  };
}

/** The same for the sidecar, for a person: what was left at its default is left out. */
export function describeOptions(plan: BuildPlan, options: BuildOptions): SidecarOptions {
  const { rules } = plan;
  const { splitParagraphs = false, keepEmpty, maxLine, maxDocTokens, limit, shuffle, part } = options;
  return {
    textKey: rules.textKey,
    splitParagraphs,
    ...(keepEmpty && { keepEmpty }),
    ...(rules.specials !== 'encode' && { specials: rules.specials }),
    ...(rules.onBad !== 'fail' && { onBad: rules.onBad }),
    ...(rules.onInvalidUtf8 !== 'fail' && { onInvalidUtf8: rules.onInvalidUtf8 }),
    ...(maxLine !== undefined && { maxLine }),
    ...(maxDocTokens !== undefined && { maxDocTokens }),
    ...(limit !== undefined && { limit }),
    ...(shuffle !== undefined && { shuffle }),
    ...(part && { part: `${part.index}/${part.of}` }),
  };
}
