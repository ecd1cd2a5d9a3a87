import { ALGORITHMS, type Algorithm } from '../algorithms.ts';
import { ApiError } from '../api-error.ts';
import type { ApiRequest, Operation } from '../operations.ts';
import { pageOf, readInteger } from '../parameters.ts';
import { toWireAlgorithm } from '../training-wire.ts';
import { STUDIO_VERSION } from './studio.ts';

const ALGORITHMS_PATH = '/api/v1/algorithms';
const LIST_QUERY = ['WorkspaceId', 'AlgorithmId', 'AlgorithmName', 'AlgorithmProvider', 'PageNumber', 'PageSize'];

/** The operations of PAI Studio on published algorithms. */
export function algorithmOperations(): Operation[] {
  const operation = (
    action: string,
    path: string,
    query: readonly string[],
    handle: Operation['handle'],
  ): Operation => ({
    ...{ action, version: STUDIO_VERSION, method: 'GET', path, query, handle },
  });
  const find = ({ path }: ApiRequest): Algorithm => {
    const algorithm = ALGORITHMS.find(({ id }) => id === path.AlgorithmId);
    if (algorithm) return algorithm;
    throw new ApiError(404, 'ALGORITHM_NOT_FOUND', `Algorithm ${path.AlgorithmId} does not exist.`);
  };
  return [
    operation('ListAlgorithms', ALGORITHMS_PATH, LIST_QUERY, ({ query }) => {
      const name = (query.get('AlgorithmName') ?? '').toLowerCase();
      const found = ALGORITHMS.filter(
        (algorithm) =>
          // Without a provider only what the account itself has made is listed.
          query.get('AlgorithmProvider') === 'pai' &&
          algorithm.name.toLowerCase().includes(name) &&
          (query.get('AlgorithmId') || algorithm.id) === algorithm.id,
      );
      const pageNumber = readInteger(query, 'PageNumber', { fallback: 1, min: 1, max: 1_000_000 });
      const pageSize = readInteger(query, 'PageSize', { fallback: 10, min: 1, max: 100 });
      return { Algorithms: pageOf(found, pageNumber, pageSize).map(toWireAlgorithm), TotalCount: found.length };
    }),
    operation('GetAlgorithm', `${ALGORITHMS_PATH}/{AlgorithmId}`, [], (request) => toWireAlgorithm(find(request))),
    operation(
      'ListAlgorithmVersions',
      `${ALGORITHMS_PATH}/{AlgorithmId}/versions`,
      ['PageNumber', 'PageSize'],
      (request) => {
        const { id, version } = find(request);
        return { AlgorithmVersions: [{ AlgorithmId: id, AlgorithmVersion: version }], TotalCount: 1 };
      },
    ),
    operation('GetAlgorithmVersion', `${ALGORITHMS_PATH}/{AlgorithmId}/versions/{AlgorithmVersion}`, [], (request) => {
      const algorithm = find(request);
      const { AlgorithmVersion: wanted } = request.path;
      if (wanted !== algorithm.version) {
        throw new ApiError(404, 'ALGORITHM_VERSION_NOT_FOUND', `Algorithm ${algorithm.id} has no version ${wanted}.`);
      }
      return { ...toWireAlgorithm(algorithm), AlgorithmVersion: wanted, AlgorithmSpec: algorithm.spec };
    }),
  ];
}
