/**
 * Words so frequent in English and Chinese text, and in code, that their ids tell tokenizers apart. More frequent ones would not: up
 * to id 409 Qwen and Llama-3 agree, so " the", " of" and the comma are the same in both; from there on Qwen leaves out the numbers of
 * several digits, and every later id stands for another word.
 */
export const FREQUENT_ENGLISH =
  'have from not all but they this was were had one what when there been which would some their more out now then like into only time other your can will has also new first than over about these two'.split(
    ' ',
  );
export const FREQUENT_CHINESE = [...'的一是不了在人有我他这个中大来上国和地到说时要就出会也你对生能而子那得于，。、：'];
const FREQUENT_CODE = [
  ':\n',
  '):\n',
  ' }\n',
  '("',
  "('",
  '__',
  ' +',
  ' #',
  'name',
  'import',
  ' return',
  ' const',
  ' self',
  ' def',
  ' int',
  ' else',
  ' type',
  ' value',
  ' None',
  ' await',
];
/** The texts as a tokenizer meets them: English words behind a space. */
export const FREQUENT_TEXTS: readonly string[] = [
  ...FREQUENT_ENGLISH.map((word) => ` ${word}`),
  ...FREQUENT_CHINESE,
  ...FREQUENT_CODE,
];

/** Tokenizers that are told apart by their ids. */
export type Family = 'Qwen' | 'Llama-3' | 'GPT-2' | 'Mistral v1' | 'Mistral v3';

const MISTRAL_V1 = [
  506, 477, 459, 544, 562, 590, 456, 403, 654, 553, 624, 767, 739, 736, 750, 690, 682, 741, 652, 680, 575, 1055, 868,
  737, 778, 865, 727, 799, 574, 541, 622, 659, 835, 633, 907, 821, 754, 684, 1167, 989, 28914, 28969, 28971, 28988,
  29105, 29010, 29086, 28998, 29242, 29440, 29176, 28995, 28991, 29050, 29263, 29054, 29453, 29131, 29146, 29036, 29616,
  29007, 29059, 29379, 29065, 29179, 29537, 29383, 29051, 29128, 29084, 29746, 29169, 29793, 29291, 29160, 28924, 28944,
  29041, 28994, -1, -1, -1, 618, 857, 860, 648, 422, 861, 7841, 604, 779, 1008, 801, 716, 1112, 1212, 1192, 3635, 4293,
];

/** The id of each of `FREQUENT_TEXTS`, -1 where the tokenizer needs several; fixtures/mmap/frequent-words.json holds them against the tokenizers. */
export const FREQUENT_IDS: Record<Family, readonly number[]> = {
  Qwen: [
    614, 504, 537, 678, 714, 807, 419, 572, 1033, 1030, 825, 1128, 979, 1052, 1012, 892, 1035, 1045, 862, 803, 700,
    1431, 1221, 1075, 1119, 1172, 882, 1008, 697, 646, 686, 702, 1083, 501, 1156, 1091, 916, 911, 1493, 1378, 9370,
    14777, 20412, 16530, 34187, 18493, 17340, 18830, 35946, 42411, 43288, 18947, 15946, 26288, 36407, 17447, 28404,
    33108, 29490, 26939, 36587, 13343, 30534, 80158, 20221, 36993, 74763, 56568, 32664, 21287, 26232, 68536, 44729,
    99212, 49828, 34204, 3837, 1773, 5373, 5122, 510, 982, 456, 445, 492, 563, 488, 671, 606, 474, 470, 733, 656, 707,
    526, 770, 943, 897, 2240, 2535,
  ],
  'Llama-3': [
    617, 505, 539, 682, 719, 814, 420, 574, 1051, 1047, 832, 1148, 994, 1070, 1027, 902, 1053, 1063, 872, 810, 704,
    1457, 1243, 1093, 1139, 1193, 892, 1023, 701, 649, 690, 706, 1101, 502, 1176, 1109, 927, 922, 1521, 1403, 9554,
    15120, 21043, 16937, 35287, 19000, 17792, 19361, 37046, 43511, 44388, 19483, 16325, 27384, 37507, 17905, 29504,
    34208, 30590, 28037, 37687, 13646, 31634, 81258, 20834, 38093, 75863, 57668, 33764, 21990, 27327, 69636, 45829,
    100823, 50928, 35304, 3922, 1811, 5486, 5232, 512, 997, 457, 446, 493, 565, 489, 674, 609, 475, 471, 738, 659, 711,
    528, 775, 955, 907, 2290, 2597,
  ],
  'GPT-2': [
    423, 422, 407, 477, 475, 484, 428, 373, 547, 550, 530, 644, 618, 612, 587, 543, 561, 617, 511, 517, 503, 783, 788,
    588, 656, 691, 640, 584, 534, 460, 481, 468, 635, 649, 717, 621, 625, 546, 777, 734, 21410, 31660, 42468, 38834, -1,
    -1, 21689, -1, -1, -1, -1, -1, 40792, 32014, -1, 41468, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 37955,
    -1, -1, 36310, -1, -1, -1, -1, 16764, 23513, -1, -1, -1, -1, 7203, 10786, 834, 1343, 1303, 3672, 11748, 1441, 1500,
    2116, 825, 493, 2073, 2099, 1988, 6045, 25507,
  ],
  'Mistral v1': MISTRAL_V1,
  // 768 control tokens were put before the same vocabulary.
  'Mistral v3': MISTRAL_V1.map((id) => (id < 0 ? id : id + 768)),
};

