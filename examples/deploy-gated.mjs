/**
 * Journey D: `node deploy-gated.mjs SPEC.json CHECKPOINT GOLDEN.jsonl`: serves a verified checkpoint, asks it golden prompts, and
 * gives it the traffic of its group step by step. What goes wrong on the way is rolled back by itself.
 */
import { readFile } from 'node:fs/promises';
import { CptClient, parseGoldenPrompts, parseServiceSpec } from '@pai-cpt/sdk';
import { localFolder } from '@pai-cpt/sdk/node';

const { PAI_REGION: regionId = 'cn-hangzhou', PAI_ENDPOINT: endpoint, PAUSE_MS = '3000' } = process.env;
const { services } = new CptClient({ regionId, ...(endpoint && { endpoint }) });
const [specPath, checkpoint, goldenPath] = process.argv.slice(2);
const spec = parseServiceSpec(JSON.parse(await readFile(specPath, 'utf8')));
const prompts = parseGoldenPrompts(await readFile(goldenPath, 'utf8'), goldenPath);

// Refused without the record that `ckpt-convert verify` leaves in the folder.
await services.deploy(spec, { folder: localFolder(checkpoint) });
console.log(`${spec.name} created`);

function onEvent(event) {
  if (event.type === 'gate')
    console.log(`${event.gate.prompts - event.gate.failed} of ${event.gate.prompts} prompts passed`);
  if (event.type === 'weight') console.log(`${event.weight} % of the traffic`);
  if (event.type === 'step') console.log(`  ${event.step.failed} of ${event.step.probes} probes failed`);
  if (event.type === 'roll-back') console.log(`rolled back to ${event.to}: ${event.why}`);
}
try {
  const pauseMs = Number(PAUSE_MS);
  const { from } = await services.rollOut(spec.name, { prompts, steps: [5, 25, 100], pauseMs, pollMs: 500, onEvent });
  console.log(`${spec.name} has all traffic of ${spec.group}; ${from ?? 'no other service'} runs beside it`);
} catch (error) {
  // CPT_PAI_GATE_FAILED, CPT_PAI_CANARY_FAILED or CPT_PAI_NO_WAY_BACK
  console.log(`${error.code}: ${error.message}`);
  process.exitCode = 1;
}
