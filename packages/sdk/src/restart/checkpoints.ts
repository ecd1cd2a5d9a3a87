/*
 * CHECKPOINT/latest_checkpointed_iteration.txt     written last, names the newest save that ended
 * CHECKPOINT/iter_0000020/mp_rank_TT[_PPP]/model_optim_rng.pt [, distrib_optim.pt]     a zip each (torch.save)
 * CHECKPOINT/iter_0000020/{.metadata, metadata.json, __R_C.distcp}                      torch_dist
 */

/** A folder tree in storage, as whoever can see it shows it: see `localTree` of `@pai-cpt/sdk/node`. Paths have no leading slash. */
export interface FolderTree {
  /** What lies directly in a folder; nothing for one that is not there. */
  list(path: string): Promise<readonly { readonly name: string; readonly bytes: number; readonly isFolder: boolean }[]>;
  /** The text of a file; `undefined` when there is none. */
  readText(path: string): Promise<string | undefined>;
  /** The last bytes of a file, all of a shorter one. */
  readEnd(path: string, bytes: number): Promise<Uint8Array>;
}

/** A save that is whole, as far as names, sizes and the ends of its files tell. */
export interface CompleteCheckpoint {
  readonly iteration: number;
  /** The folder of the run's checkpoints, in the tree. */
  readonly folder: string;
  readonly format: 'torch' | 'torch_dist';
  /** True when the optimizer's state is there too. */
  readonly hasOptimizer: boolean;
}

/** What is wrong with a save. */
export interface IncompleteCheckpoint {
  readonly iteration: number;
  readonly problems: readonly string[];
}

/** The saves of one run. */
export interface FoundCheckpoints {
  readonly newest?: CompleteCheckpoint;
  /** Newest first; those before the newest complete one are not looked at. */
  readonly incomplete: readonly IncompleteCheckpoint[];
  readonly tracker?: string;
  readonly notes: readonly string[];
}

export const TRACKER_FILE = 'latest_checkpointed_iteration.txt';
const MOST_PROBLEMS = 8;

/** The name of an iteration's folder; numbers past seven digits are not cut. */
export function iterationFolder(iteration: number): string {
  return `iter_${String(iteration).padStart(7, '0')}`;
}

/**
 * The newest complete checkpoint of a run. The tracker file may name one whose files are missing or cut, as after a copy, a
 * full disk or a save in the background that died: then it is the one before. A save newer than the tracker did not end.
 * @param parallel the division the run saves with; every rank must have its file.
 * @param latest saves after this iteration are passed over.
 */
export async function findCheckpoints(
  tree: FolderTree,
  folder: string,
  parallel: { tensorParallelSize: number; pipelineParallelSize: number },
  latest = Number.POSITIVE_INFINITY,
): Promise<FoundCheckpoints> {
  const entries = await tree.list(folder);
  const iterations = entries
    .flatMap(({ name, isFolder }) => (isFolder && /^iter_\d{7,}$/.test(name) ? [Number(name.slice(5))] : []))
    .filter((iteration) => iteration <= latest)
    .sort((a, b) => b - a);
  const tracker = (await tree.readText(`${folder}/${TRACKER_FILE}`))?.trim();
  const named = tracker !== undefined && /^\d{1,15}$/.test(tracker) ? Number(tracker) : undefined;
  const notes: string[] = [];
  if (tracker === undefined && iterations.length > 0) notes.push(`${TRACKER_FILE} is missing`);
  if (named !== undefined && named <= latest && !iterations.includes(named)) {
    notes.push(`${TRACKER_FILE} names ${named}, whose folder ${iterationFolder(named)} is not there`);
  }
  const incomplete: IncompleteCheckpoint[] = [];
  for (const iteration of iterations) {
    if (named !== undefined && iteration > named) {
      incomplete.push({
        iteration,
        problems: [`it is newer than ${named}, which ${TRACKER_FILE} names: its save did not end`],
      });
      continue;
    }
    const looked = await lookAt(tree, folder, iteration, parallel);
    if ('problems' in looked) incomplete.push(looked);
    else return { newest: looked, incomplete, ...(tracker === undefined ? {} : { tracker }), notes };
  }
  return { incomplete, ...(tracker === undefined ? {} : { tracker }), notes };
}

