import { describe, expect, it } from 'vitest';
import type { WireHyperParameterDefinition } from '../studio-wire.ts';
import { checkHyperParameters } from './hyper-parameters.ts';

const definitions: WireHyperParameterDefinition[] = [
  { Name: 'batch_size', Type: 'Int', Required: true, Range: { Minimum: '1', Maximum: '64' } },
  { Name: 'learning_rate', Type: 'Float', DefaultValue: '5e-5', Range: { Minimum: '0', ExclusiveMinimum: true } },
  { Name: 'job_name', Type: 'String', DefaultValue: 'cpt', Range: { Enum: ['cpt', 'sft'] } },
  { Name: 'tag', Type: 'String', Range: { MaxLength: 4, Pattern: '^[a-z]+$' } },
  { Name: 'packed', Type: 'Boolean' },
  { Name: 'free' },
];
const problemsOf = (values: Record<string, string | number | boolean>) =>
  checkHyperParameters(
    definitions,
    Object.entries({ batch_size: 1, ...values }).map(([name, value]) => ({ name, value, pointer: `/${name}` })),
  ).map(({ pointer, message }) => `${pointer} ${message}`);

it('has nothing against values that fit', () => {
  const values = { batch_size: '64', learning_rate: 1e-5, job_name: 'sft', tag: 'ab', packed: true, free: 'anything' };
  expect(problemsOf(values)).toEqual([]);
});

describe('refuses', () => {
  it.each([
    [{ batch_size: 0 }, '/batch_size is 0; it must be >= 1'],
    [{ batch_size: 65 }, '/batch_size is 65; it must be <= 64'],
    [{ batch_size: 1.5 }, '/batch_size is 1.5; it must be a whole number'],
    [{ batch_size: 'x' }, '/batch_size is "x"; it must be a number'],
    [{ learning_rate: 0 }, '/learning_rate is 0; it must be > 0'],
    [{ learning_rate: '' }, '/learning_rate is ""; it must be a number'],
    [{ job_name: 'cpt2' }, '/job_name is "cpt2"; did you mean "cpt"?'],
    [{ job_name: 'pretraining' }, '/job_name is "pretraining"; it must be one of cpt, sft'],
    [{ tag: 'abcde' }, '/tag is "abcde"; it must have at most 4 characters'],
    [{ tag: 'A' }, '/tag is "A"; it must be text of the form ^[a-z]+$'],
    [{ packed: 'yes' }, '/packed is "yes"; it must be true or false'],
    [{ learningRate: 1 }, '/learningRate is no hyper-parameter of the algorithm; did you mean "learning_rate"?'],
    [
      { zzz: 1 },
      '/zzz is no hyper-parameter of the algorithm; it has batch_size, learning_rate, job_name, tag, packed, free',
    ],
  ])('%j', (values, problem) => {
    expect(problemsOf(values)).toEqual([problem]);
  });

  it('a value that is required and has no default', () => {
    expect(checkHyperParameters(definitions, [])).toEqual([
      { pointer: '/quickstart/hyperParameters/batch_size', message: 'is missing' },
    ]);
  });
});

it('leaves a pattern to PAI that JavaScript cannot read', () => {
  const java = [{ Name: 'x', Type: 'String', Range: { Pattern: '(?i)[a-z]++' } }];
  expect(checkHyperParameters(java, [{ name: 'x', value: '1', pointer: '/x' }])).toEqual([]);
});