/** Below this many ids, shares say nothing. */
const ENOUGH_TOKENS = 2000;
/** What tells a tokenizer: at least this share of all ids, and this many times the share of the other. Text and code of Qwen and Llama-3 give 4 to 22 %, 5 times and more. */
const LEAST_SHARE = 0.015;
const LEAST_RATIO = 3;

/** The tokenizer whose frequent words are frequent in the data. */
export interface LikelyFamily {
  family: Family;
  /** Share of the ids that are its frequent words and not the target's. */
  share: number;
  /** Share of the ids that are the target's frequent words and not its own. */
  targetShare: number;
}

/**
 * The family that explains the ids clearly better than every other and than `target`; `undefined` when none does or the target
 * does itself.
 * @param counts how often each id occurs, by id.
 * @param target ids of `FREQUENT_TEXTS` in the tokenizer that the data is wanted for.
 */
export function findLikelyFamily(
  counts: Float64Array,
  tokens: number,
  target: readonly number[] | undefined,
): LikelyFamily | undefined {
  if (tokens < ENOUGH_TOKENS) return undefined;
  const rivals = [...Object.values(FREQUENT_IDS), ...(target ? [target] : [])];
  for (const [family, ids] of Object.entries(FREQUENT_IDS) as [Family, readonly number[]][]) {
    if (target && isSameFamily(ids, target)) continue;
    const beats = (rival: readonly number[]) => {
      const own = shareOf(ids, rival, counts) / tokens;
      return own >= LEAST_SHARE && own >= (LEAST_RATIO * shareOf(rival, ids, counts)) / tokens;
    };
    if (!rivals.every((rival) => rival === ids || beats(rival))) continue;
    const against = target ?? [];
    return {
      family,
      share: shareOf(ids, against, counts) / tokens,
      targetShare: shareOf(against, ids, counts) / tokens,
    };
  }
  return undefined;
}

/** True for two lists of the same tokenizer, or of one and a later release with more added tokens. */
export function isSameFamily(a: readonly number[], b: readonly number[]): boolean {
  return a.filter((id, i) => id >= 0 && id === b[i]).length >= 0.9 * a.filter((id) => id >= 0).length;
}

/** How many of the counted ids are in `ids` and not in `others`. */
function shareOf(ids: readonly number[], others: readonly number[], counts: Float64Array): number {
  const excluded = new Set(others);
  let sum = 0;
  for (const id of ids) if (id >= 0 && !excluded.has(id)) sum += counts[id] ?? 0;
  return sum;
}

/** Share of the counted ids that are frequent texts of a tokenizer. */
export function frequentShare(ids: readonly number[], counts: Float64Array, tokens: number): number {
  return shareOf(ids, [], counts) / tokens;
}
