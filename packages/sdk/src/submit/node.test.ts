import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { IntentRecord, JournalRecord } from './journal.ts';
import { fileSubmitJournal } from './node.ts';

const ID = '0123456789abcdef0123456789abcdef';
const at = '2026-11-24T00:00:00.000Z';
const intent: IntentRecord = {
  ...{ type: 'intent', at, intentId: ID, key: 'monday', target: 'cn-hangzhou', digest: 'd', withheld: [], forced: [] },
  request: { DisplayName: 'a', JobType: 'PyTorchJob', JobSpecs: [], UserCommand: 'true' },
};
const create: JournalRecord = { type: 'create', at, attemptId: '1-a' };
const closed: JournalRecord = { type: 'closed', at };

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'submit-journal-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const file = () => join(directory, `${ID}.ndjson`);
const recordsIn = async (folder = directory) => {
  const claim = await fileSubmitJournal(folder).claim(ID);
  await claim.release();
  return claim.records;
};
async function write(...records: JournalRecord[]): Promise<void> {
  const claim = await fileSubmitJournal(directory).claim(ID);
  for (const record of records) await claim.append(record);
  await claim.release();
}
const lockFiles = () => readdirSync(directory).filter((name) => name.includes('.lock-'));

describe('the file journal', () => {
  it('keeps one JSON line per record, readable by the owner alone', async () => {
    await write(intent, create);
    expect(readFileSync(file(), 'utf8')).toBe(`${JSON.stringify(intent)}\n${JSON.stringify(create)}\n`);
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    expect(await recordsIn()).toEqual([intent, create]);
    expect(lockFiles()).toEqual([]);
  });

  it('tells the intents that are open', async () => {
    const journal = fileSubmitJournal(directory);
    expect(await fileSubmitJournal(join(directory, 'none')).open()).toEqual([]);
    await write(intent, create);
    expect(await journal.open()).toEqual([{ intent }]);
    await write(closed);
    expect(await journal.open()).toEqual([]);
    await write(create, { type: 'job', at, jobId: 'dlc1', how: 'adopted' });
    expect(await journal.open()).toEqual([{ intent, jobId: 'dlc1' }]);
  });

  it('drops a last line that was cut anywhere, and writes on from there', async () => {
    const whole = `${JSON.stringify(intent)}\n`;
    const line = `${JSON.stringify(create)}\n`;
    for (let length = 0; length < line.length; length++) {
      writeFileSync(file(), whole + line.slice(0, length));
      await write(closed);
      expect(readFileSync(file(), 'utf8')).toBe(`${whole}${JSON.stringify(closed)}\n`);
    }
    for (let length = 1; length < whole.length; length += 40) {
      writeFileSync(file(), whole.slice(0, length));
      expect(await fileSubmitJournal(directory).open()).toEqual([]);
      expect(await recordsIn()).toEqual([]);
    }
  });

  it('names file and line of what is no record before the end', async () => {
    writeFileSync(file(), `${JSON.stringify(intent)}\nnonsense\n${JSON.stringify(create)}\n`);
    const refusal = { code: 'CPT_FORMAT_SUBMIT_JOURNAL', details: { file: file(), line: 2 } };
    await expect(recordsIn()).rejects.toMatchObject(refusal);
    await expect(fileSubmitJournal(directory).open()).rejects.toMatchObject(refusal);
    expect(lockFiles()).toEqual([]);
  });

  it('finds the others beside a file that cannot be read, and tells of that one', async () => {
    await write(intent);
    const other = 'f'.repeat(32);
    writeFileSync(join(directory, `${other}.ndjson`), 'nonsense\n');
    const damaged: unknown[] = [];
    const open = await fileSubmitJournal(directory).open((intentId, error) => damaged.push([intentId, error]));
    expect(open).toEqual([{ intent }]);
    expect(damaged).toEqual([[other, expect.objectContaining({ code: 'CPT_FORMAT_SUBMIT_JOURNAL' })]]);
  });

  it('refuses a line with a byte that is no UTF-8, and leaves the file as it is', async () => {
    const damaged = Buffer.from(`${JSON.stringify(intent)}\n`);
    damaged[damaged.indexOf('monday')] = 0xff;
    writeFileSync(file(), damaged);
    const refusal = { code: 'CPT_FORMAT_SUBMIT_JOURNAL', details: { file: file(), line: 1 } };
    await expect(recordsIn()).rejects.toMatchObject(refusal);
    expect(readFileSync(file()).equals(damaged)).toBe(true);
  });

  it('takes no id that could leave the directory, and no write after it was let go', async () => {
    await expect(fileSubmitJournal(directory).claim('../x')).rejects.toMatchObject({ code: 'CPT_INPUT_INVALID' });
    const claim = await fileSubmitJournal(directory).claim(ID);
    await claim.release();
    await claim.release();
    await expect(claim.append(create)).rejects.toMatchObject({ code: 'CPT_INPUT_SUBMIT_FENCED' });
  });
});

describe('one writer at a time', () => {
  it('holds back another journal on the directory until the first lets go', async () => {
    const first = await fileSubmitJournal(directory).claim(ID);
    const other = fileSubmitJournal(directory);
    await expect(other.claim(ID, { isPatient: false })).rejects.toMatchObject({
      ...{ code: 'CPT_INPUT_SUBMIT_IN_FLIGHT', details: { holder: `process ${process.pid} on ${hostname()}` } },
    });
    const waiting = other.claim(ID);
    await first.append(intent);
    await first.release();
    const second = await waiting;
    expect(second.records).toEqual([intent]);
    await second.release();
  });

  it('ends the wait when the signal says so', async () => {
    const journal = fileSubmitJournal(directory);
    const first = await journal.claim(ID);
    const controller = new AbortController();
    const waits = [journal, fileSubmitJournal(directory)].map((other) =>
      other.claim(ID, { signal: controller.signal }),
    );
    controller.abort(new Error('enough'));
    await Promise.all(waits.map((wait) => expect(wait).rejects.toThrow('enough')));
    await first.release();
    expect(await recordsIn()).toEqual([]);
  });

  it('takes over from a process that was killed, and from one whose number was given again', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    const lockOf = (pid: number, began: string | null) =>
      writeFileSync(join(directory, `${ID}.lock-${pid}-00`), JSON.stringify({ pid, host: hostname(), began }));
    const pid = child.pid as number;
    lockOf(pid, null);
    const journal = fileSubmitJournal(directory);
    await expect(journal.claim(ID, { isPatient: false })).rejects.toThrow(`process ${pid} on`);
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
    await (await journal.claim(ID, { isPatient: false })).release();
    if (process.platform === 'linux') {
      lockOf(process.pid, 'another boot 1');
      await (await journal.claim(ID, { isPatient: false })).release();
    }
    expect(lockFiles()).toEqual([]);
  });

  it('believes another machine, and says which', async () => {
    writeFileSync(join(directory, `${ID}.lock-1-00`), JSON.stringify({ pid: 1, host: 'elsewhere', began: null }));
    const claim = fileSubmitJournal(directory).claim(ID, { isPatient: false });
    await expect(claim).rejects.toThrow('process 1 on elsewhere');
  });

  it('never lets two of many hold it at once', async () => {
    let holders = 0;
    await Promise.all(
      Array.from({ length: 12 }, async () => {
        const claim = await fileSubmitJournal(directory).claim(ID);
        expect(++holders).toBe(1);
        appendFileSync(join(directory, 'order'), 'x');
        await claim.append(create);
        holders--;
        await claim.release();
      }),
    );
    expect(await recordsIn()).toHaveLength(12);
  });
});
