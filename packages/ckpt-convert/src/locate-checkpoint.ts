// CKPT/latest_checkpointed_iteration.txt          "release" or a decimal number
// CKPT/iter_0001000/mp_rank_TT[_PPP]/model_optim_rng.pt
// CKPT/release/mp_rank_TT[_PPP]/model_optim_rng.pt
//
// mp_rank_TT_PPP with PPP a pipeline stage and mp_rank_TT_EEE with EEE an expert rank look the same; only `args` tells.

import { basename, join } from 'node:path';
import { FormatError, InvalidInputError, UnsupportedError } from '@pai-cpt/core';
import { type DirectoryEntry, listDirectory, readTextFile } from './node.ts';

/** The number of an `iter_…` directory, or the one named `release`. */
export type IterationChoice = number | 'release';

export const TRACKER_FILE = 'latest_checkpointed_iteration.txt';

export interface RankFile {
  readonly tensorRank: number;
  readonly pipelineStage: number;
  readonly path: string;
}

/** Rank files that form a full grid, or a distributed checkpoint. */
export type LocatedCheckpoint =
  | {
      readonly format: 'torch';
      readonly directory: string;
      readonly tensorParallelSize: number;
      readonly pipelineParallelSize: number;
      /** All of them, pipeline stage by pipeline stage. */
      readonly rankFiles: readonly RankFile[];
      readonly notes: readonly string[];
    }
  | { readonly format: 'torch_dist'; readonly directory: string; readonly notes: readonly string[] };

/** The name of an iteration's directory; numbers past seven digits are not cut. */
export function iterationDirectoryName(iteration: number): string {
  return `iter_${String(iteration).padStart(7, '0')}`;
}

/** The directory of one rank. Without a pipeline the stage is not in the name. */
export function rankDirectoryName(tensorRank: number, pipelineStage: number, pipelineParallelSize: number): string {
  const rank = `mp_rank_${String(tensorRank).padStart(2, '0')}`;
  return pipelineParallelSize > 1 ? `${rank}_${String(pipelineStage).padStart(3, '0')}` : rank;
}

/** Finds the rank files below `path`: a checkpoint root, one iteration's directory, or one rank file. */
export async function locateCheckpoint(path: string, iteration?: IterationChoice): Promise<LocatedCheckpoint> {
  const entries = await listDirectory(path);
  if (!entries) return singleRankFile(path);
  if (isIterationDirectory(entries)) {
    refuseOtherIteration(path, iteration);
    return readIterationDirectory(path, entries, []);
  }
  const { name, notes } = await chooseIteration(path, entries, iteration);
  const directory = join(path, name);
  return readIterationDirectory(directory, (await listDirectory(directory)) ?? [], notes);
}

function singleRankFile(path: string): LocatedCheckpoint {
  if (!path.endsWith('.pt')) {
    throw missing(`${path}: no such directory; name a checkpoint root, an iter_… directory or a rank file`, path);
  }
  const rankFiles = [{ tensorRank: 0, pipelineStage: 0, path }];
  return { format: 'torch', directory: path, tensorParallelSize: 1, pipelineParallelSize: 1, rankFiles, notes: [] };
}

function isIterationDirectory(entries: readonly DirectoryEntry[]): boolean {
  return entries.some(({ name }) => name.startsWith('mp_rank_') || name === '.metadata' || name === 'metadata.json');
}

function refuseOtherIteration(path: string, iteration: IterationChoice | undefined): void {
  const name = basename(path);
  if (iteration === undefined || !/^(release|iter_\d+)$/.test(name) || choiceOf(name) === iteration) return;
  throw missing(`${path}: iteration ${iteration} was asked for; name the checkpoint root instead`, path);
}

async function chooseIteration(
  root: string,
  entries: readonly DirectoryEntry[],
  iteration: IterationChoice | undefined,
): Promise<{ name: string; notes: string[] }> {
  const existing = entries
    .filter(({ name, isDirectory }) => isDirectory && /^(release|iter_\d+)$/.test(name))
    .map(({ name }) => name)
    .sort((a, b) => iterationOf(a) - iterationOf(b));
  const listed = existing.length === 0 ? 'no iter_… or release directory is there' : `there are ${existing.join(', ')}`;
  if (iteration !== undefined) {
    const name = existing.find((candidate) => choiceOf(candidate) === iteration);
    if (name) return { name, notes: [] };
    const wanted = iteration === 'release' ? iteration : iterationDirectoryName(iteration);
    throw missing(`${root}: no ${wanted}; ${listed}`, root);
  }
  const tracker = (await readTextFile(join(root, TRACKER_FILE)))?.trim();
  if (tracker === undefined) {
    const newest = existing.at(-1);
    if (!newest) throw missing(`${root}: not a Megatron checkpoint: no ${TRACKER_FILE} and ${listed}`, root);
    return { name: newest, notes: [`${TRACKER_FILE} is missing; ${newest} is the newest directory and was taken`] };
  }
  if (tracker !== 'release' && !/^\d+$/.test(tracker)) {
    throw missing(`${root}/${TRACKER_FILE}: "${tracker}" is neither "release" nor a number; ${listed}`, root);
  }
  const named = tracker === 'release' ? tracker : iterationDirectoryName(Number(tracker));
  if (existing.includes(named)) return { name: named, notes: [] };
  throw missing(
    `${root}/${TRACKER_FILE} names ${named}, which does not exist; ${listed}; choose one with --iteration`,
    root,
  );
}

