import type { CptRunSpec } from '../run-spec.ts';
import { shellQuote } from '../shell-quote.ts';
import { iterationFolder, TRACKER_FILE } from './checkpoints.ts';

/** What `--load` names: the base, or for a run that goes on from a checkpoint a view of that one. */
export function checkpointToLoad(spec: CptRunSpec): string | undefined {
  return spec.resume === undefined ? spec.baseCheckpoint : viewOf(spec);
}

/**
 * Shell steps, each followed by `&&`, that make the view: a folder with a tracker file of its own and a link to one iteration.
 * The earlier run's own tracker may name a save that is not complete, and `release` is how Megatron is told to take weights
 * without their iteration. Every pod does the same, so no step may fail because another pod was first, and the tracker is
 * moved into place: a reader must not see it empty.
 *
 * The launch scripts copy every `*.json` and `merges.txt` of the folder they load to the output, by an `xargs cp` that fails, and
 * ends the script, when there is none; so the view has copies of those of the earlier run, which came there in the same way. Links would not do:
 * a run that goes on in the earlier run's own folder would copy each file onto itself, at which cp fails too.
 */
export function resumeSteps(spec: CptRunSpec): string {
  const { resume } = spec;
  if (resume === undefined) return '';
  const name = iterationFolder(resume.iteration);
  const isAnew = resume.order === 'anew';
  const view = viewOf(spec);
  const source = shellQuote(`${withoutSlash(resume.checkpoint)}/${name}`);
  const link = shellQuote(`${view}/${isAnew ? 'release' : name}`);
  const tracker = `${shellQuote(`${view}/${TRACKER_FILE}`)}`;
  const run = shellQuote(withoutSlash(resume.checkpoint));
  const copy = `${shellQuote(view)}/"\${file##*/}"`;
  return [
    `mkdir -p ${shellQuote(view)}`,
    `{ [ -e ${link} ] || ln -s ${source} ${link} || [ -e ${link} ]; }`,
    `for file in ${run}/*.json ${run}/merges.txt; do [ ! -e "$file" ] || { cp "$file" ${copy}."\${RANK:-0}" && mv -f ${copy}."\${RANK:-0}" ${copy}; }; done`,
    `printf %s ${isAnew ? 'release' : resume.iteration} > ${tracker}."\${RANK:-0}"`,
    `mv -f ${tracker}."\${RANK:-0}" ${tracker}`,
    '',
  ].join(' && ');
}

function viewOf({ output, resume }: CptRunSpec): string {
  const { checkpoint = '', iteration = 0, order } = resume ?? {};
  const run = withoutSlash(checkpoint).split('/').at(-1);
  const suffix = order === 'anew' ? '-release' : '';
  return `${withoutSlash(output.mountPath)}/resume/${run}/${iterationFolder(iteration)}${suffix}`;
}

const withoutSlash = (path: string): string => path.replace(/\/+$/, '');
