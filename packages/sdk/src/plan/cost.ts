import type { Finding } from '../schemas.ts';
import { checkpointBytes, storedBytes } from './disk.ts';
import { byteText, grouped } from './format.ts';
import type { PlanInput } from './plan-input.ts';

/** What a run takes that is paid for. */
export interface Bill {
  readonly nodeHours: number;
  readonly gpuHours: number;
  /** Checkpoints, converted copy and dataset on the storage. */
  readonly storedBytes: number;
  /** The converted model, once, out of the cloud. Between PAI and NAS inside one region nothing is charged. */
  readonly transferredBytes: number;
}

/** @param hours of the whole run, start and saving included: PAI charges from Running to the end. */
export function billOf(input: PlanInput, hours: number): Bill {
  const { spec, gpus, facts } = input;
  return {
    nodeHours: spec.compute.nodes * hours,
    gpuHours: gpus * hours,
    storedBytes: storedBytes(input) + (facts.dataset?.bytes ?? 0),
    transferredBytes: checkpointBytes(input).weights,
  };
}

interface Item {
  readonly formula: string;
  readonly cost: number;
}

/** P13, second part: GPU hours, storage and data transfer, at the caller's prices. PAI's API tells none. */
export function checkCost(input: PlanInput, hours: number): Finding[] {
  const bill = billOf(input, hours);
  const { prices } = input.facts;
  const numbers: Record<string, number> = { ...bill };
  const amounts = `${grouped(bill.gpuHours)} GPU hours, ${byteText(bill.storedBytes)} stored, ${byteText(bill.transferredBytes)} transferred`;
  if (!prices) {
    const advice = 'give your prices (facts.prices) to see what that costs; PAI’s API tells none';
    return [{ check: 'P13', level: 'info', message: `the run takes ${amounts}`, numbers, advice }];
  }
  const { items, missing } = priced(input, bill, prices);
  const findings: Finding[] = [];
  if (missing.length > 0) {
    const message = `the price table has no ${missing.join(', ')}; the run takes ${amounts}`;
    findings.push({ check: 'P13', level: 'info', message, numbers, advice: 'add them to see the whole cost' });
  }
  if (items.length === 0) return findings;
  const cost = items.reduce((sum, item) => sum + item.cost, 0);
  const { most, currency, source } = prices;
  const from = source === undefined ? '' : ` (${source})`;
  const formula = `${items.map((item) => item.formula).join(' + ')} = ${grouped(cost)} ${currency}${from}`;
  if (most === undefined || cost <= most) {
    return [...findings, { check: 'P13', level: 'info', message: formula, numbers: { ...numbers, cost } }];
  }
  const message = `${formula}, more than the ${grouped(most)} ${currency} it may cost`;
  return [
    ...findings,
    { check: 'P13', level: 'warn', message, numbers: { ...numbers, cost, most }, advice: 'lower train_tokens' },
  ];
}

function priced(
  { spec }: PlanInput,
  bill: Bill,
  prices: NonNullable<PlanInput['facts']['prices']>,
): { items: Item[]; missing: string[] } {
  const { ecsSpec, quotaId, gpuType, nodes } = spec.compute;
  const names = [ecsSpec, quotaId, gpuType].filter((name) => name !== undefined);
  const name = names.find((candidate) => Object.hasOwn(prices.perNodeHour, candidate));
  const items: Item[] = [];
  const missing: string[] = [];
  if (name === undefined) missing.push(names.join(' or '));
  else {
    const price = prices.perNodeHour[name] as number;
    const formula = `${nodes} nodes × ${(bill.nodeHours / nodes).toFixed(2)} h × ${grouped(price)}`;
    items.push({ formula, cost: bill.nodeHours * price });
  }
  const { perGBMonth, keepMonths = 1, perGBTransferred } = prices;
  if (perGBMonth === undefined) missing.push('price of storage');
  else {
    const formula = `${byteText(bill.storedBytes)} × ${keepMonths} ${keepMonths === 1 ? 'month' : 'months'} × ${grouped(perGBMonth)} a GB`;
    items.push({ formula, cost: (bill.storedBytes / 1e9) * keepMonths * perGBMonth });
  }
  if (perGBTransferred === undefined) missing.push('price of transfer');
  else {
    const formula = `${byteText(bill.transferredBytes)} transferred × ${grouped(perGBTransferred)} a GB`;
    items.push({ formula, cost: (bill.transferredBytes / 1e9) * perGBTransferred });
  }
  return { items, missing };
}
