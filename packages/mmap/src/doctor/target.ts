import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { FREQUENT_IDS, FREQUENT_TEXTS } from './frequent-words.ts';
import { findModel } from './known-models.ts';

/** What a dataset is wanted for. */
export interface Target {
  /** The model's name, or the path of the tokenizer. */
  name: string;
  /** How sentences call it. */
  label: string;
  /** Ids from here on are no token. */
  vocabSize: number;
  /** Rows of the model's embedding table, where the model is known. */
  rows: number | undefined;
  eodToken: number | undefined;
  turnToken: number | undefined;
  /** Ids of `FREQUENT_TEXTS`, -1 where it takes several. */
  frequentIds: readonly number[];
}

/** @throws InvalidInputError `CPT_INPUT_INVALID` for an unknown model. */
export function targetOfModel(name: string): Target {
  const { family, ...model } = findModel(name);
  return { ...model, label: model.name, frequentIds: FREQUENT_IDS[family] };
}

/** A target for which only the tokenizer is known. */
export async function targetOfTokenizer(tokenizer: Tokenizer): Promise<Target> {
  const encoded = await Promise.all(FREQUENT_TEXTS.map((text) => tokenizer.encode(text)));
  const { vocabSize, eodToken, eosToken, file } = tokenizer;
  return {
    name: file,
    label: 'the tokenizer given',
    vocabSize,
    rows: undefined,
    eodToken,
    turnToken: eosToken === eodToken ? undefined : eosToken,
    frequentIds: encoded.map((ids) => (ids.length === 1 ? (ids[0] as number) : -1)),
  };
}
