import { expect, test } from 'vitest';
import { documentsOf, writeDataset } from '../test/datasets.ts';
import { refusal } from '../test/fixtures.ts';
import { runQuietly as run } from '../test/run-command.ts';

const input = () => writeDataset(documentsOf(new Array<number>(1000).fill(100)));
const SIZES = ['--seq-length', '64', '--global-batch-size', '4'];

// The numbers are worked out by hand in estimate.test.ts.
test('for a person', async () => {
  const { code, out, log } = await run('estimate', input(), ...SIZES, '--train-tokens', '250k');
  expect(code).toBe(0);
  expect(log).toBe('');
  expect(out).toContain('1,000 documents, 100,000 tokens\n');
  expect(out).toContain('  976 iterations of 256 tokens: 249,856\n');
  expect(out).toContain(
    'train: 99,000 tokens in 990 sequences (0 to 990)\n  one epoch: 1,546 samples, 386 iterations\n',
  );
  expect(out).toContain('  asked: 3,904 samples = 2.524 epochs (3 laid out, the last one shuffled apart)\n');
  expect(out).toContain('valid: 1,000 tokens in 10 sequences (990 to 1000)\n');
  expect(out).toMatch(/ {2}never read: \d+ tokens\n/);
});

test('for one epoch, with warnings', async () => {
  const { out, log } = await run('estimate', input(), ...SIZES, '--split', '100');
  expect(out).toContain('  one iteration: 256 tokens\n');
  expect(out).not.toContain('asked');
  expect(log).toBe('warning: the split gives validation nothing: there will be no validation loss');
});

test('the documents of an iteration', async () => {
  const { out } = await run('estimate', input(), ...SIZES, '--iterations', '3', '--show-iteration', '2', '--seed', '9');
  expect(out).toMatch(
    /iteration 2 reads\n( {2}sample [4-7]: document \d+ \[\d+, \d+\)(, document \d+ \[\d+, \d+\))*\n){4}$/,
  );
});

test('as JSON every option arrives', async () => {
  const options = ['--iterations', '100', '--eval-interval', '30', '--eval-iters', '2', '--split', '8,1,1', '--json'];
  const found = JSON.parse((await run('estimate', input(), ...SIZES, ...options)).out);
  expect(found).toMatchObject({
    iterations: 100,
    splits: { train: { samplesAsked: 400 }, valid: { samplesAsked: 32 }, test: { samplesAsked: 8 } },
  });
});

test('wrong use', async () => {
  expect((await run('estimate', input())).code).toBe(2);
  const error = await refusal(run('estimate', input(), '--seq-length', 'x', '--global-batch-size', '1'));
  expect(error.message).toContain('--seq-length "x" cannot be used');
});
