/** Wall time, CPU time and peak memory of processes from outside, in interleaved rounds, as ratios to one of them. */
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { median } from '../../../benchmarks/report.mjs';

/** The arguments with which GNU time runs a command and puts its figures, of all its processes, into a file. */
const timed = (report, command) => ['-o', report, '-f', '%e %U %S %M', ...command];

function parseReport(report) {
  const line = readFileSync(report, 'utf8').trim().split('\n').at(-1);
  const [wall, user, system, kilobytes] = line.split(' ').map(Number);
  rmSync(report);
  return { wall, user, cpu: user + system, megabytes: kilobytes / 1000 };
}

/** Runs a command. @returns seconds, CPU seconds, those of them outside the kernel, and MB. */
export function measure(report, command) {
  try {
    execFileSync('/usr/bin/time', timed(report, command), { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    throw new Error(`${command.join(' ')}: ${error.stderr}`);
  }
  return parseReport(report);
}

/** The same, with `meanwhile` called ten times a second. */
export async function measureWhile(report, command, meanwhile) {
  const child = spawn('/usr/bin/time', timed(report, command), { stdio: 'ignore' });
  const timer = setInterval(meanwhile, 100);
  const code = await new Promise((resolve) => child.on('exit', resolve));
  clearInterval(timer);
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}`);
  return parseReport(report);
}

/**
 * Runs every case once a round, each round beginning with another case, after one round that only warms up. A case may sit rounds out
 * by its own `rounds`.
 * @returns a row for each case, with the median of its ratios to the case `cp` of the same round.
 */
export function interleave(cases, rounds, run) {
  const results = new Map(cases.map(({ name }) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    process.stderr.write(`round ${round} of ${rounds}\n`);
    const first = round % cases.length;
    for (const one of [...cases.slice(first), ...cases.slice(0, first)]) {
      const isOut = one.rounds !== undefined && (round === 0 || round > one.rounds);
      const result = isOut ? undefined : run(one);
      if (round > 0) results.get(one.name).push(result);
    }
  }
  const base = results.get('cp');
  return cases.map(({ name }) => {
    const all = results.get(name);
    const ran = all.filter((result) => result !== undefined);
    const ratio = (field) => median(all.flatMap((result, at) => (result ? [result[field] / base[at][field]] : [])));
    const of = (field) => median(ran.map((result) => result[field]));
    return {
      name,
      rounds: ran.length,
      ...{ wall: of('wall'), leastWall: Math.min(...ran.map(({ wall }) => wall)), cpu: of('cpu'), user: of('user') },
      ...{ wallRatio: ratio('wall'), cpuRatio: ratio('cpu') },
      megabytes: Math.max(...ran.map((result) => result.megabytes)),
      results: ran,
    };
  });
}

export function printRows(title, rows) {
  const width = Math.max(...rows.map(({ name }) => name.length)) + 2;
  console.log(`\n${title}`);
  console.log(`${''.padEnd(width)}rounds  wall s  (least)   CPU s  (user)   wall ÷ cp   CPU ÷ cp   peak MB`);
  for (const { name, rounds, wall, leastWall, cpu, user, wallRatio, cpuRatio, megabytes } of rows) {
    const cells = [
      [rounds, 6],
      [wall.toFixed(2), 8],
      [`(${leastWall.toFixed(2)})`, 9],
      [cpu.toFixed(2), 8],
      [`(${user.toFixed(2)})`, 8],
      [wallRatio.toFixed(2), 12],
      [cpuRatio.toFixed(2), 11],
      [megabytes.toFixed(0), 10],
    ];
    console.log(name.padEnd(width) + cells.map(([text, size]) => String(text).padStart(size)).join(''));
  }
}
