import { expect, it } from 'vitest';
import { nearestName } from './nearest-name.ts';

const KNOWN = ['learning_rate', 'min_learning_rate', 'train_tokens', 'warmup_tokens', 'uri'];

it.each([
  ['learningRate', 'learning_rate'],
  ['LEARNING-RATE', 'learning_rate'],
  ['learning_rte', 'learning_rate'],
  ['warmupTokens', 'warmup_tokens'],
  ['train_token', 'train_tokens'],
  ['url', 'uri'],
  ['lerarning_rate', 'learning_rate'],
])('takes %s for %s', (name, meant) => {
  expect(nearestName(name, KNOWN)).toBe(meant);
});

it.each(['epochs', 'x', '', 'tokens_per_second_and_gpu'])('takes %j for none', (name) => {
  expect(nearestName(name, KNOWN)).toBeUndefined();
});
