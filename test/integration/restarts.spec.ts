import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Restarting and upgrading a worker ends no desktop, whatever keeps the worker running. */
const root = join(__dirname, '../..');
const unit = (name: string): string => readFileSync(join(root, 'deploy/systemd', name), 'utf8');
const settingsOf = (text: string): Map<string, string> =>
  new Map([...text.matchAll(/^([A-Za-z]+)=(.*)$/gm)].map(([, name, value]) => [name!, value!]));

test('systemd stops the worker alone, and not what runs on: desktops', () => {
  const worker = settingsOf(unit('dormouse-worker.service'));
  expect(worker.get('KillMode')).toBe('process');
  expect(worker.get('OOMPolicy')).toBe('continue');
  // A private /tmp is taken away with the service; a desktop has its files open.
  expect(worker.get('PrivateTmp')).toBeUndefined();
  expect(worker.get('RuntimeDirectory')).toBeUndefined();
});

test('neither unit runs as root, or may become it', () => {
  for (const name of ['dormouse-api.service', 'dormouse-worker.service']) {
    const settings = settingsOf(unit(name));
    expect(settings.get('User')).toBe('dormouse');
    expect(settings.get('NoNewPrivileges')).toBe('yes');
    expect(settings.get('CapabilityBoundingSet')).toBe('');
  }
});

const verifies = hasSystemd() ? test : test.skip;
verifies('systemd finds nothing wrong with the units', () => {
  const units = ['dormouse-api.service', 'dormouse-worker.service'].map((name) => join(root, 'deploy/systemd', name));
  execFileSync('systemd-analyze', ['verify', '--man=no', ...units], { stdio: 'pipe' });
});

describe('the first process of the container', () => {
  let directory: string;
  let keeper: ChildProcess;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'dormouse-keeper-'));
    // Stands for the worker: starts a machine that outlives it once, notes each of its starts, and ends when it is told.
    const worker = `
      const fs = require('fs'), cp = require('child_process');
      const starts = '${directory}/starts', machine = '${directory}/machine';
      if (!fs.existsSync(machine)) {
        const child = cp.spawn('sleep', ['120'], { detached: true, stdio: 'ignore' });
        fs.writeFileSync(machine, String(child.pid));
        child.unref();
      }
      process.on('SIGTERM', () => process.exit(0));
      fs.appendFileSync(starts, process.pid + '\\n');
      setInterval(() => {}, 1000);`;
    writeFileSync(join(directory, 'worker.js'), worker);
    const script = join(root, 'deploy/docker/keep-worker.sh');
    keeper = spawn(script, [process.execPath, join(directory, 'worker.js')], { stdio: 'inherit' });
  });
  afterEach(() => {
    keeper.kill('SIGKILL');
    for (const pid of [...starts(), Number(read('machine'))]) kill(pid);
    rmSync(directory, { recursive: true });
  });

  const read = (name: string): string => {
    try {
      return readFileSync(join(directory, name), 'utf8');
    } catch {
      return '';
    }
  };
  const starts = (): number[] => read('starts').trim().split('\n').filter(Boolean).map(Number);
  const untilStarts = async (count: number): Promise<void> => {
    while (starts().length < count) await sleep(20);
  };

  test('restarts the worker when it is told to, and when it ends by itself; machines go on', async () => {
    await untilStarts(1);
    keeper.kill('SIGHUP');
    await untilStarts(2);
    process.kill(starts()[1]!, 'SIGKILL');
    await untilStarts(3);
    expect(keeper.exitCode).toBeNull();
    process.kill(Number(read('machine')), 0); // it is there
  }, 30_000);

  test('ends with the worker when it is told to stop', async () => {
    await untilStarts(1);
    const ended = once(keeper, 'exit');
    keeper.kill('SIGTERM');
    await ended;
    expect(starts()).toHaveLength(1);
    expect(() => process.kill(starts()[0]!, 0)).toThrow('ESRCH');
  }, 30_000);
});

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

function hasSystemd(): boolean {
  try {
    execFileSync('systemd-analyze', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
