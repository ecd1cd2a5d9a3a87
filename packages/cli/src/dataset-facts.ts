import { basename, dirname } from 'node:path';
import { CptError } from '@pai-cpt/core';
import { type Examination, examineDataset, loadTokenizer, openDataset, readSidecar } from '@pai-cpt/mmap';
import type { ModelName, PlanFacts } from '@pai-cpt/sdk';
import { fileNames } from './node.ts';

type DatasetFacts = NonNullable<PlanFacts['dataset']>;

/** What the facts are read for. */
export interface DatasetFactsOptions {
  /** The model of the run; its ids and its end of document are known here, except of the tiny one. */
  readonly model?: ModelName;
  /** The model's tokenizer.json, or the folder that holds it: decodes a sample. */
  readonly tokenizer?: string;
}

/** Documents that are decoded to see whether they are text or questions with answers. */
const SAMPLES = 200;

/** How questions with answers look: templates of chat models, prompts of instruction data, or their raw JSON. */
const CHAT =
  /<\|im_start\|>|<\|start_header_id\|>|\[INST\]|<\|(user|assistant)\|>|^#{2,3} ?(Instruction|Response|Input):|"(instruction|messages|conversations)"\s*:|^(Human|User|Question|Q): .*\n+(Assistant|Answer|A): /m;

/** What a plan needs to know of a dataset, read from its index, its sidecar and a sample; each fact says where it came from. */
export async function datasetFacts(
  datasetPrefix: string,
  options: DatasetFactsOptions = {},
): Promise<Pick<PlanFacts, 'dataset' | 'dataFolder'>> {
  const counts = await readCounts(datasetPrefix).catch(async (error: unknown) => {
    const folder = await misnamed(datasetPrefix, error);
    if (folder) return folder;
    throw error;
  });
  if ('names' in counts) return { dataFolder: counts };
  const { model, tokenizer: file } = options;
  const tokenizer = file === undefined ? undefined : await loadTokenizer(file);
  if (tokenizer === undefined && (model === undefined || model === 'qwen2-tiny')) return { dataset: counts };
  const examination = await examineDataset(datasetPrefix, {
    ...(model !== undefined && model !== 'qwen2-tiny' && { model }),
    ...(tokenizer && { tokenizer, samples: SAMPLES }),
  });
  return { dataset: { ...counts, ...sampleFacts(examination, tokenizer) } };
}

async function readCounts(datasetPrefix: string): Promise<DatasetFacts> {
  const dataset = await openDataset(datasetPrefix);
  try {
    const sidecar = await readSidecar(datasetPrefix);
    return {
      tokens: dataset.tokenCount,
      sequences: dataset.sequenceCount,
      documents: dataset.documentCount,
      source: `${datasetPrefix}.idx`,
      ...(sidecar && {
        maxId: sidecar.maxId,
        vocabSize: sidecar.tokenizer.vocabSize,
        fingerprint: sidecar.tokenizer.fingerprint,
      }),
    };
  } finally {
    await dataset.close();
  }
}

/** The folder, when one file of the pair is missing in it or it holds a pair of another name. */
async function misnamed(datasetPrefix: string, error: unknown): Promise<PlanFacts['dataFolder']> {
  if (!CptError.isInstance(error) || error.code !== 'CPT_INPUT_FILE_MISSING') return undefined;
  const folder = dirname(datasetPrefix);
  const names = (await fileNames(folder)).filter((name) => /\.(bin|idx)$/.test(name));
  const name = basename(datasetPrefix);
  const isHalf = names.some((file) => file === `${name}.bin` || file === `${name}.idx`);
  const isNear = isHalf || names.some((file) => file.endsWith('.bin') && names.includes(file.replace(/bin$/, 'idx')));
  return isNear ? { names, source: `files of ${folder}` } : undefined;
}

function sampleFacts(examination: Examination, tokenizer: { fingerprint: string; file: string } | undefined) {
  const { findings, read, samples, dataset } = examination;
  const numbers = (...codes: string[]) => findings.find(({ code }) => codes.includes(code))?.numbers ?? {};
  const found = (code: string, level: string) =>
    findings.find((finding) => finding.code === code && finding.level === level);
  const { eodShare } = numbers('eod', 'eod-missing', 'other-tokenizer', 'other-end', 'turn-token');
  const { validShare, characters } = numbers('valid-text', 'invalid-text');
  const { share: reproducedShare } = numbers('round-trip');
  const other = found('other-tokenizer', 'error') ?? found('other-end', 'error');
  const chatShare = chatShareOf(examination);
  return {
    ...(dataset && { bytes: dataset.binBytes }),
    ...(other && { otherTokenizer: other.message }),
    ...(eodShare !== undefined && !other && { eodShare }),
    ...(chatShare !== undefined && { chatShare }),
    ...(tokenizer &&
      validShare !== undefined &&
      characters !== undefined && {
        decoded: {
          ...{ fingerprint: tokenizer.fingerprint, characters, validShare },
          ...(reproducedShare !== undefined && { reproducedShare }),
          source: `${samples.length} of the documents in ${read?.tokens ?? 0} tokens read, decoded by ${tokenizer.file}`,
        },
      }),
  };
}

/** Share of the samples that look like a chat; without a tokenizer, that of documents that end as a turn of a chat does. */
function chatShareOf({ findings, samples }: Examination): number | undefined {
  if (findings.some(({ code }) => code === 'sft-file')) return 1;
  const turn = findings.find(({ code }) => code === 'turn-token')?.numbers?.lastIdShare;
  if (turn !== undefined) return turn;
  const texts = samples.flatMap(({ text }) => text ?? []);
  return texts.length === 0 ? undefined : texts.filter((text) => CHAT.test(text)).length / texts.length;
}
