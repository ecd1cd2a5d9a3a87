import type { BadReason } from '../documents/bad-record.ts';

/** What a build met besides documents. */
export interface BuildCounts {
  /** Records read: documents, each part of a split one for itself, and those that were left out. */
  records: number;
  /** Left out, by reason; without text: `empty`. */
  dropped: { empty: number } & Partial<Record<BadReason, number>>;
  /** Documents of too many tokens, which became several. */
  splitDocuments: number;
  /** Documents in which U+FFFD stands for wrong bytes. */
  replaced: number;
  /** How often texts spelt an added token, and in how many documents. */
  addedTokens: number;
  addedTokenDocuments: number;
  /** Byte order marks at the start of files, left out. */
  byteOrderMarks: number;
  /** Texts longer than allowed that went on in another document. */
  cutTexts: number;
}

export const NO_COUNTS: BuildCounts = {
  records: 0,
  dropped: { empty: 0 },
  splitDocuments: 0,
  replaced: 0,
  addedTokens: 0,
  addedTokenDocuments: 0,
  byteOrderMarks: 0,
  cutTexts: 0,
};

/** Records that were bad, whatever the reason. */
export function badCount({ dropped }: BuildCounts): number {
  return Object.entries(dropped).reduce((sum, [reason, count]) => sum + (reason === 'empty' ? 0 : count), 0);
}