const choiceOf = (name: string): IterationChoice => (name === 'release' ? name : Number(name.slice(5)));

/** `release` counts as before every iteration. */
function iterationOf(name: string): number {
  return name === 'release' ? -1 : Number(name.slice(5));
}

async function readIterationDirectory(
  directory: string,
  entries: readonly DirectoryEntry[],
  notes: readonly string[],
): Promise<LocatedCheckpoint> {
  const names = entries.map(({ name }) => name);
  if (names.includes('metadata.json')) return { format: 'torch_dist', directory, notes };
  const ranks = names.filter((name) => name.startsWith('mp_rank_')).sort();
  if (ranks.length === 0 && names.includes('.metadata')) {
    const note =
      'metadata.json is missing; the checkpoint was read by its .metadata alone, as torch.distributed.checkpoint writes it';
    return { format: 'torch_dist', directory, notes: [...notes, note] };
  }
  if (ranks.length === 0) throw missing(`${directory}: no mp_rank_… directory in it`, directory);
  return { format: 'torch', directory, ...(await readGrid(directory, ranks)), notes };
}

async function readGrid(directory: string, names: readonly string[]) {
  const ranks = names.map((name) => parseRankName(directory, name));
  const hasStage = ranks.some(({ stage }) => stage !== undefined);
  if (hasStage && ranks.some(({ stage }) => stage === undefined)) {
    throw badGrid(directory, 'has mp_rank directories with and without a stage number; two checkpoints lie mixed');
  }
  const tensorParallelSize = Math.max(...ranks.map(({ tensorRank }) => tensorRank)) + 1;
  const pipelineParallelSize = Math.max(...ranks.map(({ stage }) => stage ?? 0)) + 1;
  const byPlace = new Map(ranks.map((rank) => [`${rank.tensorRank}/${rank.stage ?? 0}`, rank.name]));
  const rankFiles: RankFile[] = [];
  const absent: string[] = [];
  for (let pipelineStage = 0; pipelineStage < pipelineParallelSize; pipelineStage++) {
    for (let tensorRank = 0; tensorRank < tensorParallelSize; tensorRank++) {
      const name = byPlace.get(`${tensorRank}/${pipelineStage}`);
      if (name) rankFiles.push({ tensorRank, pipelineStage, path: await rankFileIn(join(directory, name)) });
      else absent.push(rankDirectoryName(tensorRank, pipelineStage, hasStage ? pipelineParallelSize + 1 : 1));
    }
  }
  if (absent.length > 0) {
    const size = `${tensorParallelSize} tensor ranks × ${pipelineParallelSize} pipeline stages`;
    throw badGrid(directory, `has ${names.length} of ${size}; missing: ${absent.join(', ')}; copy them`);
  }
  return { tensorParallelSize, pipelineParallelSize, rankFiles };
}

function parseRankName(directory: string, name: string): { name: string; tensorRank: number; stage?: number } {
  const match = /^mp_rank_(\d{2,})(?:_(\d{3,}))?(_\d{3,})?$/.exec(name);
  if (!match) throw badGrid(directory, `has "${name}", which is not mp_rank_TT or mp_rank_TT_PPP; move it away`);
  if (match[3]) {
    throw new UnsupportedError(
      'CPT_UNSUPPORTED_MODEL',
      `${join(directory, name)}: expert parallel rank directories; only dense models are converted`,
      { feature: 'expert parallelism', file: directory },
    );
  }
  const stage = match[2] === undefined ? {} : { stage: Number(match[2]) };
  return { name, tensorRank: Number(match[1]), ...stage };
}

/** Since 2022 `model_optim_rng.pt`; for some versions with the distributed optimizer the model is in `model_rng.pt`. */
async function rankFileIn(directory: string): Promise<string> {
  const names = ((await listDirectory(directory)) ?? []).map(({ name }) => name);
  const name = ['model_optim_rng.pt', 'model_rng.pt'].find((candidate) => names.includes(candidate));
  if (name) return join(directory, name);
  const found = names.length === 0 ? 'it is empty' : `it has ${names.join(', ')}`;
  throw badGrid(directory, `has no model_optim_rng.pt: ${found}; copy it again`);
}

function badGrid(directory: string, why: string): FormatError {
  return new FormatError('CPT_FORMAT_RANK_GRID', `${directory} ${why}`, { file: directory });
}

function missing(message: string, file: string): InvalidInputError {
  return new InvalidInputError('CPT_INPUT_CHECKPOINT_MISSING', message, { file });
}
