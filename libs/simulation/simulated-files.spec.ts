import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fillDisk, SimulatedFiles, type SimulatedMachine } from './simulated-files';

const machine: SimulatedMachine = {
  id: 'qemu-1',
  condition: 'stopped',
  memory: 'first',
  answersAtMs: 0,
  wholeAtMs: 0,
};
let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'dormouse-simulated-'));
});
afterEach(() => rm(root, { recursive: true }));

test('what a killed worker has left half written is neither a machine nor a checkpoint, and in the way of none', async () => {
  const files = new SimulatedFiles(root, 'host');
  await files.startMachine('ada', machine);
  await files.writeCheckpoint('ada', 'one', { memory: 'first' });
  await writeFile(join(root, 'machines', 'host', 'bob.json.1.new'), '{"cond');
  await writeFile(join(root, 'checkpoints', 'ada', 'two.json.1.new'), '');
  expect(await files.machines()).toEqual(['ada']);
  expect(await files.hasMemory('ada', 'first')).toBe(true);
  expect(await files.hasMemory('ada', 'second')).toBe(false);
});

test('a machine is there once, and whoever means the one before it reaches nobody', async () => {
  const files = new SimulatedFiles(root, 'host');
  expect(await files.startMachine('ada', machine)).toBe(true);
  expect(await files.startMachine('ada', { ...machine, id: 'qemu-2' })).toBe(false);
  await files.removeMachine('ada', 'qemu-2');
  expect(await files.changeMachine('ada', 'qemu-2', { condition: 'running' })).toBeNull();
  expect(await files.machine('ada')).toEqual(machine);
  await files.removeMachine('ada', 'qemu-1');
  expect(await files.machines()).toEqual([]);
  expect(await files.startMachine('ada', { ...machine, id: 'qemu-2' })).toBe(true);
});

test('a disk is full until it has room again, and no other is', async () => {
  const files = new SimulatedFiles(root, 'host');
  expect(await files.isFull('host')).toBe(false);
  await fillDisk(root, 'host', true);
  expect([await files.isFull('host'), await files.isFull('storage')]).toEqual([true, false]);
  await fillDisk(root, 'host', false);
  expect(await files.isFull('host')).toBe(false);
});