async function lookAt(
  tree: FolderTree,
  folder: string,
  iteration: number,
  parallel: { tensorParallelSize: number; pipelineParallelSize: number },
): Promise<CompleteCheckpoint | IncompleteCheckpoint> {
  const root = `${folder}/${iterationFolder(iteration)}`;
  const entries = await tree.list(root);
  const isDistributed = entries.some(
    ({ name }) => name === 'metadata.json' || name === '.metadata' || name.endsWith('.distcp'),
  );
  const { problems, hasOptimizer } = isDistributed
    ? lookAtDistributed(entries)
    : await lookAtRanks(tree, root, parallel);
  if (problems.length > 0) return { iteration, problems: problems.slice(0, MOST_PROBLEMS) };
  return { iteration, folder, format: isDistributed ? 'torch_dist' : 'torch', hasOptimizer };
}

/** Of a distributed save the parts of the optimizer lie in the same files; whether they do, only its metadata would tell. */
function lookAtDistributed(entries: readonly { name: string; bytes: number }[]) {
  const problems: string[] = [];
  const data = entries.filter(({ name }) => name.endsWith('.distcp'));
  const metadata = entries.find(({ name }) => name === '.metadata');
  if (!metadata) problems.push('.metadata is not there; it is written last');
  if (data.length === 0) problems.push('there are no .distcp files');
  for (const { name, bytes } of [...(metadata ? [metadata] : []), ...data])
    if (bytes === 0) problems.push(`${name} is empty`);
  return { problems, hasOptimizer: false };
}

async function lookAtRanks(
  tree: FolderTree,
  root: string,
  { tensorParallelSize, pipelineParallelSize }: { tensorParallelSize: number; pipelineParallelSize: number },
) {
  const problems: string[] = [];
  let withOptimizer = 0;
  for (let stage = 0; stage < pipelineParallelSize; stage++) {
    for (let rank = 0; rank < tensorParallelSize; rank++) {
      const name = rankFolder(rank, stage, pipelineParallelSize);
      const files = await tree.list(`${root}/${name}`);
      const model = files.find((file) => file.name === 'model_optim_rng.pt' || file.name === 'model_rng.pt');
      if (!model) problems.push(`${name}: ${files.length === 0 ? 'is not there' : 'has no model_optim_rng.pt'}`);
      const optimizer = files.find((file) => file.name === 'distrib_optim.pt' || file.name === 'optim.pt');
      if (optimizer) withOptimizer++;
      for (const file of [model, optimizer]) {
        const fault = file && (await faultOf(tree, `${root}/${name}/${file.name}`, file.bytes));
        if (fault) problems.push(`${name}/${file?.name}: ${fault}`);
      }
    }
  }
  return { problems, hasOptimizer: withOptimizer === tensorParallelSize * pipelineParallelSize };
}

function rankFolder(rank: number, stage: number, stages: number): string {
  const name = `mp_rank_${String(rank).padStart(2, '0')}`;
  return stages > 1 ? `${name}_${String(stage).padStart(3, '0')}` : name;
}

/** The end-of-central-directory record, without a comment, as torch.save writes it. A file that was cut does not end so. */
const END_BYTES = 22;
const END_SIGNATURE = [0x50, 0x4b, 0x05, 0x06];

async function faultOf(tree: FolderTree, path: string, bytes: number): Promise<string | undefined> {
  if (bytes === 0) return 'is empty';
  const end = await tree.readEnd(path, END_BYTES);
  const isWhole = end.byteLength === END_BYTES && END_SIGNATURE.every((byte, index) => end[index] === byte);
  return isWhole ? undefined : `its ${bytes} bytes do not end as torch.save ends a file; it is cut`;
}
