import { spawn } from 'node:child_process';
import { expect, it } from 'vitest';
import { createUsageSampler, parseStat } from './process-usage.ts';

it('reads a stat line whose name has spaces and brackets', () => {
  // proc(5): field 5 is the group, 14 to 17 are the CPU times, 24 is the resident set in pages.
  const stat = '41 (a) b (c) S 1 40 40 0 -1 4194560 100 0 0 0 7 5 2 1 20 0 1 0 100 8192000 321 184467 1 1 0 0 0 0';
  expect(parseStat(stat)).toEqual({ group: 40, ticks: 15, pages: 321 });
});

it.skipIf(process.platform !== 'linux')(
  'sees the CPU time of a busy process and not that of a sleeping one',
  async () => {
    let now = 0;
    const sampler = createUsageSampler(() => now);
    const script =
      'const end = Date.now() + 60; while (Date.now() < end); console.log("done"); setInterval(() => {}, 1e6)';
    const busy = spawn(process.execPath, ['-e', script], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
    const idle = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
    try {
      sampler.watch('busy', busy.pid as number);
      sampler.watch('idle', idle.pid as number);
      sampler.sample();
      await new Promise((resolve) => busy.stdout.once('data', resolve));
      now = 1000;
      sampler.sample();
      const [busySample] = sampler.samplesOf('busy');
      expect(busySample?.at).toBe(1000);
      expect(busySample?.cpuPercent).toBeGreaterThan(0);
      expect(busySample?.memoryPercent).toBeGreaterThan(0);
      expect(sampler.samplesOf('idle')).toMatchObject([{ cpuPercent: 0 }]);

      sampler.unwatch('busy', 1); // an earlier group of this name
      now = 2000;
      sampler.sample();
      expect(sampler.samplesOf('busy')).toHaveLength(2);
      sampler.unwatch('busy', busy.pid as number);
      now = 3000;
      sampler.sample();
      expect(sampler.samplesOf('busy')).toHaveLength(2);
      sampler.forget('bu');
      expect(sampler.samplesOf('busy')).toEqual([]);
    } finally {
      sampler.close();
      for (const child of [busy, idle]) process.kill(-(child.pid as number), 'SIGKILL');
    }
  },
);
