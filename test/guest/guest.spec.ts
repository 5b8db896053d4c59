import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { askAgent, defaultGuestCache, ensureGuestImage, GuestClient, type GuestImage } from './index';

jest.setTimeout(120_000);

let image: GuestImage;
let directory: string;
let qemu: ChildProcess;
let guest: GuestClient;

beforeAll(async () => {
  image = await ensureGuestImage(defaultGuestCache());
  directory = await mkdtemp(join(tmpdir(), 'guest-'));
  execFileSync('qemu-img', [
    'create',
    '-q',
    '-f',
    'qcow2',
    '-b',
    image.goldenImage,
    '-F',
    'qcow2',
    inRun('disk.qcow2'),
  ]);
  await boot();
});

afterAll(async () => {
  await powerOff();
  await rm(directory, { recursive: true, force: true });
});

describe('the guest', () => {
  it('answers with a nonce that stays the same while it runs', async () => {
    const nonce = await guest.nonce();
    expect(nonce).toMatch(/^[0-9a-f]{32}$/);
    expect(await guest.nonce()).toBe(nonce);
  });

  it('answers a caller who comes after one that left in the middle of a line', async () => {
    guest.close();
    const rude = connect(inRun('protocol.sock'));
    await new Promise<void>((resolve) => rude.write('?dead.1 fil', () => resolve()));
    rude.destroy();
    guest = await GuestClient.connect(inRun('protocol.sock'));
    await guest.ping();
  });

  it('holds what it was told to fill until it is told to dirty it, and again once it is still', async () => {
    await guest.fill(16);
    const filled = await guest.sum();
    expect(await guest.sum()).toBe(filled);

    await guest.dirty(4);
    await sleep(500);
    await guest.still();
    const dirtied = await guest.sum();
    expect(dirtied).not.toBe(filled);
    expect(await guest.sum()).toBe(dirtied);
  });

  it('refuses to fill more than it has, and goes on answering', async () => {
    await expect(guest.fill(2000)).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
    await guest.ping();
  });

  it('refuses a request that does not exist, and to sum when nothing is filled', async () => {
    await expect(guest.request('dance')).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
    await expect(guest.sum()).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
  });

  it('lets the host set its clock through the guest agent', async () => {
    const wantedMs = Date.UTC(2001, 1, 3);
    const time = wantedMs * 1_000_000;
    expect(await askAgent(inRun('agent.sock'), 'guest-set-time', { time })).toEqual({ return: {} });
    const offMs = (await guest.timeMs()) - wantedMs;
    expect(offMs).toBeGreaterThanOrEqual(0);
    expect(offMs).toBeLessThan(10_000);
  });

  it('finds on its disk, after the power failed, what it had written', async () => {
    const nonce = await guest.nonce();
    await guest.write('two  spaces and a \\ stay as they are');
    await powerOff();
    await boot();
    expect(await guest.read()).toBe('two  spaces and a \\ stay as they are');
    expect(await guest.nonce()).not.toBe(nonce);
  });

  it('reports its port gone when the machine ends while it is waited for', async () => {
    await guest.fill(64);
    const ended = expect(guest.sum()).rejects.toMatchObject({ code: 'MACHINE_GONE' });
    await powerOff();
    await ended;
    await expect(guest.ping()).rejects.toMatchObject({ code: 'MACHINE_GONE' });
  });
});

async function boot(): Promise<void> {
  await rm(inRun('protocol.sock'), { force: true });
  const socket = (id: string): string => `socket,id=${id},path=${inRun(`${id}.sock`)},server=on,wait=off`;
  qemu = spawn(
    'qemu-system-x86_64',
    [
      ...[
        '-machine',
        'pc-q35-7.2',
        '-cpu',
        'Nehalem-v1',
        '-accel',
        'tcg',
        '-m',
        '256',
        '-nodefaults',
        '-display',
        'none',
      ],
      ...['-kernel', image.kernel, '-initrd', image.initramfs, '-append', image.commandLine],
      ...['-drive', `if=none,id=disk,file=${inRun('disk.qcow2')},format=qcow2`, '-device', 'virtio-blk-pci,drive=disk'],
      ...['-chardev', `file,id=console,path=${inRun('console.log')}`, '-serial', 'chardev:console'],
      ...['-chardev', socket('protocol'), '-serial', 'chardev:protocol'],
      ...['-device', 'virtio-serial-pci', '-chardev', socket('agent')],
      ...['-device', 'virtserialport,chardev=agent,name=org.qemu.guest_agent.0'],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  guest = await GuestClient.connectWhenThere(inRun('protocol.sock'));
  await guest.ping({ timeoutMs: 60_000 });
}

async function powerOff(): Promise<void> {
  if (qemu.exitCode === null && qemu.signalCode === null) {
    qemu.kill('SIGKILL');
    await once(qemu, 'exit');
  }
  guest.close();
}

function inRun(name: string): string {
  return join(directory, name);
}
