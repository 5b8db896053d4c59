import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SimulatedFiles } from './simulated-files';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'dormouse-simulated-'));
});
afterEach(() => rm(root, { recursive: true }));

test('what a killed worker has left half written is neither a machine nor a checkpoint, and in the way of none', async () => {
  const files = new SimulatedFiles(root, 'host');
  await files.writeMachine('ada', { id: 'm1', condition: 'stopped', memory: 'first', answersAtMs: 0, wholeAtMs: 0 });
  await files.writeCheckpoint('ada', 'one', { memory: 'first' });
  await writeFile(join(root, 'machines', 'host', 'bob.json.1.new'), '{"cond');
  await writeFile(join(root, 'checkpoints', 'ada', 'two.json.1.new'), '');
  expect(await files.machines()).toEqual(['ada']);
  expect(await files.hasMemory('ada', 'first')).toBe(true);
  expect(await files.hasMemory('ada', 'second')).toBe(false);
});
