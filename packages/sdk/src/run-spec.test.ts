import { CptError } from '@pai-cpt/core';
import { describe, expect, it } from 'vitest';
import { sample72B } from '../test/sample-specs.ts';
import type { InputProblem } from './parse-input.ts';
import { HyperParametersSchema, parseRunSpec } from './run-spec.ts';

/** The problems that a specification is refused for. */
function problemsOf(value: unknown): InputProblem[] {
  try {
    parseRunSpec(value);
  } catch (error) {
    if (CptError.isInstance(error) && error.code === 'CPT_INPUT_INVALID') return error.details.errors as InputProblem[];
    throw error;
  }
  throw new Error('nothing was refused');
}

const changed = (change: Record<string, unknown>) => ({ ...structuredClone(sample72B), ...change });

describe('defaults', () => {
  it('G8: are 4 nodes of 8 GPUs for a 72B model; another model’s are its caller’s to give', () => {
    const compute = { quotaId: 'q' };
    expect(parseRunSpec(changed({ compute })).compute).toMatchObject({ nodes: 4, gpusPerNode: 8, gpuMemoryGiB: 80 });
    expect(parseRunSpec(changed({ compute: { ...compute, nodes: 8 } })).compute).toMatchObject({ nodes: 8 });
    const small = problemsOf(changed({ model: 'qwen2-7b', compute }));
    expect(small.map(({ pointer, message }) => `${pointer} ${message}`)).toEqual([
      '/compute/nodes is missing',
      '/compute/gpusPerNode is missing',
    ]);
  });

  it('G9: each hyper-parameter has the type, the default and the meaning of the guide', () => {
    // guide.md, G9. The words may go on, but they are there.
    const table: [name: keyof typeof HyperParametersSchema.properties, value: unknown, type: string, words: string][] =
      [
        ['job_name', 'qwen2-72b-cpt', 'string', 'kind of training job'],
        ['batch_size', 1, 'integer', 'samples per gpu and iteration (micro batch)'],
        ['global_batch_size', 32, 'integer', 'samples over all gpus and iteration'],
        ['learning_rate', 5e-5, 'number', 'peak learning rate'],
        ['min_learning_rate', 5e-6, 'number', 'floor of the'],
        ['sequence_length', 1024, 'integer', 'tokens per sample'],
        ['pad_length', 128, 'integer', 'padding length of a sequence'],
        ['save_interval', 1000, 'integer', 'iterations between checkpoints'],
        ['train_tokens', 1638400, 'integer', 'tokens in all'],
        ['warmup_tokens', 163840, 'integer', 'tokens of the warm-up'],
      ];
    expect(Object.keys(HyperParametersSchema.properties)).toEqual(table.map(([name]) => name));
    for (const [name, value, type, words] of table) {
      const property = HyperParametersSchema.properties[name] as unknown as {
        type: string;
        default: unknown;
        description: string;
      };
      expect([name, property.type, property.default]).toEqual([name, type, value]);
      expect(property.description.toLowerCase()).toContain(words);
    }
  });

  it('G9: are those of PAI-QuickStart', () => {
    // The table of the guide, value by value.
    expect(parseRunSpec(sample72B).hyperParameters).toEqual({
      job_name: 'qwen2-72b-cpt',
      batch_size: 1,
      global_batch_size: 32,
      learning_rate: 5e-5,
      min_learning_rate: 5e-6,
      sequence_length: 1024,
      pad_length: 128,
      save_interval: 1000,
      train_tokens: 1638400,
      warmup_tokens: 163840,
    });
  });

  it('leave what is given and what is passed in alone', () => {
    const value = changed({
      hyperParameters: { save_interval: 25 },
      parallel: { tensorParallelSize: 8, pipelineParallelSize: 2 },
    });
    const before = structuredClone(value);
    const spec = parseRunSpec(value);
    expect(spec.hyperParameters).toMatchObject({ save_interval: 25, batch_size: 1 });
    expect(spec.parallel).toEqual({ tensorParallelSize: 8, pipelineParallelSize: 2, contextParallelSize: 1 });
    expect(spec.compute.gpuMemoryGiB).toBe(80);
    expect(value).toEqual(before);
  });

  it('make a specification that parses to itself', () => {
    const spec = parseRunSpec(sample72B);
    expect(parseRunSpec(spec)).toEqual(spec);
  });
});

