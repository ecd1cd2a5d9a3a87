import { join } from 'node:path';
import type { CptClient, ServiceSpec } from '@pai-cpt/sdk';
import { localFolder } from '@pai-cpt/sdk/node';
import { readTextFile } from '../node.ts';
import { check } from './stages.ts';

/** The first words of the first English document. */
export async function promptFromCorpus(corpus: string): Promise<string> {
  const [line] = (await readTextFile(join(corpus, 'english.jsonl'))).split('\n');
  const { text } = JSON.parse(line ?? '{}') as { text: string };
  return text.split(/\s+/).slice(0, 8).join(' ');
}

/** Deploys the model in `folder`, which is verified, waits until the service answers, asks once with the token and once without. */
export async function serveAndAsk(
  client: CptClient,
  spec: ServiceSpec,
  folder: string,
  prompt: string,
  signal: AbortSignal,
) {
  await client.services.deploy(spec, { folder: localFolder(folder), signal });
  const service = await client.services.wait(spec.name, { timeoutMs: 120_000, pollMs: 250, signal });
  const answer = await client.services.complete(spec.name, { prompt, maxTokens: 24, temperature: 0, signal });
  const completion = answer.choices[0]?.text ?? '';
  check(completion.length > 0, 'the service completed the prompt with nothing');
  const { url } = await client.services.endpoint(spec.name);
  const { status } = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: spec.servedModelName, prompt, max_tokens: 1 }),
    signal,
  });
  check(status === 401, `a call without the token was answered with ${status}, not 401`);
  return { phase: service.phase, completion, unauthorisedStatus: status };
}
