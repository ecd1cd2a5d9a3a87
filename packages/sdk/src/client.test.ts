import { inspect } from 'node:util';
import { Value } from 'typebox/value';
import { describe, expect, it } from 'vitest';
import { sample72B } from '../test/sample-specs.ts';
import { CptClient } from './client.ts';
import { PlanSchema } from './schemas.ts';

describe('CptClient', () => {
  it('plans without a credential and without a call', () => {
    const plan = CptClient.plan(sample72B);
    expect(plan.iterations).toBe(50);
    expect(new CptClient({ regionId: 'cn-hangzhou' }).plan(sample72B)).toEqual(plan);
    expect([...Value.Errors(PlanSchema, plan)]).toEqual([]);
  });

  it('shows nothing of its credential', () => {
    const credential = { accessKeyId: 'canary-id', accessKeySecret: 'canary-secret', securityToken: 'canary-token' };
    const client = new CptClient({ regionId: 'cn-hangzhou', credential });
    const printed = inspect(client, { depth: 20, showHidden: true }) + JSON.stringify(client);
    expect(printed).not.toContain('canary');
  });

  it('refuses a region or an endpoint that is none', () => {
    expect(() => new CptClient({ regionId: 'hangzhou.example.com' })).toThrow(/regionId/);
    expect(() => new CptClient({ regionId: 'cn-hangzhou', endpoint: 'localhost:80' })).toThrow(/endpoint/);
  });
});
