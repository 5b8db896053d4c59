import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunningDormouse } from '../scenario';
import { guestOn, startWorkerOf } from '../scenario/another-host';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';

jest.setTimeout(240_000);

let bed: TestBed;
let dormouse: RunningDormouse;
let ada: RunningDesk;

beforeAll(async () => {
  bed = await TestBed.make();
  const qemu = await qemuThatCanBeSpoilt();
  dormouse = await bed.start({ HOST_ID: 'first', QEMU_BINARY: qemu, MACHINES_IN_WAITING: '0' }); // it is to be started for the wake
  ada = await bed.desktop(dormouse, 'ada', { memoryMiB: 128, fillMiB: 8 });
  await ada.guest.write('written on the first host');
  await bed.sleeps(ada);
});
afterAll(() => bed?.end());

/** A QEMU that does not wake ada any more as soon as there is a certain file: its host has something that other hosts have not. */
async function qemuThatCanBeSpoilt(): Promise<string> {
  const program = join(bed.dataDir, 'qemu');
  const wakes = '*guest=ada*-incoming*';
  const lines = [
    '#!/bin/sh',
    `case "$*" in ${wakes}) [ -e '${spoilt()}' ] && echo spoilt >&2 && exit 1 ;; esac`,
    'exec qemu-system-x86_64 "$@"',
  ];
  await writeFile(program, `${lines.join('\n')}\n`, { mode: 0o755 });
  return program;
}

function spoilt(): string {
  return join(bed.dataDir, 'spoilt');
}

test('a wake that fails on its host goes to another, and says so', async () => {
  const { desk, memory } = ada;
  await startWorkerOf(dormouse, 'second');
  await writeFile(spoilt(), '');
  const { hostId, attempt, result } = await desk.does('restore');
  expect({ hostId, attempt }).toEqual({ hostId: 'second', attempt: 2 });
  expect(result!['failures']).toEqual([
    expect.stringMatching(/^lazy: .*spoilt.* \(MACHINE_START_FAILED\)$/),
    expect.stringMatching(/^lazy: /),
    'elsewhere: from first to second',
  ]);
  expect(await desk.processes()).toEqual([]);
  expect(await desk.view()).toMatchObject({ hostId: 'second', restoreFailures: 0, lastError: null });
  const guest = await guestOn(dormouse, 'second', 'ada');
  expect(await memoryOf(guest)).toEqual(memory);
  expect(await guest.read()).toBe('written on the first host');
  guest.close();
});
