import { applyRule, QUALITY_RULES, type QualityRule, type RuleFailure } from './rules.ts';
import { measureText } from './text-statistics.ts';

/** The rules that a text does not pass, each with its number; none for a good text. */
export function judgeQuality(text: string, rules: readonly QualityRule[] = QUALITY_RULES): RuleFailure[] {
  const statistics = measureText(text);
  return rules.flatMap((rule) => applyRule(rule, statistics) ?? []);
}