describe('refusals', () => {
  it.each<[name: string, value: unknown, pointer: string, message: RegExp]>([
    ['no object', 5, '', /is 5; it must be object/],
    ['an unknown model', changed({ model: 'qwen2-72B' }), '/model', /is "qwen2-72B"; did you mean "qwen2-72b"\?/],
    ['another family', changed({ model: 'llama-4' }), '/model', /is "llama-4"; it must be one of qwen2-0.5b, /],
    ['a misspelt field', changed({ datasources: [] }), '/datasources', /did you mean "dataSources"/],
    ['a foreign field', changed({ zzz: 1 }), '/zzz', /not a known field; known are model, hyperParameters/],
    [
      'a camel-case hyper-parameter',
      changed({ hyperParameters: { learningRate: 1e-5 } }),
      '/hyperParameters/learningRate',
      /did you mean "learning_rate"/,
    ],
    [
      'a text for a number',
      changed({ hyperParameters: { batch_size: '4' } }),
      '/hyperParameters/batch_size',
      /is "4"; it must be integer/,
    ],
    [
      'zero',
      changed({ hyperParameters: { save_interval: 0 } }),
      '/hyperParameters/save_interval',
      /is 0; it must be >= 1/,
    ],
    [
      'not a number',
      changed({ hyperParameters: { learning_rate: Number.NaN } }),
      '/hyperParameters/learning_rate',
      /is NaN; it must be number/,
    ],
    ['a missing field', (({ image, ...rest }) => rest)(changed({})), '/image', /is missing/],
    [
      'OSS as output',
      changed({ output: { uri: 'oss://bucket/out', mountPath: '/mnt/output' } }),
      '/output/uri',
      /must be a folder on NAS/,
    ],
    ['no output', changed({ output: { mountPath: '/mnt/output' } }), '/output', /has neither uri nor datasetId/],
    [
      'two sources in one',
      changed({ dataSources: [{ uri: 'nas://a.cn-hangzhou/x', datasetId: 'd-1', mountPath: '/mnt/data' }] }),
      '/dataSources/0',
      /has both uri and datasetId/,
    ],
    [
      'a mount path twice',
      changed({ output: { datasetId: 'd-1', mountPath: '/mnt/data/' } }),
      '/output/mountPath',
      /where \/dataSources\/0 is mounted/,
    ],
    ['no machine', changed({ compute: { nodes: 1, gpusPerNode: 8 } }), '/compute', /has neither ecsSpec nor quotaId/],
    [
      'two machines',
      changed({ compute: { nodes: 1, gpusPerNode: 8, ecsSpec: 'ecs.a', quotaId: 'q' } }),
      '/compute',
      /has both ecsSpec and quotaId/,
    ],
    [
      'resources beside an ecsSpec',
      changed({ compute: { nodes: 1, gpusPerNode: 8, ecsSpec: 'ecs.a', cpusPerNode: 8 } }),
      '/compute/cpusPerNode',
      /only for quotaId/,
    ],
    [
      'a file for a prefix',
      changed({ data: { train: '/mnt/data/dataset.bin' } }),
      '/data/train',
      /ends in \.bin; give the prefix/,
    ],
    [
      'a variable that is none',
      changed({ environment: { 'A-B': 'x' } }),
      '/environment/A-B',
      /is not a name of an environment variable/,
    ],
    ['priority 10', changed({ priority: 10 }), '/priority', /is 10; it must be <= 9/],
    ['a long image', changed({ image: `${'x'.repeat(200)} y` }), '/image', /is "x{70,76}…; it must be letters/],
  ])('%s', (_, value, pointer, message) => {
    const problem = problemsOf(value).find((candidate) => candidate.pointer === pointer);
    expect(problem?.message).toMatch(message);
  });

  // The launch script runs `eval` over its arguments.
  it.each([
    '/mnt/a b',
    '/mnt/$(reboot)',
    '/mnt/`id`',
    '/mnt/a;b',
    "/mnt/a'b",
    '/mnt/a\nb',
    '/mnt/../etc',
    '/mnt/..',
    'mnt/a',
    '',
    '/',
    '/mnt//a',
    '/mnt/*',
  ])('a path that the launch script would read otherwise: %j', (path) => {
    for (const value of [
      changed({ data: { train: path } }),
      changed({ baseCheckpoint: path }),
      changed({ output: { datasetId: 'd-1', mountPath: path } }),
    ]) {
      expect(problemsOf(value)[0]?.message).toContain('an absolute path');
    }
  });

  it('lists every problem, and tells the first in the message', () => {
    const value = changed({ modle: 'x', priority: 0 });
    expect(() => parseRunSpec(value)).toThrow(/^run specification: \/modle .*did you mean "model"\? \(and 1 more\)$/);
    expect(problemsOf(value).map(({ pointer }) => pointer)).toEqual(['/modle', '/priority']);
  });

  it('does not repeat the value of an environment variable', () => {
    const [problem] = problemsOf(changed({ environment: { HF_TOKEN: 12345 } }));
    expect(problem).toEqual({ pointer: '/environment/HF_TOKEN', message: 'is a number; it must be string' });
  });

  it('takes own keys such as __proto__ for data', () => {
    const value = JSON.parse(`{"__proto__": {"polluted": 1}, ${JSON.stringify(sample72B).slice(1)}`);
    expect(problemsOf(value)[0]?.pointer).toBe('/__proto__');
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it('refuses what is not data', () => {
    expect(() => parseRunSpec({ ...sample72B, image: () => 'x' })).toThrow(/not data/);
  });
});
