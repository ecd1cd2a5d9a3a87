import type { BuildPlan } from '../build-plan.ts';
import type { DatasetSummary } from '../write.ts';
import type { BuildCounts } from './counts.ts';

/** What a person should know about what was written. */
export function writtenWarnings(
  plan: BuildPlan,
  counts: BuildCounts,
  { documents, sequences }: DatasetSummary,
): string[] {
  const warnings: string[] = [];
  const { addedTokens, addedTokenDocuments, cutTexts, replaced, splitDocuments } = counts;
  if (addedTokens > 0) {
    const became = plan.rules.specials === 'encode' ? 'taken for the tokens' : 'kept as text';
    warnings.push(
      `${addedTokenDocuments} documents spell added tokens such as <|endoftext|> (${addedTokens} in all), ${became}; choose with --specials`,
    );
  }
  if (replaced > 0) warnings.push(`${replaced} documents had bytes that are not UTF-8; U+FFFD stands for them`);
  if (cutTexts > 0)
    warnings.push(
      `texts longer than ${plan.maxLine} bytes were cut ${cutTexts} times, at paragraph ends where there were any`,
    );
  if (splitDocuments > 0)
    warnings.push(
      `${splitDocuments} documents of more than ${plan.rules.maxDocTokens} tokens were split, each part a document of its own; choose with --max-doc-tokens`,
    );
  if (sequences > documents) {
    warnings.push(
      `${sequences} sequences in ${documents} documents: GPT training shuffles sequences, so the parts of a document are torn apart; join them unless that is meant`,
    );
  }
  return warnings;
}
