import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CptError } from '@pai-cpt/core';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { megatronArguments, megatronCommand } from '../src/megatron-command.ts';
import { toCreateJob } from '../src/routes/dlc.ts';
import { type CptRunSpec, parseRunSpec } from '../src/run-spec.ts';
import { parseServiceSpec, toServiceJson } from '../src/service-spec.ts';
import { sample72B } from './sample-specs.ts';

/** The commands that PAI runs in a shell, run in one, with a launch script that only prints what reached it. */

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'shell-safety-'));
  const examples = join(folder, 'patch/examples/qwen2');
  mkdirSync(examples, { recursive: true });
  mkdirSync(join(folder, 'work'));
  const script = join(examples, 'run_mcore_qwen.sh');
  writeFileSync(script, `printf '%s\\0' "$@"\n`);
  chmodSync(script, 0o755);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Words that a command hands on, as /bin/sh makes them; a canary that was touched lies in the working folder. */
function throughShell(command: string): string[] {
  const { stdout } = spawnSync('/bin/sh', ['-c', command], {
    ...{ cwd: join(folder, 'work'), encoding: 'utf8' },
    env: { PATH: process.env.PATH, PAI_MEGATRON_PATCH: join(folder, 'patch'), NPROC_PER_NODE: '8' },
  });
  return stdout.split('\0').slice(0, -1);
}
const touched = (): string[] => readdirSync(join(folder, 'work'));

const hostile = fc
  .oneof(
    fc.constantFrom(
      '$(touch canary)',
      '`touch canary`',
      '; touch canary',
      '\ntouch canary\n',
      '| touch canary',
      '&& touch canary #',
    ),
    fc.constantFrom(
      "'; touch canary; '",
      '"; touch canary; "',
      `\${IFS}touch\${IFS}canary`,
      '> canary',
      '\\',
      "\\'",
      '*',
      '~',
      '-e',
      '#',
    ),
    fc.string({ maxLength: 20, unit: fc.constantFrom(...`$\`"'\\;&|<>(){}[]*?!~# \t\n-=%a`) }),
    fc.string({ maxLength: 20, unit: 'grapheme' }),
  )
  .map((text) => text.replaceAll('\0', ''));

/** Every field of a run that is text, each with the hostile text in it. */
const FIELDS: Record<string, (text: string) => object> = {
  job_name: (text) => ({ hyperParameters: { job_name: text } }),
  train: (text) => ({ data: { train: `/mnt/data/${text}` } }),
  validation: (text) => ({ data: { train: '/mnt/data/dataset', validation: text } }),
  baseCheckpoint: (text) => ({ baseCheckpoint: `/mnt/data/${text}` }),
  'resume.checkpoint': (text) => ({ resume: { checkpoint: text, iteration: 5 } }),
  'output.mountPath': (text) => ({ output: { datasetId: 'd-1', mountPath: `/mnt/${text}` } }),
  'output.datasetId': (text) => ({ output: { datasetId: text, mountPath: '/mnt/output' } }),
  'dataSources.uri': (text) => ({ dataSources: [{ uri: `nas://fs.cn-hangzhou/${text}`, mountPath: '/mnt/data' }] }),
  'dataSources.mountPath': (text) => ({ dataSources: [{ datasetId: 'd-1', mountPath: `/mnt/${text}` }] }),
  image: (text) => ({ image: text }),
  quotaId: (text) => ({ compute: { nodes: 4, gpusPerNode: 8, quotaId: text } }),
  gpuType: (text) => ({ compute: { nodes: 4, gpusPerNode: 8, quotaId: 'q', gpuType: text } }),
  ecsSpec: (text) => ({ compute: { nodes: 4, gpusPerNode: 8, ecsSpec: text } }),
  workspaceId: (text) => ({ workspaceId: text }),
  vpc: (text) => ({ vpc: { vpcId: text, switchId: text, securityGroupId: text } }),
  tags: (text) => ({ tags: { [text || 'a']: text } }),
  environment: (text) => ({ environment: { CANARY: text } }),
};

describe('row 51: shell metacharacters', () => {
  it('in any field of a run are refused, or reach the launch script as they are and run nothing', () => {
    const expected = megatronArguments(parseRunSpec(sample72B));
    let accepted = 0;
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(FIELDS)), hostile, (field, text) => {
        let spec: CptRunSpec;
        try {
          spec = parseRunSpec({ ...sample72B, ...FIELDS[field]?.(text) });
        } catch (error) {
          if (CptError.isInstance(error) && error.code === 'CPT_INPUT_INVALID') return;
          throw error;
        }
        if (spec.resume) return; // its steps make folders: below
        accepted++;
        const words = throughShell(toCreateJob(spec).UserCommand);
        expect(words).toEqual(megatronArguments(spec));
        expect(words).toHaveLength(expected.length);
        expect(touched()).toEqual([]);
      }),
      { numRuns: 150, seed: 51 },
    );
    expect(accepted).toBeGreaterThan(20);
  });

  it('reach it as they are also where the specification was not checked', () => {
    fc.assert(
      fc.property(hostile, hostile, hostile, (train, base, output) => {
        const spec = parseRunSpec(sample72B);
        const unchecked: CptRunSpec = {
          ...spec,
          ...{ data: { train, validation: train }, baseCheckpoint: base },
          output: { ...spec.output, mountPath: `/${output}` },
        };
        expect(throughShell(megatronCommand(unchecked))).toEqual(megatronArguments(unchecked));
        expect(touched()).toEqual([]);
      }),
      { numRuns: 60, seed: 52 },
    );
  });

  it('in the folder that a run goes on from make links of that very name', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const name = `run${text.replaceAll(/[/.]/g, '_')}`;
        const output = mkdtempSync(join(folder, 'out-'));
        const spec: CptRunSpec = {
          ...parseRunSpec(sample72B),
          ...{
            resume: { checkpoint: join(output, name), iteration: 5 },
            output: { datasetId: 'd', mountPath: output },
          },
        };
        expect(throughShell(megatronCommand(spec))).toEqual(megatronArguments(spec));
        expect(readdirSync(join(output, 'resume'))).toEqual([name]);
        expect(touched()).toEqual([]);
      }),
      { numRuns: 40, seed: 53 },
    );
  });

  it('in any field of a service are refused, or reach vllm as they are', () => {
    const plain = parseServiceSpec({
      ...{ name: 'qwen2_cpt', checkpoint: { uri: 'nas://fs.cn-hangzhou/model' }, image: 'vllm/vllm:latest' },
      instanceType: 'ecs.gn7e-c16g1.32xlarge',
    });
    fc.assert(
      fc.property(hostile, hostile, (mountPath, servedModelName) => {
        const spec = { ...plain, servedModelName, checkpoint: { ...plain.checkpoint, mountPath } };
        const { containers } = toServiceJson(spec) as { containers: { script: string }[] };
        const words = throughShell(`vllm() { printf '%s\\0' "$@"; }\n${containers[0]?.script}`);
        expect(words.slice(0, 4)).toEqual(['serve', mountPath, '--served-model-name', servedModelName]);
        expect(touched()).toEqual([]);
        for (const value of [mountPath, servedModelName].filter((text) => /[^A-Za-z0-9_/.:@+=,-]/.test(text))) {
          const given = { name: 'a', image: value, checkpoint: { uri: 'nas://fs.cn-hangzhou/m', mountPath: value } };
          expect(() => parseServiceSpec({ ...given, instanceType: 'e' })).toThrow(CptError);
        }
      }),
      { numRuns: 40, seed: 54 },
    );
  });
});
