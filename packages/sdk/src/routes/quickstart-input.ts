import type { InputProblem } from '../parse-input.ts';

/** A folder that is mounted for the job. */
interface Source {
  readonly uri?: string;
  readonly datasetId?: string;
  readonly mountPath: string;
}

/** Where a path of the job lies: a URI, or a data set as a whole. */
export interface Place {
  readonly uri?: string;
  readonly datasetId?: string;
}

/** The base name that PAI-QuickStart looks for: dataset.bin and dataset.idx. */
export const DATASET_NAME = 'dataset';

/** The storage of `folder`, a path as the job sees it, or why there is none that QuickStart could be given. */
export function findPlace(folder: string, sources: readonly Source[]): Place | string {
  const plain = (path: string) => path.replace(/\/+$/, '');
  const wanted = plain(folder);
  const [source] = sources
    .filter(({ mountPath }) => wanted === plain(mountPath) || wanted.startsWith(`${plain(mountPath)}/`))
    .sort((a, b) => b.mountPath.length - a.mountPath.length);
  if (!source) return `lies in ${folder}, which no data source mounts`;
  const rest = wanted.slice(plain(source.mountPath).length);
  if (source.datasetId === undefined) return { uri: `${plain(source.uri as string)}${rest}/` };
  if (rest === '') return { datasetId: source.datasetId };
  return `lies in ${rest.slice(1)} of the data set ${source.datasetId}; QuickStart takes a data set as a whole: give the folder's uri, or register it`;
}

/** What the form of a run must be so that QuickStart can do it. */
export function checkQuickstart(spec: {
  readonly data: { readonly train: string; readonly validation?: string };
  readonly output: { readonly datasetId?: string };
  readonly parallel?: unknown;
  readonly image?: string;
}): InputProblem[] {
  const problems: InputProblem[] = [];
  if (spec.output.datasetId === undefined) {
    const message =
      'must be a data set on NAS for QuickStart: register the folder (cpt datasets register) and give its datasetId';
    problems.push({ pointer: '/output', message });
  }
  for (const name of ['train', 'validation'] as const) {
    const prefix = spec.data[name];
    if (prefix === undefined || prefix.split('/').at(-1) === DATASET_NAME) continue;
    const message = `is "${prefix}"; QuickStart reads ${DATASET_NAME}.bin and ${DATASET_NAME}.idx, so the prefix must end in /${DATASET_NAME}`;
    problems.push({ pointer: `/data/${name}`, message });
  }
  for (const name of ['parallel', 'image'] as const) {
    if (spec[name] === undefined) continue;
    problems.push({
      pointer: `/${name}`,
      message: 'is not for QuickStart, whose algorithm brings its own; leave it out',
    });
  }
  return problems;
}
