import type { Finding } from '../schemas.ts';
import { grouped, percent } from './format.ts';
import type { PlanInput } from './plan-input.ts';

/** Of so few documents, a model learns their form and not their subject: "hundreds to thousands of examples" are fine-tuning's. */
const FEW_DOCUMENTS = 5000;

/** As many tokens are a corpus, however few documents they come in (a book is one document). */
const CORPUS_TOKENS = 1e8;

/** Text about a chat may quote one; a twentieth of all documents does not. */
const CHAT_SHARE = 0.05;

const FINE_TUNING =
  'continued pre-training is for much unlabelled text of a domain; for questions with answers, or some thousand examples, fine-tune instead';

/** P6, second part: the data is that of continued pre-training and not of fine-tuning. */
export function checkSuitability({ facts }: PlanInput): Finding[] {
  const { documents, tokens, chatShare, source } = facts.dataset ?? {};
  const findings: Finding[] = [];
  if (chatShare !== undefined && chatShare >= CHAT_SHARE) {
    const message = `${percent(chatShare)} of the documents read of ${source} look like questions with answers, ${percent(CHAT_SHARE)} or more are fine-tuning data`;
    findings.push({
      check: 'P6',
      level: 'warn',
      message,
      numbers: { chatShare, most: CHAT_SHARE },
      advice: FINE_TUNING,
    });
  }
  if (documents === undefined || tokens === undefined || tokens === 0) return findings;
  if (documents < FEW_DOCUMENTS && tokens < CORPUS_TOKENS) {
    const message = `${grouped(documents)} documents < ${grouped(FEW_DOCUMENTS)} with ${grouped(tokens)} tokens: as few as fine-tuning takes`;
    const numbers = { documents, tokens, fewDocuments: FEW_DOCUMENTS };
    findings.push({ check: 'P6', level: 'warn', message, numbers, advice: FINE_TUNING });
  }
  return findings;
}
